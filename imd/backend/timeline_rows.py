"""The timelines' rows in the SQLite file. Called in the writer's thread, each call inside a transaction."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from imd.backend import sqlite_books
from imd.backend.sqlite_books import SqliteBooks
from imd.backend.timelines import DEVICES, PAGE_BYTES, head_life_ms
from imd.interfaces import Swept, Totals
from imd.protocol.push import Push
from imd.protocol.rpc import Ack, Follow, Page
from imd.protocol.timeline import Message, Place, dump, load

TRIM = 1000  # messages of a timeline that one append or read lets go of at most
SWEEP = 5000  # messages that one sweep lets go of, about


@dataclass(slots=True)
class _Head:
    """A row of ``timeline``; see :mod:`imd.backend.sqlite_schema`."""

    id: int
    name: str
    epoch: str
    first: int
    last: int
    acked: int
    devices: int  # that have a position
    keep_ms: int
    touched_ms: int
    due_ms: int


class PagesRead(NamedTuple):
    """What a read found."""

    pages: list[Page]
    gone: Swept  # messages that were too old
    undecodable: int  # messages that no imd wrote


class TimelineRows:
    """Every statement about timelines. ``make_epoch`` is called in the writer's thread."""

    __slots__ = ("_head_ms", "_make_epoch")

    def __init__(self, *, make_epoch: Callable[[], str], head_ms: int) -> None:
        self._make_epoch = make_epoch
        self._head_ms = head_ms

    def begin(self, appended: int, connection: sqlite3.Connection) -> bool:
        """At least ``appended`` entries were seen in the file. If it has fewer, it went back: the epochs are over. Answers
        how many it has, and whether it went back."""
        books = sqlite_books.load(connection)
        if books.appended >= appended:
            return False
        books.era = self._make_epoch()
        sqlite_books.save(books, connection)
        return True

    def append(self, push: Push, now: int, books: SqliteBooks, connection: sqlite3.Connection) -> tuple[Place, ...]:
        """Keep it in each of its timelines; its places, in their order. Nothing, for a live one. The caller saves the books."""
        if not push.keep_count:
            return ()
        data = dump(push.id, push.at_ms, push.operation, push.body)
        return tuple(self._append(name, push, data, now, books, connection) for name in push.timelines)

    def read(self, follows: Sequence[Follow], now: int, connection: sqlite3.Connection) -> PagesRead:
        """One page each; up to ``PAGE_BYTES`` of messages, and one."""
        books = sqlite_books.load(connection)
        gone = (books.acked, books.expired)
        heads = {follow.timeline: self._touch(follow.timeline, now, books, connection) for follow in follows}
        beyond = (follow for follow in follows if follow.after > heads[follow.timeline].last)
        if any(follow.witnessed and _good(follow, heads) for follow in beyond):
            books.era = self._make_epoch()  # a comet has seen what is not there: before any page claims anything
            heads = {name: self._touch(name, now, books, connection) for name in heads}
        for head in heads.values():
            if head.due_ms <= now:
                self._trim_old(head, now, TRIM, books, connection)
        pages, left, undecodable = [], PAGE_BYTES, 0
        for follow in follows:
            page, size, bad = _page(follow, heads[follow.timeline], left, now, connection)
            pages.append(page)
            left -= size
            undecodable += bad
        sqlite_books.save(books, connection)
        return PagesRead(pages, Swept(books.acked - gone[0], books.expired - gone[1]), undecodable)

    def ack(self, acks: Sequence[Ack], now: int, connection: sqlite3.Connection) -> list[str]:
        """What became of each, as the metric calls it."""
        books = sqlite_books.load(connection)
        heads = {ack.timeline: _find(ack.timeline, connection) for ack in acks}
        outcomes = [_move(ack, heads[ack.timeline], books, connection) for ack in acks]
        for head in heads.values():
            if head is not None:
                connection.execute(
                    "UPDATE timeline SET acked = ?, devices = ?, touched_ms = ? WHERE id = ?",
                    (head.acked, head.devices, now, head.id),
                )
        sqlite_books.save(books, connection)
        return outcomes

    def positions(self, timeline: str, connection: sqlite3.Connection) -> dict[str, int]:
        """Device -> seq."""
        head = _find(timeline, connection)
        if head is None or not _of_era(head.epoch, sqlite_books.load(connection).era):
            return {}
        return dict(connection.execute("SELECT device, seq FROM timeline_position WHERE timeline = ?", (head.id,)))

    def sweep(self, limit: int, now: int, connection: sqlite3.Connection) -> Swept:
        """Look at timelines that are due, at most ``limit``, the longest due first."""
        books = sqlite_books.load(connection)
        before = (books.acked, books.expired)
        found = connection.execute(f"{_SELECT} WHERE due_ms <= ? ORDER BY due_ms LIMIT ?", (now, limit + 1)).fetchall()
        more = len(found) > limit
        for row in found[:limit]:
            if books.acked + books.expired - sum(before) >= SWEEP:
                more = True
                break
            head = _Head(*row)
            self._trim_old(head, now, SWEEP, books, connection)
            if head.first <= head.last:
                more = more or head.due_ms <= now
            elif head.due_ms <= now:
                connection.execute("DELETE FROM timeline_position WHERE timeline = ?", (head.id,))
                connection.execute("DELETE FROM timeline WHERE id = ?", (head.id,))
        sqlite_books.save(books, connection)
        return Swept(books.acked - before[0], books.expired - before[1], more)

    def totals(self, connection: sqlite3.Connection) -> Totals:
        """As the file has them."""
        books = sqlite_books.load(connection)
        return Totals(books.kept, books.held, books.acked, books.expired)

    # one timeline

    def _append(
        self, name: str, push: Push, data: bytes, now: int, books: SqliteBooks, connection: sqlite3.Connection
    ) -> Place:
        head = self._touch(name, now, books, connection)
        head.last += 1
        connection.execute("INSERT INTO timeline_message VALUES (?, ?, ?, ?)", (head.id, head.last, push.at_ms, data))
        books.kept += 1
        books.held += 1
        if head.first == head.last:  # it was empty: nothing but its forgetting was due
            head.due_ms = min(head.due_ms, push.at_ms + push.keep_ms)
        aging = push.keep_ms < head.keep_ms or head.due_ms <= now
        head.keep_ms = push.keep_ms
        _let_go(head, min(head.last + 1 - push.keep_count, head.first + TRIM), books, connection)
        if aging:
            self._trim_old(head, now, TRIM, books, connection)
        connection.execute(
            "UPDATE timeline SET first = ?, last = ?, keep_ms = ?, touched_ms = ?, due_ms = ? WHERE id = ?",
            (head.first, head.last, head.keep_ms, now, head.due_ms, head.id),
        )
        return Place(head.last, head.epoch)

    def _touch(self, name: str, now: int, books: SqliteBooks, connection: sqlite3.Connection) -> _Head:
        """Its head, of this era; made when there is none. A read notes its touch to within a hundredth of the time that
        heads are remembered, so that most reads write nothing."""
        if not books.era:
            books.era = self._make_epoch()
        # A timeline that is forgotten and comes back has another epoch, for something was appended in between; if
        # nothing was, nothing is new.
        epoch = f"{books.era}-{books.kept}"
        head = _find(name, connection)
        if head is None:
            due_ms = now + head_life_ms(name, 0, self._head_ms)
            (id,) = connection.execute(
                "INSERT INTO timeline (name, epoch, first, last, acked, devices, keep_ms, touched_ms, due_ms)"
                " VALUES (?, ?, 1, 0, 0, 0, 0, ?, ?) RETURNING id",
                (name, epoch, now, due_ms),
            ).fetchone()
            return _Head(id, name, epoch, 1, 0, 0, 0, 0, now, due_ms)
        if not _of_era(head.epoch, books.era):  # what is left keeps its numbers
            head.epoch, head.acked, head.devices = epoch, 0, 0
            connection.execute("UPDATE timeline SET epoch = ?, acked = 0, devices = 0 WHERE id = ?", (epoch, head.id))
            connection.execute("DELETE FROM timeline_position WHERE timeline = ?", (head.id,))
        if now - head.touched_ms > self._head_ms // 100:
            connection.execute("UPDATE timeline SET touched_ms = ? WHERE id = ?", (now, head.id))
            head.touched_ms = now
        return head

    def _trim_old(self, head: _Head, now: int, limit: int, books: SqliteBooks, connection: sqlite3.Connection) -> None:
        """Let go of what is too old, at most ``limit`` messages, and find when it is due again."""
        young = _first_young(head, now, connection)
        _let_go(head, min(young[0], head.first + limit), books, connection)
        if head.first < young[0]:
            head.due_ms = now
        elif head.first <= head.last:
            head.due_ms = young[1] + head.keep_ms
        else:
            head.due_ms = head.touched_ms + head_life_ms(head.name, head.last, self._head_ms)
        connection.execute("UPDATE timeline SET first = ?, due_ms = ? WHERE id = ?", (head.first, head.due_ms, head.id))


_SELECT = "SELECT id, name, epoch, first, last, acked, devices, keep_ms, touched_ms, due_ms FROM timeline"


def _find(name: str, connection: sqlite3.Connection) -> _Head | None:
    row = connection.execute(f"{_SELECT} WHERE name = ?", (name,)).fetchone()
    return _Head(*row) if row else None


def _of_era(epoch: str, era: str) -> bool:
    return epoch.startswith(f"{era}-")


def _good(follow: Follow, heads: dict[str, _Head]) -> bool:
    return follow.epoch == heads[follow.timeline].epoch


def _first_young(head: _Head, now: int, connection: sqlite3.Connection) -> tuple[int, int]:
    """(seq, at_ms) of the first message that is not too old; (last + 1, 0) when all are."""
    found = connection.execute(
        "SELECT seq, at_ms FROM timeline_message WHERE timeline = ? AND at_ms > ? ORDER BY seq LIMIT 1",
        (head.id, now - head.keep_ms),
    ).fetchone()
    return found or (head.last + 1, 0)


def _let_go(head: _Head, first: int, books: SqliteBooks, connection: sqlite3.Connection) -> None:
    """``first`` is the oldest message from now on. The caller writes the head."""
    if first <= head.first:
        return
    gone = connection.execute("DELETE FROM timeline_message WHERE timeline = ? AND seq < ?", (head.id, first)).rowcount
    acked = max(0, min(head.acked, first - 1) + 1 - head.first)
    books.held -= gone
    books.acked += acked
    books.expired += first - head.first - acked
    head.first = first


def _page(follow: Follow, head: _Head, room: int, now: int, connection: sqlite3.Connection) -> tuple[Page, int, int]:
    """What one follow gets, its bytes, and messages that cannot be decoded: such a page proves nothing. ``room`` is for how
    many bytes there is; with any, one message fits."""
    place = Place(head.last, head.epoch)
    if follow.after < 0:
        return Page(follow.timeline, place), 0, 0
    if follow.epoch and follow.epoch != head.epoch:
        return Page(follow.timeline, place, recovered=False), 0, 0
    # one read lets go of so many only: the rest is not shown
    first = _first_young(head, now, connection)[0] if head.due_ms <= now else head.first
    last = max(follow.after, first - 1)  # seq of the last message that was looked at
    messages: list[Message] = []
    size = bad = 0
    if follow.limit > 0 and room > 0 and last < head.last:
        found = connection.execute(
            "SELECT seq, message FROM timeline_message WHERE timeline = ? AND seq > ? ORDER BY seq LIMIT ?",
            (head.id, last, follow.limit),
        )
        for last, data in found:
            try:
                messages.append(load(last, data))
            except msgspec.DecodeError:
                bad += 1
            size += len(data)
            if size >= room:
                break
        found.close()
    recovered = bool(follow.epoch) and first <= follow.after + 1 <= head.last + 1 and not bad
    page = Page(follow.timeline, place, recovered, tuple(messages), more=last < head.last)
    return page, size, bad


def _move(ack: Ack, head: _Head | None, books: SqliteBooks, connection: sqlite3.Connection) -> str:
    """What became of an ack. The caller writes the head."""
    if head is None or head.epoch != ack.epoch or not _of_era(head.epoch, books.era):
        return "stale"
    if ack.seq > head.last:
        return "beyond"
    held = connection.execute(
        "SELECT seq FROM timeline_position WHERE timeline = ? AND device = ?", (head.id, ack.device)
    ).fetchone()
    if ack.seq <= (held[0] if held else 0):
        return "repeated"
    books.changes += 1
    connection.execute(
        "INSERT OR REPLACE INTO timeline_position VALUES (?, ?, ?, ?)", (head.id, ack.device, ack.seq, books.changes)
    )
    head.acked = max(head.acked, ack.seq)
    if held is None:
        head.devices += 1
    if head.devices > DEVICES:
        head.devices -= 1
        connection.execute(
            "DELETE FROM timeline_position WHERE timeline = ?1 AND device = (SELECT device FROM timeline_position"
            " WHERE timeline = ?1 ORDER BY changed LIMIT 1)",
            (head.id,),
        )
    return "moved"
