"""The body of op 6: why the connection ends, and when and where to come back."""

from collections.abc import Sequence
from typing import Self

from imd.errors import CloseReason
from imd.protocol.json_body import JsonBody


class Goodbye(JsonBody, frozen=True):
    """The server is about to end the connection."""

    reason: str  # a label of :class:`imd.errors.CloseReason`, or of one that is newer than this code
    code: int
    reconnect: bool  # whether coming back unchanged can succeed
    retry_after_ms: int = 0  # not before; 0 = when the client likes, within its back-off
    nodes: tuple[str, ...] = ()  # addresses of other servers; empty = not told

    @classmethod
    def of(cls, reason: CloseReason, retry_after_ms: int = 0, nodes: Sequence[str] = ()) -> Self:
        """What a client is told of ``reason``."""
        return cls(reason.label, reason.code, reason.redial, retry_after_ms, tuple(nodes))
