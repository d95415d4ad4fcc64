"""What became of a push is told as far as it is known, and no further."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from imd.backend.broker_memory import BrokerMemory
from imd.backend.timelines_memory import TimelinesMemory
from imd.backend.traces_memory import TracesMemory
from imd.errors import NotFound
from imd.logic.fate import MAX_TIMELINES, DeviceFate, Fates, HopTold, State
from imd.metrics import Metrics
from imd.protocol.push import Push, Target
from imd.protocol.rpc import Ack
from imd.protocol.timeline import Place
from imd.protocol.trace import Hop, Step

NOW = 1_800_000_000_000
ROOM, INBOX = "r:live://1", "m:17"


class FatesTests(TestCase):
    """On stores in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        eras = iter(("one", "two"))
        self.timelines = TimelinesMemory(metrics=Metrics(), now_ms=self.now_ms, make_epoch=lambda: next(eras))
        self.broker = BrokerMemory(
            partitions=1, clock=self.clock, metrics=Metrics(), timelines=self.timelines, now_ms=self.now_ms
        )
        self.traces = TracesMemory(clock=self.clock)
        self.fates = Fates(traces=self.traces, timelines=self.timelines)
        self.successResultOf(Deferred.fromCoroutine(self.broker.open()))

    def now_ms(self) -> int:
        return NOW + int(self.clock.seconds() * 1000)

    async def push(self, push: Push) -> tuple[Place, ...]:
        """Published and traced, as logic does both."""
        (receipt,) = await self.broker.publish([(0, push)])
        hops = [Hop(Step.ACCEPTED, push.at_ms, "logic/l1")]
        for timeline, place in zip(push.timelines, receipt.places, strict=True):
            hops.append(Hop(Step.STORED, push.at_ms + 1, "logic/l1", timeline, place.seq, epoch=place.epoch))
        await self.note(*hops, id=push.id)
        return receipt.places

    async def to_room(self, id: int = 1, count: int = 10) -> Place:
        """A kept push to the room."""
        push = Push(id, NOW, Target.ROOM, 1000, b"hi", room="live://1", keep_count=count, keep_ms=60_000)
        return (await self.push(push))[0]

    async def to_members(self, *mids: int) -> tuple[Place, ...]:
        """Kept pushes to inboxes."""
        return await self.push(Push(1, NOW, Target.MEMBERS, 1000, b"hi", mids=mids, keep_count=10, keep_ms=60_000))

    async def note(self, *hops: Hop, id: int = 1) -> None:
        await self.traces.note([(id, hop) for hop in hops])

    async def ack(self, timeline: str, device: str, place: Place) -> None:
        """The device's position; the hop is lost."""
        await self.timelines.ack([Ack(timeline, device, place.seq, place.epoch)])

    async def devices(self, id: int = 1) -> list[DeviceFate]:
        return (await self.fates.of(id)).devices

    async def test_not_traced(self) -> None:
        """There is nothing to tell, and the words say what to do."""
        error = await self.assertFailure(Deferred.fromCoroutine(self.fates.of(5)), NotFound)
        self.assertIn("imdctl push --trace", str(error))

    async def test_a_live_push(self) -> None:
        """Its hops say all there is: the last of a device counts, whatever their order of arrival."""
        await self.note(Hop(Step.WRITTEN, NOW + 9, "comet/c1", mid=17, device="phone"))
        await self.note(Hop(Step.ACCEPTED, NOW, "logic/l1"), Hop(Step.STORED, NOW + 1, "logic/l1"))
        await self.note(Hop(Step.QUEUED, NOW + 5, "comet/c1", mid=17, device="phone"))
        await self.note(Hop(Step.DROPPED, NOW + 6, "comet/c1", device="k1", reason="outbox_oldest"))
        fate = await self.fates.of(1)
        self.assertEqual((fate.id, fate.accepted_at), ("1", NOW))
        self.assertEqual([hop.at for hop in fate.hops], [NOW, NOW + 1, NOW + 5, NOW + 6, NOW + 9])
        self.assertEqual(fate.hops[2], HopTold(Step.QUEUED, NOW + 5, "comet/c1", mid="17", device="phone"))
        self.assertEqual(
            fate.devices,
            [
                DeviceFate(State.WRITTEN, "", "17", "phone", at=NOW + 9),
                DeviceFate(State.DROPPED, "", "", "k1", "outbox_oldest", NOW + 6),
            ],
        )

    async def test_acked(self) -> None:
        """By a hop, or by the device's position where the hop is lost; nothing after it changes that."""
        place = await self.to_room()
        await self.note(
            Hop(Step.WRITTEN, NOW + 2, "comet/c1", ROOM, place.seq, 17, "phone"),
            Hop(Step.WRITTEN, NOW + 2, "comet/c1", ROOM, place.seq, 18, "pad"),
            Hop(Step.ACKED, NOW + 3, "logic/l1", ROOM, place.seq, 17, "phone"),
            Hop(Step.WRITTEN, NOW + 4, "comet/c2", ROOM, place.seq, 17, "phone"),
        )
        for device in ("17:phone", "18:pad", "0:key"):
            await self.ack(ROOM, device, place)
        self.assertEqual(
            await self.devices(),
            [
                DeviceFate(State.ACKED, ROOM, "17", "phone", at=NOW + 3),
                DeviceFate(State.ACKED, ROOM, "18", "pad"),
                DeviceFate(State.ACKED, ROOM, "", "key"),
            ],
        )

    async def test_not_acked_yet(self) -> None:
        """A position before the push's place says nothing of it."""
        first = await self.to_room()
        second = await self.to_room(2)
        await self.note(Hop(Step.WRITTEN, NOW + 2, "comet/c1", ROOM, second.seq, 17, "phone"), id=2)
        await self.ack(ROOM, "17:phone", first)
        self.assertEqual(await self.devices(2), [DeviceFate(State.WRITTEN, ROOM, "17", "phone", at=NOW + 2)])

    async def test_a_member_without_a_connection(self) -> None:
        """Waits in the inbox, said so by job or not; until a device of the member is known."""
        places = await self.to_members(17, 18)
        await self.note(Hop(Step.KEPT, NOW + 2, "job/j1", "m:18", places[1].seq, 18, reason="not_connected"))
        self.assertEqual(
            await self.devices(),
            [
                DeviceFate(State.QUEUED, "m:18", "18", "", "not_connected", NOW + 2),
                DeviceFate(State.QUEUED, INBOX, "17"),
            ],
        )
        await self.ack("m:18", "18:phone", places[1])
        self.assertIn(DeviceFate(State.ACKED, "m:18", "18", "phone"), await self.devices())
        self.assertEqual(len(await self.devices()), 2)

    async def test_a_device_that_is_away(self) -> None:
        """One that once acked something of the inbox has this to come, beside those that have it; in a room nobody knows."""
        (first,) = await self.to_members(17)
        await self.ack(INBOX, "17:pad", first)
        (place,) = await self.push(Push(2, NOW, Target.MEMBERS, 1000, b"hi", mids=(17,), keep_count=10, keep_ms=60_000))
        await self.note(Hop(Step.WRITTEN, NOW + 2, "comet/c1", INBOX, place.seq, 17, "phone"), id=2)
        written = DeviceFate(State.WRITTEN, INBOX, "17", "phone", at=NOW + 2)
        self.assertEqual(await self.devices(2), [written, DeviceFate(State.QUEUED, INBOX, "17", "pad")])
        self.clock.advance(61)
        states = [(device.device, device.state) for device in await self.devices(2)]
        self.assertEqual(states, [("phone", State.EXPIRED), ("pad", State.EXPIRED)])

    async def test_left_the_window(self) -> None:
        """By age or number: expired for whoever had not acked it."""
        place = await self.to_room(count=2)
        await self.note(
            Hop(Step.WRITTEN, NOW + 2, "comet/c1", ROOM, place.seq, 17, "phone"),
            Hop(Step.ACKED, NOW + 3, "logic/l1", ROOM, place.seq, 18, "pad"),
        )
        await self.to_room(2, count=2)
        self.assertEqual([device.state for device in await self.devices()], [State.WRITTEN, State.ACKED])
        await self.to_room(3, count=2)
        self.assertEqual(
            await self.devices(),
            [
                DeviceFate(State.EXPIRED, ROOM, "17", "phone", "left_the_window"),
                DeviceFate(State.ACKED, ROOM, "18", "pad", at=NOW + 3),
            ],
        )

    async def test_of_an_inbox_that_nobody_read(self) -> None:
        """The message is too old: expired, for the member."""
        await self.to_members(17)
        self.clock.advance(61)
        self.assertEqual(await self.devices(), [DeviceFate(State.EXPIRED, INBOX, "17", "", "left_the_window")])

    async def test_the_store_was_lost(self) -> None:
        """Another numbering: its positions are about other messages, and this one is gone."""
        place = await self.to_room()
        await self.note(Hop(Step.WRITTEN, NOW + 2, "comet/c1", ROOM, place.seq, 17, "phone"))
        self.timelines.empty()
        again = await self.to_room(2)
        self.assertEqual(again.seq, place.seq)
        await self.ack(ROOM, "17:phone", again)
        self.assertEqual(await self.devices(), [DeviceFate(State.EXPIRED, ROOM, "17", "phone", "timeline_reset")])

    async def test_many_members(self) -> None:
        """Only so many inboxes are looked at; of the others hops tell."""
        await self.to_members(*range(1, MAX_TIMELINES + 50))
        devices = await self.devices()
        self.assertEqual(len(devices), MAX_TIMELINES)
