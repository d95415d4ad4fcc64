"""Free TCP ports for programs that cannot be told to take one themselves."""

import socket


def reserve_port(host: str = "127.0.0.1") -> int:
    """A port that nobody else is given for about a minute, and that a program with SO_REUSEADDR (all of ours) can take.

    A connection to it is made and closed from our side: what is left of it, in TIME_WAIT, keeps the kernel from handing the
    port out as an ephemeral one, which it does often on these machines.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, 0))
        listener.listen(1)
        port: int = listener.getsockname()[1]
        with socket.create_connection((host, port)) as client:
            accepted, _ = listener.accept()
            accepted.close()  # whoever closes first is left in TIME_WAIT: the side with our port
            client.recv(1)
    return port
