"""Promises of what sockets are set to."""

import zmq
from twisted.trial.unittest import SynchronousTestCase

from imd.transport.zmq_options import ZmqOptions


class ZmqOptionsTests(SynchronousTestCase):
    """Read back from a socket."""

    def test_every_limit_is_set(self) -> None:
        """No queue, message or silence without a bound; IPv6 only where the endpoint is."""
        with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
            ZmqOptions().apply(socket, "tcp://127.0.0.1:0")
            wanted = {
                zmq.SNDHWM: 10_000,
                zmq.RCVHWM: 10_000,
                zmq.MAXMSGSIZE: 4 * 1024 * 1024,
                zmq.HEARTBEAT_IVL: 1000,
                zmq.HEARTBEAT_TIMEOUT: 2000,
                zmq.HEARTBEAT_TTL: 3000,
                zmq.HANDSHAKE_IVL: 3000,
                zmq.LINGER: 500,
                zmq.IPV6: 0,
            }
            self.assertEqual({option: socket.getsockopt(option) for option in wanted}, wanted)
            ZmqOptions().apply(socket, "tcp://[::1]:0")
            self.assertEqual(socket.getsockopt(zmq.IPV6), 1)
