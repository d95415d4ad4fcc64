"""Renewal: keeps presence's lease and entries alive, and learns from the answers."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from math import ceil

from twisted.logger import Logger

from imd.comet.channel import Channel
from imd.comet.departures import Departures
from imd.comet.directory import Directory
from imd.comet.interest import Interest
from imd.comet.limits import Limits
from imd.comet.work import Work
from imd.errors import AuthRefused, CloseReason, ImdError, ServerIdTaken
from imd.interfaces import Clock, LogicClient, Timer
from imd.protocol.rpc import Renew, Renewed

PAGE = 1000  # entries, and rooms, in one request: the wire's limit
RETRY_SECONDS = 1.0  # after a round that failed
RESENDS = 3  # of everything in one round; a lease that lapses more often is trouble


class Renewal:
    """Every ``renew_seconds`` a round: all hosted rooms with their counts, and so many entries that each has its turn within
    ``full_cycle_seconds``. When presence had forgotten this server, or an answer was lost that may have said so, everything at
    once, page after page.

    Only what is really here, and what nobody is about to take over, is listed. A session whose key is another server's by now
    ends with REPLACED.
    """

    _log = Logger()

    __slots__ = (
        "_boot",
        "_clock",
        "_cycle",
        "_departures",
        "_directory",
        "_interest",
        "_lapsed",
        "_limits",
        "_logic",
        "_others",
        "_public",
        "_refused",
        "_renewing",
        "_resent",
        "_server",
        "_timer",
        "_trouble",
        "_work",
    )

    def __init__(
        self,
        *,
        server: str,
        boot: int,
        logic: LogicClient,
        clock: Clock,
        limits: Limits,
        directory: Directory,
        interest: Interest,
        departures: Departures,
        work: Work,
        public: bool,
        refused: Callable[[ImdError], None],
        resent: Callable[[], None],
    ) -> None:
        self._server = server
        self._boot = boot
        self._logic = logic
        self._clock = clock
        self._limits = limits
        self._directory = directory
        self._interest = interest
        self._departures = departures
        self._work = work
        self._public = public  # whether clients of other machines can reach this comet
        self._refused = refused  # told when logic says that this comet must not serve
        # Told when presence had forgotten us and has got everything again: what was pushed meanwhile did not come here
        self._resent = resent
        self._timer: Timer | None = None  # the next round; None = not started, or stopped
        self._cycle: Iterator[Channel] = iter(())  # who has still to be renewed in this cycle
        self._renewing = False  # a round is under way
        self._lapsed = False  # presence had forgotten us, or may have, and has not got everything since
        self._others: dict[str, int] = {}  # hosted room -> its members on other comets, as of the last round
        self._trouble: str | None = "presence has not answered yet"

    def start(self) -> None:
        """The first round begins now."""
        self._due()

    def stop(self) -> None:
        """No more rounds; one that is under way ends by itself."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def leave(self) -> None:
        """Give the lease back: what presence still has of this comet counts no longer."""
        try:
            await self._logic.renew(Renew(server=self._server, boot=self._boot, leaving=True))
        except ImdError as error:  # then it lapses
            self._log.info("the lease was not given back: {error}", error=error)

    def trouble(self) -> str | None:
        """None while presence holds the lease, as far as the last round could tell."""
        return self._trouble

    def online(self, room: str) -> int:
        """Members of the room over the cluster: here as of now, elsewhere as of the last round."""
        return self._directory.count(room) + self._others.get(room, 0)

    async def check(self, channel: Channel) -> None:
        """Renew this one entry now; if it is another server's, end the session."""
        try:
            await self._page([channel], ())
        except ImdError as error:  # its turn comes in the cycle
            self._log.debug("checking {key} failed: {error}", key=channel.key, error=error)
        self._resend()

    def _due(self) -> None:
        self._timer = self._clock.callLater(self._limits.renew_seconds, self._due)
        self._begin()

    def _due_soon(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._clock.callLater(min(RETRY_SECONDS, self._limits.renew_seconds), self._due)

    def _begin(self) -> None:
        if not self._renewing:
            self._renewing = True
            self._work.start(self._round())

    def _resend(self) -> None:
        if self._lapsed and self._timer is not None:
            self._begin()

    async def _round(self) -> None:
        try:
            rooms = self._interest.hosted()
            if not self._lapsed:
                await self._pages(self._next_entries(), rooms)
            for _ in range(RESENDS):
                if not self._lapsed:
                    break
                await self._everything()
            self._others = {room: self._others[room] for room in self._interest.hosted() if room in self._others}
            self._say("presence keeps forgetting this comet" if self._lapsed else None)
        except (AuthRefused, ServerIdTaken) as error:
            self._say(str(error))
            self._refused(error)
        except ImdError as error:
            self._say(f"presence does not know this comet: {error}")
            self._due_soon()
        finally:
            self._renewing = False

    async def _everything(self) -> None:
        self._lapsed = False
        try:
            await self._pages(list(chain.from_iterable(self._directory.channels())), self._interest.hosted())
        except BaseException:  # it has got a part: the next round begins anew
            self._lapsed = True
            raise
        if not self._lapsed:
            self._resent()

    def _say(self, trouble: str | None) -> None:
        if trouble is not None and self._trouble is None:
            self._log.warn("{trouble}", trouble=trouble)
        self._trouble = trouble

    def _next_entries(self) -> list[Channel]:
        """The next share of the cycle."""
        share = ceil(len(self._directory) * self._limits.renew_seconds / self._limits.full_cycle_seconds)
        entries = list(islice(self._cycle, share))
        if len(entries) < share:
            self._cycle = chain.from_iterable(self._directory.channels())
            entries += islice(self._cycle, share - len(entries))
        return entries

    async def _pages(self, channels: Sequence[Channel], rooms: Sequence[str]) -> None:
        """At least one page, for the lease; stops at one that found the lease lapsed."""
        for start in range(0, max(len(channels), len(rooms), 1), PAGE):
            await self._page(channels[start : start + PAGE], rooms[start : start + PAGE])
            if self._lapsed:
                return

    async def _page(self, channels: Sequence[Channel], rooms: Sequence[str]) -> None:
        here = {
            channel.key: channel
            for channel in channels
            if self._directory.find(channel.key) is channel and not self._departures.entering(channel.key)
        }
        counts = {room: self._directory.count(room) for room in self._interest.pin(rooms)} if rooms else {}
        request = Renew(
            server=self._server,
            boot=self._boot,
            entries=tuple((channel.key, channel.mid) for channel in here.values()),
            rooms=tuple(counts.items()),
            public=self._public,
        )
        self._departures.pin(here)
        try:
            renewed = await self._logic.renew(request)
        except ImdError:
            self._lapsed = True  # perhaps: a lost answer may have said so, and no later one says it again
            raise
        finally:
            if rooms:
                self._interest.unpin()
            self._departures.unpin(here)
        self._learn(renewed, here, counts)

    def _learn(self, renewed: Renewed, here: dict[str, Channel], counts: dict[str, int]) -> None:
        self._lapsed = self._lapsed or renewed.lease_lapsed
        for room, members in renewed.rooms:
            if room in counts:
                self._others[room] = max(0, members - counts[room])
        for key in renewed.replaced:
            channel = here.get(key)
            if channel is not None and self._directory.find(key) is channel:
                channel.close(CloseReason.REPLACED)
