"""Outbox: between pushes and one client's socket; bounded in bytes."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING

from imd.comet.drop import Drop
from imd.comet.held import ENTRY_BYTES, Held
from imd.comet.load import Load
from imd.comet.policy import SlowPolicy
from imd.comet.reservoir import Reservoir
from imd.interfaces import Connection, Sink

if TYPE_CHECKING:
    from imd.comet.squad import Squad

WRITE_BYTES = 65536  # joined in one write when a client reads again: the kernel takes little more at once


class Flow(Enum):
    """Where a wire goes."""

    FLOWING = 1  # straight to the connection
    PAUSED = 2  # held: the kernel has enough
    CORKED = 3  # held: something else must go first
    CHOKED = 4  # held for both reasons
    ENDED = 5  # nowhere


_PAUSED = {Flow.FLOWING: Flow.PAUSED, Flow.CORKED: Flow.CHOKED}
_RESUMED = {Flow.PAUSED: Flow.FLOWING, Flow.CHOKED: Flow.CORKED}
_CORKED = {Flow.FLOWING: Flow.CORKED, Flow.PAUSED: Flow.CHOKED}
_UNCORKED = {Flow.CORKED: Flow.FLOWING, Flow.CHOKED: Flow.PAUSED}

_FLOWING = Flow.FLOWING  # an attribute of an Enum is slow to reach, and every delivery asks for this one


class Outbox:
    """Whole wires to one connection, in the order they came; a packet is never cut.

    Replies and pushes share the order. It never closes the connection: it answers why not, and the caller ends the
    session after its loop.
    """

    __slots__ = ("_connection", "_flow", "_held", "_reservoir", "drops", "framed", "packets_out", "sink", "squads")

    def __init__(self, *, connection: Connection, reservoir: Reservoir) -> None:
        self._connection = connection
        self.framed = connection.framed  # WebSocket
        self._reservoir = reservoir
        self._flow = Flow.FLOWING
        self.sink: Sink | None = connection.sink  # None unless it flows, and when all must be written
        # Its channel's, one a room. They send to the sink past this outbox, and are stirred before that may no longer be.
        self.squads: tuple[Squad, ...] = ()
        self._held: Held | None = None  # None = nothing is held (nearly always)
        # Packets written or held, less those dropped later: pushes and replies. What squads sent comes when they are stirred.
        self.packets_out = 0
        self.drops = 0  # pushed packets not delivered, for whatever reason

    @property
    def oldest_at(self) -> float:
        """Clock seconds when the oldest held wire came. Only when something is held."""
        assert self._held is not None
        return self._held.oldest_at

    @property
    def held_bytes(self) -> int:
        """What is held, bookkeeping included."""
        return 0 if self._held is None else self._held.size_bytes

    @property
    def held_packets(self) -> int:
        """Pushed packets held."""
        return 0 if self._held is None else self._held.packets

    @property
    def idle(self) -> bool:
        """Whether what is offered goes straight to the connection."""
        return self._flow is _FLOWING and self._held is None

    @property
    def ended(self) -> bool:
        """Whether nothing more is taken."""
        return self._flow is Flow.ENDED

    def when_idle(self, call: Callable[[], None]) -> None:
        """Call it, once, when this is idle or has ended. Precondition: it is not idle."""
        if self._flow is Flow.ENDED:
            call()
        else:
            self._reservoir.waiting.setdefault(self, []).append(call)

    def offer(self, load: Load) -> Drop | None:
        """Write or hold a push; None when done, else why not.

        After ``SLOW_CONSUMER`` the outbox has ended and the caller must end the session.
        """
        if self._flow is _FLOWING:
            self.packets_out += load.packets
            data = load.wire.frame if self.framed else load.wire.packets
            sent = 0
            if self.sink is not None:
                try:
                    sent = self.sink.send(data)
                except OSError:  # it is full, or broken: whoever writes finds that again, and knows what to do
                    sent = 0
            if sent < len(data):
                self.finish(data[sent:])
            return None
        drop = Drop.CLOSING if self._flow is Flow.ENDED else self._hold(load)
        if drop is not None:
            self.drops += load.packets
        return drop

    def finish(self, rest: bytes) -> None:
        """Write what the sink did not take of a wire. Nothing was written in between."""
        self._connection.write(rest)

    def replay(self, load: Load) -> Drop | None:
        """:meth:`offer` messages out of a timeline; they have an account of their own."""
        flowing = self._flow is _FLOWING
        drop = self.offer(load)
        self._reservoir.replayed(load.packets, drop.value if drop else "written" if flowing else "held")
        return drop

    def reply(self, data: bytes) -> bool:
        """Write or hold a reply. False when there is no room: then the outbox has ended, the caller ends the session."""
        if self._flow is Flow.FLOWING:
            self._connection.write(data)
        elif self._flow is Flow.ENDED:
            return False
        else:
            if not self._may_fit(len(data)):
                self.end(flush=False)
                return False
            self._make_room(len(data))
            self._holding().reply(data, self._reservoir.clock.seconds())
        self.packets_out += 1
        return True

    def pause(self) -> None:
        """The connection wants nothing more for now."""
        self._turn(_PAUSED)

    def resume(self) -> None:
        """The connection wants more: write what was held, joined, until it has enough again."""
        self._turn(_RESUMED)
        self._write_held()
        self._rouse()

    def cork(self) -> None:
        """Hold everything, until :meth:`uncork`: something must go before it."""
        self._turn(_CORKED)

    def uncork(self, first: bytes) -> None:
        """Write ``first``, though the connection may have enough; then what was held meanwhile. Nothing when it has ended."""
        if self._flow not in _UNCORKED:
            return
        self.packets_out += 1
        self._connection.write(first)
        self._turn(_UNCORKED)
        self._write_held()
        self._rouse()

    def end(self, *, flush: bool) -> None:
        """Nothing more is taken. What is held goes to the connection (``flush``) or is counted as lost; under a cork it is
        lost: what must go before it will not."""
        self._stir()
        flush = flush and self._flow not in _UNCORKED
        try:
            while flush and self._held is not None:
                self._flow = Flow.FLOWING  # though the connection asked for a pause: it is the last that it gets
                self._write_held()
        finally:
            self._flow = Flow.ENDED
            self.sink = None
            if self._held is not None:
                self._dropped(self._held.packets, Drop.OUTBOX_LOST)
                self._emptied()
            self._rouse()

    def _stir(self) -> None:
        for squad in self.squads:
            squad.stir()

    def _turn(self, moves: Mapping[Flow, Flow]) -> None:
        self._stir()
        self._flow = moves.get(self._flow, self._flow)
        self.sink = self._connection.sink if self._flow is _FLOWING else None

    def _rouse(self) -> None:
        """Tell who waits for it that this is idle, or has ended."""
        waiting = self._reservoir.waiting
        if waiting and (self._flow is Flow.ENDED or self.idle):
            for call in waiting.pop(self, ()):
                call()

    def _write_held(self) -> None:
        """While it flows. A write may pause or even end this outbox."""
        while (held := self._held) is not None and self._flow is Flow.FLOWING:
            packets = held.packets
            data = held.take(WRITE_BYTES)
            self._reservoir.written(packets - held.packets)
            if not held:
                self._emptied()
            self._connection.write(data)

    def _hold(self, load: Load) -> Drop | None:
        """Precondition: paused, or corked."""
        data = load.wire.bytes_for(self.framed)
        if load.policy is SlowPolicy.DISCONNECT:
            if not self._fits(len(data)):
                self.end(flush=False)
                return Drop.SLOW_CONSUMER
        else:
            if not self._may_fit(len(data)):
                return Drop.FULL
            if load.policy is SlowPolicy.LATEST_ONLY and self._held is not None:
                self._dropped(self._held.supersede(load.room), Drop.OUTBOX_SUPERSEDED)
            self._make_room(len(data))
        now = self._reservoir.clock.seconds()
        self._holding().push(data, load.packets, load.policy, load.room, now)
        self.packets_out += load.packets
        self._reservoir.held(load.packets)
        return None

    def _fits(self, size: int) -> bool:
        return self.held_bytes + size + ENTRY_BYTES <= self._reservoir.limit_bytes

    def _may_fit(self, size: int) -> bool:
        """Whether it fits once all pushes that may go are gone."""
        held = self._held
        kept_bytes = 0 if held is None else held.size_bytes - held.droppable_bytes
        return kept_bytes + size + ENTRY_BYTES <= self._reservoir.limit_bytes

    def _make_room(self, size: int) -> None:
        """Evict the oldest pushes that may go until ``size`` bytes fit. Precondition: they may, and are held next: the eviction
        may leave nothing, and what holds nothing is no holder."""
        while self._held is not None and not self._fits(size):
            self._dropped(self._held.evict(), Drop.OUTBOX_OLDEST)

    def _dropped(self, packets: int, drop: Drop) -> None:
        self.packets_out -= packets
        self.drops += packets
        self._reservoir.dropped(packets, drop)

    def _holding(self) -> Held:
        if self._held is None:
            self._held = Held()
            self._reservoir.holders.add(self)
        return self._held

    def _emptied(self) -> None:
        self._held = None
        self._reservoir.holders.discard(self)
