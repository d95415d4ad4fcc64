"""The place of a stream's only reader, and the connection on which it waits."""

from collections.abc import Iterable
from typing import Any

from imd.backend.redis import RedisLink
from imd.backend.redis_connection import RedisConnection

START = b"0-0"  # before every entry


class RedisCursor:
    """Hands out each entry of a stream once. One call of :meth:`read` at a time.

    It trusts its place only on one connection and while entries come. Otherwise it begins at the start again and passes
    over what was handed out and is not committed: a Redis that was emptied, or a replica that took over with fewer
    entries and a clock that is behind, appends ids that are smaller than those seen before.
    """

    __slots__ = ("_connection", "_forgotten", "_handed_out", "_link", "_place", "_stream")

    def __init__(self, *, link: RedisLink, stream: str) -> None:
        self._link = link
        self._stream = stream
        self._place = START  # every entry up to this id was handed out
        self._handed_out: set[bytes] = set()  # ids that are not committed yet: as many as the reader works on
        self._forgotten: set[bytes] = set()  # since the read under way began: its answer may still have them
        self._connection: RedisConnection | None = None  # its own; None until the first read, and after a failed one

    def rewind(self) -> None:
        """The next read begins at the first entry that is there."""
        self._place = START
        self._handed_out.clear()

    def forget(self, ids: Iterable[bytes]) -> None:
        """These are deleted."""
        gone = self._handed_out.intersection(ids)
        self._handed_out -= gone
        self._forgotten |= gone

    def release(self, why: str) -> None:
        """Let the connection go. A read under way fails; one may begin anew."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort(why)

    async def read(self, limit: int, wait_seconds: float) -> list[Any]:
        """At most ``limit`` of [id, [field, value]]; empty when none came within ``wait_seconds``.

        Raises :class:`imd.errors.Unavailable`. A call that fails or is cancelled has handed out nothing; its connection, on
        which an answer may still come, is given up.
        """
        page = None
        self._forgotten.clear()
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
            self._place = START
        if self._place == START and self._handed_out:
            while page := await self._page(connection, limit, 0):
                # deletions come on another connection: they may overtake the page
                if fresh := [entry for entry in page if not self._knows(entry[0])]:
                    return self._hand_out(fresh)
        page = await self._page(connection, limit, wait_seconds)
        if not page:
            self._place = START
        return self._hand_out(page)

    def _knows(self, id: bytes) -> bool:
        """Whether it was handed out."""
        return id in self._handed_out or id in self._forgotten

    async def _page(self, connection: RedisConnection, limit: int, wait_seconds: float) -> list[Any]:
        """What is behind the place, and the place behind it."""
        wait_ms = int(wait_seconds * 1000)
        blocking = ("BLOCK", wait_ms) if wait_ms else ()  # BLOCK 0 would wait for ever
        answer = await connection.call(
            *("XREAD", "COUNT", limit, *blocking, "STREAMS", self._stream, self._place),
            seconds=wait_seconds + self._link.timeout_seconds,
        )
        if not answer:
            return []
        page: list[Any] = answer[0][1]
        self._place = page[-1][0]
        return page

    def _hand_out(self, page: list[Any]) -> list[Any]:
        self._handed_out.update(entry[0] for entry in page)
        return page
