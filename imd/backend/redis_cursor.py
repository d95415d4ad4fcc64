"""The place of a stream's only reader, and the connection on which it waits."""

from typing import Any

from imd.backend.redis import RedisLink
from imd.backend.redis_connection import RedisConnection
from imd.backend.redis_refusal import RedisRefusal

START = b"0-0"  # before every entry


class RedisCursor:
    """Reads a stream in order. One call of :meth:`read` at a time.

    A call that fails or is cancelled moves nothing; its connection, in whose replies an answer may still be, is given up.
    """

    __slots__ = ("_checked", "_connection", "_link", "_place", "_stream")

    def __init__(self, *, link: RedisLink, stream: str) -> None:
        self._link = link
        self._stream = stream
        self._place = START  # the id of the last entry that was handed out
        self._checked = False  # whether _place is known not to lie behind the stream's end
        self._connection: RedisConnection | None = None  # its own; None until the first read, and after a failed one

    def rewind(self) -> None:
        """The next read begins at the first entry that is there."""
        self._place = START

    def release(self, why: str) -> None:
        """Let the connection go. A read under way fails; one may begin anew."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort(why)

    async def read(self, limit: int, wait_seconds: float) -> list[Any]:
        """At most ``limit`` of [id, [field, value]]; empty when none came within ``wait_seconds``.

        Raises :class:`imd.errors.Unavailable`.
        """
        page = None
        try:
            page = await self._read(limit, wait_seconds)
        finally:
            if page is None:
                self.release("its read ended early")
        return page

    async def _read(self, limit: int, wait_seconds: float) -> list[Any]:
        connection = self._connection
        if connection is None or connection.why_lost:
            connection = self._connection = await self._link.connect()
            self._checked = False
        if not self._checked:
            await self._check_place(connection)
        wait_ms = int(wait_seconds * 1000)
        blocking = ("BLOCK", wait_ms) if wait_ms else ()  # BLOCK 0 would wait for ever
        place = self._place
        answer = await connection.call(
            *("XREAD", "COUNT", limit, *blocking, "STREAMS", self._stream, place),
            seconds=wait_seconds + self._link.timeout_seconds,
        )
        if not answer:
            self._checked = False
            return []
        entries: list[Any] = answer[0][1]
        if self._place is place:  # not rewound meanwhile
            self._place = entries[-1][0]
        return entries

    async def _check_place(self, connection: RedisConnection) -> None:
        """Never wait behind the stream's end.

        A Redis that was emptied, or a replica that took over, may know fewer entries than were handed out, and a clock that
        is behind: its next ids would be smaller than the place. Whatever it has up to its own end was handed out.
        """
        try:
            answer = await connection.call("XINFO", "STREAM", self._stream, seconds=self._link.timeout_seconds)
        except RedisRefusal as refusal:
            if refusal.word != "ERR":
                raise
            end = START  # "ERR no such key"
        else:
            end = dict(zip(answer[::2], answer[1::2], strict=True))[b"last-generated-id"]
        if _order(end) < _order(self._place):
            self._place = end
        self._checked = True


def _order(id: bytes) -> tuple[int, int]:
    ms, _, number = id.partition(b"-")
    return int(ms), int(number)
