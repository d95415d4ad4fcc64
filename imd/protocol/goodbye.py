"""The body of op 6, as a client reads it; :func:`imd.protocol.body.encode_goodbye` writes it."""

from imd.protocol.json_body import JsonBody


class Goodbye(JsonBody, frozen=True):
    """The server is about to end the connection."""

    reason: str  # a label of :class:`imd.errors.CloseReason`, or of one that is newer than this code
    code: int
    reconnect: bool  # whether coming back unchanged can succeed
    retry_after_ms: int = 0  # not before; 0 = when the client likes, within its back-off
    nodes: tuple[str, ...] = ()  # addresses of other servers; empty = not told
