"""The place of a stream's only reader."""

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from imd.backend.redis_connection import RedisConnection
from imd.backend.redis_cursor import RedisCursor
from imd.errors import Unavailable
from tests.support.redis_case import RedisCase


class HeldConnection:
    """Keeps the answers of ``connection`` back until its gate opens."""

    why_lost = ""

    def __init__(self, connection: RedisConnection) -> None:
        self.answered: Deferred[None] = Deferred()  # the first has come
        self.gate: Deferred[None] = Deferred()
        self._connection = connection

    async def call(self, *arguments: Any, seconds: float) -> Any:
        answer = await self._connection.call(*arguments, seconds=seconds)
        if not self.answered.called:
            self.answered.callback(None)
            await self.gate
        return answer


class RedisCursorTests(RedisCase):
    """On a real Redis."""

    async def make_cursor(self) -> RedisCursor:
        self.link = await self.make_link()
        return RedisCursor(link=self.link, stream="s")

    def add(self, *ids: str) -> None:
        for id in ids:
            self.server.command("XADD", "s", id, "p", id)

    async def ids(self, cursor: RedisCursor, limit: int = 10, wait_seconds: float = 0) -> list[Any]:
        return [id.decode() for id, _ in await cursor.read(limit, wait_seconds)]

    async def test_goes_on_where_it_was(self) -> None:
        """Page by page, to the end and beyond."""
        cursor = await self.make_cursor()
        self.add("1-0", "2-0", "3-0")
        self.assertEqual(await self.ids(cursor, 2), ["1-0", "2-0"])
        self.assertEqual(await self.ids(cursor, 2), ["3-0"])
        self.assertEqual(await self.ids(cursor), [])
        self.add("4-0")
        self.assertEqual(await self.ids(cursor), ["4-0"])

    async def test_rewind(self) -> None:
        """To the first entry that is still there."""
        cursor = await self.make_cursor()
        self.add("1-0", "2-0")
        await self.ids(cursor)
        self.server.command("XDEL", "s", "1-0")
        cursor.rewind()
        self.assertEqual(await self.ids(cursor), ["2-0"])

    async def test_a_cancelled_read_moves_nothing(self) -> None:
        """What comes then is read by the next call, on another connection."""
        cursor = await self.make_cursor()
        self.add("1-0")
        await self.ids(cursor)
        reading = Deferred.fromCoroutine(cursor.read(10, 30))
        await self.pass_time(0.05)
        reading.cancel()
        with self.assertRaises(CancelledError):
            await reading
        self.add("2-0")
        self.assertEqual(await self.ids(cursor), ["2-0"])

    async def test_released_while_it_reads(self) -> None:
        """The read fails, with the reason."""
        cursor = await self.make_cursor()
        reading = Deferred.fromCoroutine(cursor.read(10, 30))
        await self.pass_time(0.05)
        cursor.release("closed by a test")
        with self.assertRaisesRegex(Unavailable, "closed by a test"):
            await reading

    async def test_entries_behind_the_place(self) -> None:
        """A stream that began anew with smaller ids is read from its beginning on."""
        cursor = await self.make_cursor()
        self.add("9000-0")
        await self.ids(cursor)
        self.server.command("DEL", "s")
        self.assertEqual(await self.ids(cursor), [])
        self.add("5-0")
        self.assertEqual(await self.ids(cursor), ["5-0"])

    async def test_entries_of_a_replica_that_knew_less(self) -> None:
        """Over a new connection, what was appended since is found, smaller ids included; what was handed out is not again."""
        cursor = await self.make_cursor()
        self.add("5-0", "9000-0")
        await self.ids(cursor)
        self.server.command("DEL", "s")
        self.add("5-0", "6-0", "9001-0")
        cursor.release("failover")
        self.assertEqual(await self.ids(cursor), ["6-0", "9001-0"])

    async def test_a_new_connection_hands_out_nothing_twice(self) -> None:
        """Not even when more than a page is not committed yet; what is committed need not be remembered."""
        cursor = await self.make_cursor()
        self.add("1-0", "2-0", "3-0", "4-0", "5-0")
        await self.ids(cursor)
        self.server.command("XDEL", "s", "2-0")
        cursor.forget([b"2-0"])
        self.add("6-0")
        cursor.release("lost")
        self.assertEqual(await self.ids(cursor, 2), ["6-0"])
        self.assertEqual(await self.ids(cursor, 2), [])
        self.assertEqual(await self.ids(cursor, 2), [])
        self.assertEqual(cursor._handed_out, {b"1-0", b"3-0", b"4-0", b"5-0", b"6-0"})

    async def test_what_is_deleted_while_it_reads(self) -> None:
        """An answer that Redis gave before the deletion, and that is read after it, hands out nothing twice."""
        cursor = await self.make_cursor()
        self.add("1-0", "2-0")
        await self.ids(cursor)
        self.assertEqual(await self.ids(cursor), [])
        assert cursor._connection is not None
        held: Any = HeldConnection(cursor._connection)
        cursor._connection = held
        reading = Deferred.fromCoroutine(self.ids(cursor))
        await held.answered
        self.server.command("XDEL", "s", "1-0", "2-0")
        cursor.forget([b"1-0", b"2-0"])
        held.gate.callback(None)
        self.add("3-0")
        self.assertEqual(await reading, ["3-0"])
        self.assertEqual(cursor._handed_out, {b"3-0"})

    async def test_a_closed_link_ends_a_waiting_read(self) -> None:
        """Its connection is the link's to close."""
        cursor = await self.make_cursor()
        reading = Deferred.fromCoroutine(cursor.read(10, 30))
        await self.pass_time(0.05)
        await self.link.close()
        with self.assertRaises(Unavailable):
            await reading
        with self.assertRaises(Unavailable):
            await cursor.read(10, 0)
