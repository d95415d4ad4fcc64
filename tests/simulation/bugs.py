"""Bugs to plant: the simulation is worth what it finds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from imd.backend.broker_memory import BrokerMemory
from imd.backend.presence_memory import PresenceMemory
from imd.backend.redis_appender import RedisAppender
from imd.backend.sightings import Sightings
from imd.backend.timelines_memory import TimelinesMemory
from imd.comet.bucket import Bucket
from imd.comet.channel import Channel
from imd.comet.delivery import Delivery
from imd.comet.fanout import Fanout
from imd.comet.fences import Fences
from imd.comet.handshake import Handshake
from imd.comet.letters import Letters
from imd.comet.outbox import Flow, Outbox
from imd.comet.position import Position, Stage
from imd.comet.postman import Postman
from imd.comet.reservoir import Reservoir
from imd.comet.room import Room
from imd.comet.squad import Squad
from imd.comet.tally import Tally
from imd.errors import ImdError
from imd.interfaces import Entry, Location, Receipt
from imd.job.handover import HandOver
from imd.job.lane import Miss
from imd.job.parcel import Parcel
from imd.job.partition import Partition
from imd.protocol import rpc
from imd.protocol.push import Push
from imd.protocol.rpc import Follow, Item, Page
from imd.protocol.timeline import Place
from imd.service.links import LogicLinks


async def commit_first(self: Partition, entries: list[Entry]) -> None:
    """Broker entries are committed before they are handed over."""
    await self._broker.commit(self._number, [entry.token for entry in entries], self._fence)
    self._metrics.committed.add(-len(entries))  # it counts once
    await _take(self, entries)


async def detach_anybody(self: PresenceMemory, location: Location, key: str, mid: int) -> bool:
    """Presence removes a key without comparing whose it is."""
    if key in self._keys:
        self._remove(key)
    return True


async def open_early(self: Handshake, rooms: Sequence[str]) -> bool:
    """Op 8 is written before the rooms are hosted."""
    for room in rooms if self._waited_for() else ():
        self._edge.work.start(_hold(self, room))
    return self._waited_for()


def drop_in_silence(self: Reservoir, packets: int, drop: Any) -> None:
    """What an outbox drops is not counted."""


def evict_newcomer(self: Bucket, channel: Channel) -> bool:
    """A late loss takes out whoever has the key by now."""
    return self.channels.pop(channel.key, None) is not None


async def shift_verdicts(self: LogicLinks, clients: Sequence[rpc.Connect]) -> list[rpc.Connected | ImdError | None]:
    """Of those who share a request each gets the answer of the one before."""
    verdicts = await _connect_all(self, clients)
    return [*verdicts[-1:], *verdicts[:-1]]


async def forget_one(self: LogicLinks, ends: Sequence[rpc.Disconnect]) -> list[rpc.Done | ImdError | None]:
    """Of those who go together logic does not hear of the last."""
    if len(ends) > 1:
        return [*await _disconnect_all(self, ends[:-1]), rpc.Done()]
    return await _disconnect_all(self, ends)


async def accept_all(self: RedisAppender, pushes: Sequence[Push]) -> list[Receipt]:
    """A call that failed is answered as if all that had gathered for it were stored."""
    try:
        return await _call(self, pushes)
    except ImdError:
        if len(pushes) == 1:
            raise
        return [Receipt(push.id, places=tuple(Place(1, "none") for _ in push.timelines)) for push in pushes]


def stay_in_formation(self: Outbox, moves: Mapping[Flow, Flow]) -> None:
    """A pause does not dissolve what its squads are sent to by."""
    self._flow = moves.get(self._flow, self._flow)
    self.sink = self._connection.sink if self._flow is Flow.FLOWING else None


def leave_unnoticed(self: Squad, channel: Channel) -> None:
    """Nor does it when a member leaves the room."""
    del self.members[channel]
    channel.outbox.squads = tuple([other for other in channel.outbox.squads if other is not self])


def never_dissolve(self: Squad) -> None:
    """Whatever becomes of its members, a squad is sent to as at its first push."""


def enter_awaited(self: Room) -> Squad:
    """Who comes back in the middle of a push is put where that has yet to come to."""
    for squad in self.squads:
        if squad.awaited:
            return squad
    return _roomy(self)


def lose_rest(self: Fanout, channel: Channel, rest: bytes, ending: object) -> bool:
    """What a kernel did not take of a push is forgotten."""
    return True


def deliver_backwards(self: Postman, letters: Letters, most: int) -> int:
    """Letters that waited together leave in another order."""
    letters.items.reverse()
    return _deliver(self, letters, most)


def settle_alike(self: HandOver, parcels: Sequence[Parcel], outcomes: Sequence[rpc.Outcome | Miss]) -> None:
    """What went to a comet together is settled as the first of it was."""
    _settle(self, parcels, [outcomes[0]] * len(outcomes))


_take = Partition._take
_connect_all = LogicLinks._connect_all
_call = RedisAppender._call
_disconnect_all = LogicLinks._disconnect_all
_roomy = Room._roomy
_deliver = Postman.deliver
_settle = HandOver._settle
_page = TimelinesMemory._page
_opened = Position.opened
_follow = Position.follow
_keep = BrokerMemory._keep
_find = Delivery._find


async def _hold(self: Handshake, room: str) -> None:
    while True:
        try:
            await self._edge.interest.hold(room)
        except ImdError:
            await self._edge.work.pause(0.1)
        else:
            return


def tell_nothing(self: Sightings) -> str:
    """Nobody tells the store what was seen of it, so that its epoch stays when it goes back."""
    return ""


def recover_always(self: TimelinesMemory, follow: Follow, room: int, now: int) -> tuple[Page, int]:
    """Resuming does not look at the window."""
    page, size = _page(self, follow, room, now)
    return msgspec.structs.replace(page, recovered=page.recovered or follow.epoch == page.head.epoch), size


def live_first(self: Position, last: int, head: int, epoch: str) -> None:
    """Live messages are written before those that were missed."""
    _opened(self, last, head, epoch)
    self.last = self.head


def stay_behind(self: Position, count: int, first: int, epoch: str) -> bool:
    """What was written does not move the position, so that it is written again."""
    last = self.last
    follows = _follow(self, count, first, epoch)
    self.last = last
    return follows


def let_in(self: Fences, partition: int, fence: int) -> None:
    """Fences are not looked at."""


def jump(self: Position, count: int, first: int, epoch: str) -> bool:
    """A gap is written over."""
    if self.stage is Stage.LIVE and epoch == self.epoch and first > self.last:
        self.last = first + count - 1
        return True
    return _follow(self, count, first, epoch)


def keep_some(self: BrokerMemory, push: Push) -> tuple[Place, ...]:
    """Some kept pushes are in the broker, and not in their timelines."""
    if push.id % 5:
        return _keep(self, push)
    return tuple(Place(1, "none") for _ in push.timelines)


def find_anybody(self: Delivery, item: Item, tally: Tally) -> Iterator[Channel]:
    """What is for a member goes to whoever has the key by now."""
    return _find(self, msgspec.structs.replace(item, mids=()), tally)


class Bug(NamedTuple):
    """Where it is planted, and what the fault says that finds it."""

    owner: type
    attribute: str
    replacement: Callable[..., Any]
    evidence: str


LOST, UNBALANCED, STALE = "did not get", "does not balance", "were sent to descriptor"

BUGS = {
    "commit before handing over": Bug(Partition, "_take", commit_first, LOST),
    "presence removes without comparing": Bug(PresenceMemory, "detach", detach_anybody, LOST),
    "op 8 before the room is hosted": Bug(Handshake, "_hosted", open_early, LOST),
    "dropping without counting": Bug(Reservoir, "dropped", drop_in_silence, UNBALANCED),
    "a late loss evicts the newcomer": Bug(Bucket, "remove", evict_newcomer, LOST),
    "epoch kept after loss": Bug(Sightings, "told", tell_nothing, "was not told"),
    "resume does not look at the window": Bug(TimelinesMemory, "_page", recover_always, "gap without a reason"),
    "live before what was missed": Bug(Position, "opened", live_first, "gap without a reason"),
    "written and not moved": Bug(Position, "follow", stay_behind, "was written twice"),
    "a gap is written over": Bug(Position, "follow", jump, "gap without a reason"),
    "fences are not looked at": Bug(Fences, "check", let_in, "after a newer owner's"),
    "in the broker and not in the timeline": Bug(BrokerMemory, "_keep", keep_some, "not in its timeline"),
    "a member's push to whoever has the key": Bug(Delivery, "_find", find_anybody, "is for another member"),
    "verdicts shifted by one": Bug(LogicLinks, "_connect_all", shift_verdicts, "is for another member"),
    "one of a batch is not disconnected": Bug(LogicLinks, "_disconnect_all", forget_one, "presence of nobody"),
    "all of a failed publish accepted": Bug(RedisAppender, "_call", accept_all, "is not in the broker"),
    "not dissolved by a pause": Bug(Outbox, "_turn", stay_in_formation, "past what waits"),
    "not dissolved by a leave": Bug(Squad, "leave", leave_unnoticed, UNBALANCED),
    "never dissolved": Bug(Squad, "stir", never_dissolve, STALE),
    "entered in the middle of a push": Bug(Room, "_roomy", enter_awaited, "twice"),
    "the rest of a short send is lost": Bug(Fanout, "_finish", lose_rest, "what are no packets"),
    "letters delivered backwards": Bug(Postman, "deliver", deliver_backwards, " before p"),
    "settled as the first was": Bug(HandOver, "_settle", settle_alike, UNBALANCED),
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """With this bug in the code; an empty name is none."""
    if not name:
        yield
        return
    bug = BUGS[name]
    healthy = getattr(bug.owner, bug.attribute)
    setattr(bug.owner, bug.attribute, bug.replacement)
    try:
        yield
    finally:
        setattr(bug.owner, bug.attribute, healthy)
