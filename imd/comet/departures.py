"""Departures: telling presence whose connection ended."""

from collections.abc import Callable, Collection

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.logger import Logger

from imd.comet.channel import Channel
from imd.comet.directory import Directory
from imd.comet.turns import Turns
from imd.comet.work import Work
from imd.errors import ImdError
from imd.interfaces import LogicClient
from imd.protocol.rpc import Disconnect

RETRY_SECONDS = (1, 2, 4, 8, 16)  # after so many failures an entry is left to presence's own expiry
AT_ONCE = 200  # requests under way; a comet that stops has 15,000 to tell


class _Entering:
    """Handshakes under way with one key."""

    __slots__ = ("count", "kicked", "owed", "turns")

    def __init__(self) -> None:
        self.count = 0
        self.turns = Turns()
        self.kicked: int | None = None  # the code of a kick that came meanwhile, when no channel had the key
        self.owed: set[int] = set()  # members whose connection with this key ended meanwhile


class Departures:
    """Presence hears of every end, unless the key is somebody's here again.

    logic knows a connection by (server, boot, key) only, and requests may overtake each other. So a ``disconnect`` of an old
    connection must never be under way beside the ``connect`` of a newer one with the same key here:

    - While a handshake with the key is under way, an end waits for it (``enter`` ... ``left``): if it comes to nothing,
      presence is told then.
    - While a ``disconnect`` is under way, a handshake waits for it (``settle``).
    - Handshakes with one key go one after the other (``turns``): whoever presence named last must be admitted last.
    - A channel with the key is here: nothing is told. Its own end will be.
    - A renewal that lists the key is under way (``pin``): the end is told after it, for a renewal enters what is missing. A
      handshake waits for it too (``settle``), and none lists a key with a handshake (``entering``): it names the member of the
      older connection, and would put that one in the newer one's place.
    - A kick came for a key that no channel here has: presence named the connection before the directory does. Whoever gets in
      with the key is kicked then.
    - The key came from logic, so that nobody could wait for it, or a late ``disconnect`` did harm: after each one, a channel
      that has the key is handed to ``reassert``.

    A failed request is repeated some times with a growing pause; what is under way is bounded.
    """

    _log = Logger()

    __slots__ = (
        "_boot",
        "_directory",
        "_entering",
        "_flights",
        "_gate",
        "_kick",
        "_limit",
        "_logic",
        "_pinned",
        "_postponed",
        "_reassert",
        "_server",
        "_under_way",
        "_unpinned",
        "_work",
    )

    def __init__(
        self,
        *,
        server: str,
        boot: int,
        logic: LogicClient,
        directory: Directory,
        work: Work,
        limit: int,
        reassert: Callable[[Channel], None],
        kick: Callable[[Channel, int], None],
    ) -> None:
        self._server = server
        self._boot = boot
        self._logic = logic
        self._directory = directory
        self._work = work
        self._limit = limit  # departures under way, pauses included
        self._reassert = reassert  # given a channel whose entry may be gone
        self._kick = kick  # given one that must go, and the code of the close reason
        self._entering: dict[str, _Entering] = {}
        self._flights: dict[str, list[Deferred[None]]] = {}  # key with a request under way -> who waits for its end
        self._pinned: dict[str, int] = {}  # key -> renewals under way that list it
        self._postponed: dict[str, set[int]] = {}  # pinned key -> members whose connection ended
        self._unpinned: dict[str, list[Deferred[None]]] = {}  # pinned key -> who waits until it is not
        self._gate = DeferredSemaphore(AT_ONCE)
        self._under_way = 0

    def __len__(self) -> int:
        """How many ends presence has not heard of yet."""
        return self._under_way

    def enter(self, key: str) -> None:
        """A handshake with this key begins. :meth:`left` must follow, once."""
        self._entering.setdefault(key, _Entering()).count += 1

    def turns(self, key: str) -> Turns:
        """Between ``enter`` and ``left``: one is to be held from before the ``connect`` until the client is in, or is not."""
        return self._entering[key].turns

    async def settle(self, key: str) -> None:
        """When it returns, neither a ``disconnect`` of this key is under way nor a renewal that lists it. Between ``enter`` and
        ``left`` none begins."""
        while key in self._flights or key in self._pinned:
            waiting: Deferred[None] = Deferred()
            waiters = self._flights[key] if key in self._flights else self._unpinned.setdefault(key, [])
            waiters.append(waiting)
            await waiting

    def entering(self, key: str) -> bool:
        """Whether a handshake with this key is under way."""
        return key in self._entering

    def left(self, key: str, mid: int | None) -> None:
        """The handshake is over. ``mid``: presence may hold this member's entry for it; None: it does not, or it should."""
        entering = self._entering[key]
        entering.count -= 1
        if entering.kicked is not None and (channel := self._directory.find(key)) is not None:
            code, entering.kicked = entering.kicked, None
            self._kick(channel, code)
        if mid is not None:
            entering.owed.add(mid)
        if not entering.count:
            del self._entering[key]
            for owed in entering.owed:
                self.leave(key, owed)

    def kick(self, key: str, code: int) -> None:
        """logic wants the connection with this key out, and no channel has it."""
        if key in self._entering:
            self._entering[key].kicked = code

    def leave(self, key: str, mid: int) -> None:
        """A connection that presence names ended; it is out of the directory."""
        if key in self._pinned:
            self._postponed.setdefault(key, set()).add(mid)
        elif self._gone(key, mid):
            if self._under_way >= self._limit:
                self._log.warn("{count} departures are under way: {key} is left to expire", count=self._limit, key=key)
                return
            self._under_way += 1
            self._work.start(self._depart(key, mid))

    def pin(self, keys: Collection[str]) -> None:
        """A renewal that lists these begins."""
        for key in keys:
            self._pinned[key] = self._pinned.get(key, 0) + 1

    def unpin(self, keys: Collection[str]) -> None:
        """It was answered, or will never be."""
        for key in keys:
            self._pinned[key] -= 1
            if not self._pinned[key]:
                del self._pinned[key]
                for mid in self._postponed.pop(key, ()):
                    self.leave(key, mid)
                for waiting in self._unpinned.pop(key, ()):
                    waiting.callback(None)

    def _gone(self, key: str, mid: int) -> bool:
        """Whether nobody here has the key, or is about to."""
        entering = self._entering.get(key)
        if entering is not None:
            entering.owed.add(mid)
            return False
        return self._directory.find(key) is None

    async def _depart(self, key: str, mid: int) -> None:
        try:
            for pause_seconds in RETRY_SECONDS:
                if await self._tell(key, mid):
                    return
                await self._work.pause(pause_seconds)
            if not await self._tell(key, mid):
                self._log.warn("presence could not be told that {key} left: it is left to expire", key=key)
        finally:
            self._under_way -= 1

    async def _tell(self, key: str, mid: int) -> bool:
        """One try; True when nothing is left to tell."""
        await self._gate.acquire()
        try:
            await self.settle(key)
            if not self._gone(key, mid):
                return True
            told = await self._fly(key, mid)
        finally:
            self._gate.release()
        channel = self._directory.find(key)
        if channel is not None:
            self._reassert(channel)
        return told

    async def _fly(self, key: str, mid: int) -> bool:
        waiters = self._flights[key] = []
        try:
            await self._logic.disconnect(Disconnect(server=self._server, boot=self._boot, key=key, mid=mid))
        except ImdError as error:
            self._log.debug("telling that {key} left failed: {error}", key=key, error=error)
            return False
        finally:
            del self._flights[key]
            for waiting in waiters:
                waiting.callback(None)
        return True
