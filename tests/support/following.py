"""A follower between a logic that fakes timelines and channels without sessions."""

from typing import Any

from twisted.internet.defer import Deferred

from imd.comet.channel import Channel
from imd.comet.delivery import Delivery
from imd.comet.directory import Directory
from imd.comet.follower import Follower
from imd.comet.limits import Limits
from imd.comet.outbox import Outbox
from imd.comet.position import Stage
from imd.comet.reservoir import Reservoir
from imd.comet.work import Work
from imd.errors import CloseReason, Overloaded
from imd.metrics import Metrics
from imd.protocol.room_type import Keep, RoomType, RoomTypes
from imd.protocol.rpc import Item, Outcome, Page
from imd.protocol.timeline import Place, room_timeline
from imd.transport.battery import SocketBattery
from tests.support.comet_fakes import FakeConnection, FakeLogic, TurnClock
from tests.support.version_2 import kept_in_room, seqs

ROOM = "kept://1"
TIMELINE = room_timeline(ROOM)


class End:
    """A session as far as its end goes, and the transport's word on whether the kernel has enough."""

    def __init__(self, scene: "Scene") -> None:
        self._scene = scene
        self.channel: Channel | None = None
        self.closes: list[CloseReason] = []

    def close(self, reason: CloseReason, detail: str = "") -> None:
        assert self.channel is not None
        self.closes.append(reason)
        self.channel.outbox.end(flush=True)
        self._scene.directory.remove(self.channel)
        self._scene.follower.forget(self.channel)

    def pause_writing(self) -> None:
        assert self.channel is not None
        self.channel.outbox.pause()

    def resume_writing(self) -> None:
        assert self.channel is not None
        self.channel.outbox.resume()


class Member:
    """One channel, its connection and its end."""

    def __init__(self, scene: "Scene", key: str, mid: int) -> None:
        self.connection = FakeConnection()
        self.end = End(scene)
        session: Any = self.end
        self.connection.session = session
        outbox = Outbox(connection=self.connection, reservoir=scene.reservoir)
        self.channel = self.end.channel = Channel(
            session=session, outbox=outbox, key=key, mid=mid, accepts=frozenset(), version=2
        )
        scene.directory.put(self.channel)

    def stage(self, timeline: str = TIMELINE) -> Stage:
        assert self.channel.positions is not None
        return self.channel.positions[timeline].stage

    def seqs(self) -> list[int]:
        """Of what was written since the last look."""
        return [seq for _, seq in seqs(self.connection.written)]


class Scene:
    """One comet's follower and delivery."""

    def __init__(self, **limits: Any) -> None:
        kept = RoomTypes({"kept": RoomType(keep=Keep(1000, 10**9))})
        self.clock = TurnClock()
        self.logic = FakeLogic()
        self.metrics = Metrics()
        self.limits = Limits(**{"room_types": kept, **limits})
        self.directory = Directory(buckets=2, squad_size=self.limits.deliveries_per_turn)
        self.reservoir = Reservoir(clock=self.clock, metrics=self.metrics, limit_bytes=self.limits.outbox_bytes)
        self.follower = Follower(
            server="c",
            logic=self.logic,
            clock=self.clock,
            metrics=self.metrics,
            limits=self.limits,
            directory=self.directory,
            work=Work(clock=self.clock),
        )
        self.delivery = Delivery(
            directory=self.directory,
            clock=self.clock,
            metrics=self.metrics,
            limits=self.limits,
            arm=SocketBattery,
            kick=lambda key, reason: False,
            follower=self.follower,
            now_ms=lambda: 77,
            process="comet/c",
        )

    def keep(self, *bodies: bytes, timeline: str = TIMELINE) -> int:
        """Append to the timeline; answers the seq of the first."""
        return self.logic.keep(timeline, *bodies)[0].seq

    def push(self, *bodies: bytes) -> Item:
        """Accept messages for the room: they are in its timeline; what job will bring."""
        return kept_in_room(self.keep(*bodies), *bodies, epoch=self.logic.epoch)

    def deliver(self, *items: Item) -> list[Outcome] | None:
        """The outcomes; None when they are not known yet, or the batch was refused."""
        found: list[Outcome] = []
        try:
            self.delivery.deliver(items).addCallback(lambda outcomes: found.extend(outcomes.outcomes))
        except Overloaded:
            return None
        return found or None

    def begin(self, member: Member, place: Place | None = None, timeline: str = TIMELINE) -> Deferred[dict[str, Page]]:
        return Deferred.fromCoroutine(self.follower.begin(member.channel, {timeline: place}))

    def join(self, key: str, place: Place | None = None, mid: int = 0) -> Member:
        """A member of the room that follows it, from the place on."""
        member = Member(self, key, mid)
        self.directory.join(member.channel, ROOM)
        if not self.begin(member, place).called:
            self.turns()  # logic has answered, and others come first
        self.follower.release(member.channel, (TIMELINE,))
        return member

    def turns(self, count: int = 20) -> None:
        """What is put off to the next turns."""
        for _ in range(count):
            self.clock.turn()
