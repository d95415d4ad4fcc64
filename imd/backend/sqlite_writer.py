"""One SQLite file, one thread that writes it, and commits that many callers share."""

import sqlite3
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from imd.errors import Unavailable
from imd.interfaces import Reactor, Timer

APPLICATION_ID = 0x696D6401  # "imd\1" in the file's header: a file of somebody else's is refused
GROUP = 512  # calls that share a commit at most; also what one reactor turn wakes
GROUP_ROWS = 10_000  # rows that share a commit, about: a fifth of a second, in which nobody else gets an answer
TROUBLE_SECONDS = 10.0  # how long a failed commit makes the process unready

T = TypeVar("T")
Run = Callable[[sqlite3.Connection], T]  # called in the thread, inside a transaction
# Called in the reactor's thread with what ``Run`` answered; None = nothing was done.
Settle = Callable[[T | None], None]

_log = Logger()


class _Call:
    __slots__ = ("answer", "deferred", "rows", "run", "settle", "unavailable")

    def __init__(self, run: Run[Any], settle: Settle[Any], unavailable: type[Unavailable], rows: int) -> None:
        self.run = run
        self.settle = settle
        self.unavailable = unavailable
        self.rows = rows
        self.deferred: Deferred[Any] = Deferred()
        self.answer: Any = None  # written by the thread, read when the group has come back


class SqliteWriter:
    """Runs functions on a SQLite connection, in order, in a thread of its own.

    Calls that wait together share one transaction, so that thousands a second are durable one by one. The log is
    write-ahead with ``synchronous=FULL``: a commit is on the disk when it returns, so neither kill -9 nor a power cut
    loses it. NORMAL would survive the first only. Measured on a virtual disk (150-byte rows): one row a commit, 7,900 a
    second with FULL and 64,000 with NORMAL; 100 rows a commit, 180,000 and 229,000: in groups, FULL costs a fifth.

    A group that wrote nothing costs no fsync: reads are cheap.

    The file is this process's alone (``locking_mode=EXCLUSIVE``): a second process that opens it is refused. A group that
    is not back within ``deadline_seconds`` fails all who wait, and later calls at once, until the disk answers.
    """

    __slots__ = (
        "_closed",
        "_closing",
        "_deadline",
        "_deadline_seconds",
        "_failed_at",
        "_gathered",
        "_group",
        "_opened",
        "_path",
        "_queue",
        "_reactor",
        "_refusal",
        "_starter",
        "_stuck",
        "_trouble",
        "_unavailable",
        "committed",
    )

    def __init__(
        self, path: str, *, reactor: Reactor, unavailable: type[Unavailable], deadline_seconds: float = 10.0
    ) -> None:
        self._path = Path(path)
        self._reactor = reactor
        self._unavailable = unavailable  # what callers who name nothing else are told when it could not be done
        self._deadline_seconds = deadline_seconds
        self._queue: SimpleQueue[list[_Call] | None] = SimpleQueue()  # groups for the thread; None = end
        self._gathered: deque[_Call] = deque()  # who waits for the next group
        self._group: list[_Call] | None = None  # what the thread has now
        self._starter: Timer | None = None  # due when the first of a group waits for the others of its turn
        self._deadline: Timer | None = None  # while the thread has a group
        self._stuck = False  # the deadline has passed
        self._refusal: str | None = "is not open"  # why calls are refused; None = open
        self._trouble = ""  # what the last failed group met
        self._failed_at: float | None = None  # when that was, on the reactor's clock; None = the last one was good
        # Called in the thread after each group that was committed, before anybody hears of it. Must not raise.
        self.committed: Callable[[sqlite3.Connection], None] = _nothing
        self._opened: Deferred[None] = Deferred()
        self._closed: Deferred[None] = Deferred()
        self._closing = False

    async def open(self) -> None:
        """Make the folder, open the file and take it. Raises with one line when it cannot be used."""
        Thread(target=self._work, name="sqlite", daemon=True).start()
        await self._opened
        self._refusal = None

    async def close(self) -> None:
        """Write what is gathered, then let the file go; returns at the deadline at the latest."""
        if self._closing or self._refusal is not None:
            return
        self._closing = True
        self._refusal = "is closed"
        if self._group is None and not self._gathered:
            self._queue.put(None)
        timer = self._reactor.callLater(self._deadline_seconds, self._end)
        try:
            await self._closed
        finally:
            if timer.active():
                timer.cancel()

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def closed(self) -> bool:
        """Whether calls are refused because it is not open, or no longer."""
        return self._refusal is not None

    def trouble(self) -> str | None:
        """Why calls fail, or failed within the last ``TROUBLE_SECONDS``."""
        if self._refusal is not None:
            return f"{self._path} {self._refusal}"
        if self._stuck:
            return f"{self._path}: the disk has not answered for {self._deadline_seconds:g} s"
        if self._failed_at is not None and self._reactor.seconds() - self._failed_at < TROUBLE_SECONDS:
            return self._trouble
        return None

    def do(
        self, run: Run[T], settle: Settle[T], unavailable: type[Unavailable] | None = None, rows: int = 1
    ) -> "Deferred[T]":
        """Call ``run`` in the thread, commit, call ``settle``, fire.

        ``settle`` is called once for each call, in their order, even when the caller gave up by then. The Deferred fails
        with ``unavailable`` when the file could not be written; what ``run`` did is undone then. ``rows`` is about how
        many it reads or writes.
        """
        if self._refusal is not None or self._stuck:
            settle(None)
            return fail((unavailable or self._unavailable)(self.trouble()))
        call = _Call(run, settle, unavailable or self._unavailable, rows)
        self._gathered.append(call)
        if self._group is None and self._starter is None:
            # others of this reactor turn join
            self._starter = self._reactor.callLater(0, self._hand_over)
        return call.deferred

    def _hand_over(self) -> None:
        self._starter = None
        rows = 0
        group: list[_Call] = []
        while self._gathered and len(group) < GROUP and rows < GROUP_ROWS:
            group.append(self._gathered.popleft())
            rows += group[-1].rows
        self._group = group
        self._deadline = self._reactor.callLater(self._deadline_seconds, self._give_up)
        self._queue.put(group)

    def _give_up(self) -> None:
        """The disk does not answer: nobody waits for it any longer."""
        self._stuck = True
        _log.warn("sqlite: {trouble}", trouble=self.trouble())
        for call in [*(self._group or ()), *self._gathered]:
            if not call.deferred.called:
                call.deferred.errback(call.unavailable(self.trouble()))

    def _come_back(self, group: list[_Call], error: Exception | None) -> None:
        """A group is done, or undone because of ``error``."""
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._stuck = False
        self._failed_at = None
        if isinstance(error, sqlite3.Error):
            self._trouble, self._failed_at = _words(self._path, error), self._reactor.seconds()
            _log.warn("sqlite: {trouble}", trouble=self._trouble)
        elif error is not None:
            _log.failure("sqlite: a fault of ours", Failure(error))
        for call in group:
            call.settle(None if error else call.answer)
            if call.deferred.called:
                continue
            if error is None:
                call.deferred.callback(call.answer)
            else:
                call.deferred.errback(call.unavailable(_words(self._path, error)))
        self._group = None
        if self._gathered:
            self._hand_over()
        elif self._closing:
            self._queue.put(None)

    def _end(self) -> None:
        if not self._closed.called:
            self._closed.callback(None)

    # in the thread

    def _work(self) -> None:
        try:
            connection = _connect(self._path)
        except (OSError, sqlite3.Error) as error:
            self._reactor.callFromThread(self._opened.errback, self._unavailable(_words(self._path, error)))
            return
        self._reactor.callFromThread(self._opened.callback, None)
        while group := self._queue.get():
            undone = _commit(connection, group)
            if undone is None:
                self.committed(connection)
            self._reactor.callFromThread(self._come_back, group, undone)
        with suppress(sqlite3.Error):  # what was accepted is in the log already
            connection.close()
        self._reactor.callFromThread(self._end)


def _nothing(_: sqlite3.Connection) -> None:
    """Nobody wants to know."""


def _connect(path: Path) -> sqlite3.Connection:
    """The file, opened and taken for this process alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 67108864")  # bytes that a log once grown keeps
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != APPLICATION_ID and (application or tables):
            raise sqlite3.DatabaseError("it is another program's database")
        # a write, so that the lock is taken and a file that cannot be written is found now
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    except BaseException:
        connection.close()
        raise
    return connection


def _commit(connection: sqlite3.Connection, group: list[_Call]) -> Exception | None:
    """Run the calls in one transaction; on any error none of them happened."""
    try:
        connection.execute("BEGIN")
        for call in group:
            call.answer = call.run(connection)
        connection.execute("COMMIT")
    except Exception as error:  # whatever it was, those who wait must hear of it, and the thread goes on
        with suppress(sqlite3.Error):  # some errors have rolled back by themselves
            connection.execute("ROLLBACK")
        return error
    return None


def _words(path: Path, error: Exception) -> str:
    """One line for an operator."""
    if "locked" in str(error):
        return f"{path} is in use by another process"
    if isinstance(error, OSError):
        return f"{path}: the folder {path.parent} cannot be made: {error.strerror}"
    return f"{path}: {error}"
