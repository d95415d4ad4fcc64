"""Free TCP ports for programs that cannot be told to take one themselves."""

import socket
from contextlib import suppress


def reserve_port(*distances: int, host: str = "127.0.0.1") -> int:
    """A port that nobody else is given for about a minute, and that a program with SO_REUSEADDR (all of ours) can take; those
    at these distances from it too."""
    while True:
        port = _reserve(host, 0)
        with suppress(OSError, OverflowError):  # somebody has one of the others, or there is none
            for distance in distances:
                _reserve(host, port + distance)
            return port


def _reserve(host: str, port: int) -> int:
    """This one; 0 = any. Raises ``OSError`` when it is taken.

    A connection to it is made and closed from our side: what is left of it, in TIME_WAIT, keeps the kernel from handing the
    port out as an ephemeral one, which it does often on these machines.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1)
        port = listener.getsockname()[1]
        with socket.create_connection((host, port)) as client:
            accepted, _ = listener.accept()
            accepted.close()  # whoever closes first is left in TIME_WAIT: the side with our port
            client.recv(1)
    return port
