"""What every RPC socket is set to, whichever end it is."""

import zmq
from msgspec import Struct


class ZmqOptions(Struct, frozen=True):
    """Limits of one RPC socket. A silent peer is given up after ``heartbeat_ms + heartbeat_timeout_ms``."""

    max_message_bytes: int = 4 * 1024 * 1024  # a larger message ends its connection before memory is spent on it
    high_water_mark: int = 10_000  # messages that wait per peer and direction
    heartbeat_ms: int = 1_000
    heartbeat_timeout_ms: int = 2_000
    linger_ms: int = 500  # for replies under way when the socket closes

    def apply(self, socket: zmq.Socket[bytes], endpoint: str) -> None:
        """Before ``bind`` or ``connect``."""
        socket.setsockopt(zmq.SNDHWM, self.high_water_mark)
        socket.setsockopt(zmq.RCVHWM, self.high_water_mark)
        socket.setsockopt(zmq.MAXMSGSIZE, self.max_message_bytes)
        socket.setsockopt(zmq.HEARTBEAT_IVL, self.heartbeat_ms)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, self.heartbeat_timeout_ms)
        socket.setsockopt(zmq.HEARTBEAT_TTL, self.heartbeat_ms + self.heartbeat_timeout_ms)
        # a peer that accepts but does not speak (stopped, or no ZeroMQ at all) is as good as silent
        socket.setsockopt(zmq.HANDSHAKE_IVL, self.heartbeat_ms + self.heartbeat_timeout_ms)
        socket.setsockopt(zmq.LINGER, self.linger_ms)
        socket.setsockopt(zmq.IPV6, int("[" in endpoint))
