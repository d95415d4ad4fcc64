"""What became of one push, device by device: told from its trace, and from the timelines that have or had it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, unique

import msgspec

from imd.errors import NotFound
from imd.interfaces import Timelines, Traces
from imd.protocol.rpc import Follow, Page
from imd.protocol.timeline import INBOX, Place
from imd.protocol.trace import Hop, Step

MAX_DEVICES = 1_000  # in one answer
MAX_TIMELINES = 100  # of one push that are looked at: a push to more members is told of by its hops alone


@unique
class State(Enum):
    """Where a push is on its way to one device."""

    QUEUED = "queued"  # it waits, for the connection or for the device to come back
    WRITTEN = "written"  # given to the device's connection
    ACKED = "acked"  # the device has said that it has handled it
    EXPIRED = "expired"  # it left the timeline before the device said so
    DROPPED = "dropped"  # it will not be written


# What a step makes of the device that it is about; other steps are about no device.
_STATES = {
    Step.QUEUED: State.QUEUED,
    Step.KEPT: State.QUEUED,
    Step.WRITTEN: State.WRITTEN,
    Step.DROPPED: State.DROPPED,
    Step.ACKED: State.ACKED,
    Step.EXPIRED: State.EXPIRED,
}


_ORDER = {step: number for number, step in enumerate(Step)}  # of steps within a millisecond


class DeviceFate(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of the push on its way to one device."""

    state: State
    timeline: str = ""  # ``r:<room>`` or ``m:<member>``; absent: it was not kept
    mid: str = ""  # the member, in decimal; absent: anonymous
    device: str = ""  # what it calls itself, or its key; absent: the member had no connection
    reason: str = ""  # why it is dropped, or waits
    at: int = 0  # ms since the epoch; absent: not known


class HopTold(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of the way."""

    step: Step
    at: int  # ms since the epoch, by the clock of ``process``
    process: str  # who says so: ``comet/c1``
    timeline: str = ""  # which share of the push; absent: all of it
    seq: int = 0  # its place there
    mid: str = ""  # of the device
    device: str = ""  # absent: not about one
    reason: str = ""


class Fate(msgspec.Struct, frozen=True):
    """The answer. At most 1,000 hops, and as many devices."""

    id: str  # in decimal: more than JavaScript's numbers hold
    accepted_at: int  # ms since the epoch; 0 = not known
    devices: list[DeviceFate]
    hops: list[HopTold]  # by time
    traceparent: str = ""  # that the push carries: its trace id is the back end's, if that sent one; empty = not known


@dataclass(frozen=True, slots=True)
class _Kept:
    """A timeline of the push, and how it is now."""

    place: Place  # of the push
    page: Page  # what stands there now
    positions: dict[str, int]  # device -> what it has handled, in the epoch of ``page``

    @property
    def same(self) -> bool:
        """Whether it is still the numbering in which the push got its place."""
        return self.page.head.epoch == self.place.epoch

    @property
    def there(self) -> bool:
        """Whether the push has not left it: nothing is missing behind the place before it."""
        return self.same and self.page.recovered


class Fates:
    """Tells them. A push whose trace is gone, or that was not traced, has none."""

    __slots__ = ("_timelines", "_traces")

    def __init__(self, *, traces: Traces, timelines: Timelines) -> None:
        self._traces = traces
        self._timelines = timelines

    async def of(self, id: int) -> Fate:
        """Raises :class:`imd.errors.NotFound` for a push that is not traced (any more), :class:`imd.errors.Unavailable`."""
        noted = await self._traces.read(id)
        if not noted:
            raise NotFound(
                f"push {id} is not traced: it did not ask for it (imdctl push --trace) and is not of the share in trace.share, "
                "or it is longer ago than trace.keep_seconds"
            )
        hops = sorted(noted, key=lambda hop: (hop.at_ms, _ORDER[hop.step]))
        kept = await self._look_at({hop.timeline: Place(hop.seq, hop.epoch) for hop in hops if _is_place(hop)})
        at_ms, traceparent = next(((hop.at_ms, hop.traceparent) for hop in hops if hop.step is Step.ACCEPTED), (0, ""))
        return Fate(str(id), at_ms, _devices(hops, kept), [_told(hop) for hop in hops], traceparent)

    async def _look_at(self, places: dict[str, Place]) -> dict[str, _Kept]:
        """Timeline -> how it is now; of the first ``MAX_TIMELINES``."""
        some = dict(list(places.items())[:MAX_TIMELINES])
        follows = [Follow(name, place.seq - 1, place.epoch) for name, place in some.items()]
        pages = await self._timelines.read(follows) if follows else []
        kept = {}
        for page in pages:
            place = some[page.timeline]
            positions = await self._timelines.positions(page.timeline) if page.head.epoch == place.epoch else {}
            kept[page.timeline] = _Kept(place, page, positions)
        return kept


def _is_place(hop: Hop) -> bool:
    return hop.step is Step.STORED and bool(hop.timeline)


def _devices(hops: Sequence[Hop], kept: dict[str, _Kept]) -> list[DeviceFate]:
    """One for each device that anything is known of, and for each member who had none."""
    found: dict[tuple[str, str, str], DeviceFate] = {}  # (timeline, mid, device) -> its fate
    for hop in hops:
        state = _STATES.get(hop.step)
        whose = (hop.timeline, _mid(hop), hop.device)
        known = found.get(whose)
        if state is not None and (known is None or known.state is not State.ACKED):
            found[whose] = DeviceFate(state, *whose, hop.reason, hop.at_ms)
    for timeline, each in kept.items():
        for name, seq in each.positions.items():
            mid, _, device = name.partition(":")
            whose = (timeline, "" if mid == "0" else mid, device)
            known = found.get(whose)
            if seq >= each.place.seq:
                if known is None or known.state is not State.ACKED:
                    found[whose] = DeviceFate(State.ACKED, *whose)
            elif known is None and timeline.startswith(INBOX):  # a room it may have left; an inbox it has for ever
                found[whose] = DeviceFate(State.QUEUED, *whose)
        _add_owner(found, timeline)
    return [_expired(fate, kept) for fate in _without_stand_ins(found.values())[:MAX_DEVICES]]


def _add_owner(found: dict[tuple[str, str, str], DeviceFate], timeline: str) -> None:
    """An inbox of which no device is known: its member has the push to come."""
    mid = timeline.removeprefix(INBOX)
    if timeline.startswith(INBOX) and not any(of == timeline for of, _, _ in found):
        found[timeline, mid, ""] = DeviceFate(State.QUEUED, timeline, mid)


def _without_stand_ins(fates: Iterable[DeviceFate]) -> list[DeviceFate]:
    """A member without a device is told of only until one of the member's devices is known."""
    listed = list(fates)
    known = {(fate.timeline, fate.mid) for fate in listed if fate.device}
    return [fate for fate in listed if fate.device or (fate.timeline, fate.mid) not in known]


def _expired(fate: DeviceFate, kept: dict[str, _Kept]) -> DeviceFate:
    """The fate of a message that has left its timeline, unless the device had it."""
    timeline = kept.get(fate.timeline)
    if timeline is None or timeline.there or fate.state in (State.ACKED, State.EXPIRED):
        return fate
    reason = "left_the_window" if timeline.same else "timeline_reset"
    return DeviceFate(State.EXPIRED, fate.timeline, fate.mid, fate.device, reason)


def _told(hop: Hop) -> HopTold:
    return HopTold(hop.step, hop.at_ms, hop.process, hop.timeline, hop.seq, _mid(hop), hop.device, hop.reason)


def _mid(hop: Hop) -> str:
    """The member: of the device, or of the inbox."""
    if hop.mid:
        return str(hop.mid)
    return hop.timeline.removeprefix(INBOX) if hop.timeline.startswith(INBOX) else ""
