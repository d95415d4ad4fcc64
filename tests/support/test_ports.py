"""A reserved port can be taken, and is nobody else's."""

import socket

from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import reserve_port


class ReservePortTests(SynchronousTestCase):
    """On real sockets."""

    def test_can_be_taken(self) -> None:
        """By a listener with SO_REUSEADDR, at once."""
        port = reserve_port()
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen()
            with socket.create_connection(("127.0.0.1", port)):
                pass

    def test_is_not_given_out(self) -> None:
        """A program that just binds it, as the kernel would for another's port 0, is refused."""
        port = reserve_port()
        with socket.socket() as other:
            self.assertRaises(OSError, other.bind, ("127.0.0.1", port))

    def test_neighbours(self) -> None:
        """Those at the distances asked for are nobody else's either."""
        port = reserve_port(-11, 1)
        for each in (port - 11, port, port + 1):
            with socket.socket() as other:
                self.assertRaises(OSError, other.bind, ("127.0.0.1", each))

    def test_differ(self) -> None:
        """Many reserved together are many."""
        self.assertEqual(len({reserve_port() for _ in range(50)}), 50)
