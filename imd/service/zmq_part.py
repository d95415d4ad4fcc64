"""The process's ZeroMQ context as a part: opened before the first socket, closed after the last."""

import zmq


class ZmqPart:
    """Ends libzmq's threads in order, so that nothing of it is left to hang the exit."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self._context = context

    async def open(self) -> None:
        """Nothing to do: libzmq begins with the first socket."""

    async def close(self) -> None:
        """Blocks while closed sockets linger (ZmqOptions: half a second at most); one that a bug left open is cut."""
        self._context.destroy(linger=0)

    def trouble(self) -> str | None:
        """None: it is memory and threads."""
        return None
