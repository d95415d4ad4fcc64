"""What every Traces must do. A backend's test subclasses :class:`TracesContract` together with trial's ``TestCase``."""

from typing import TYPE_CHECKING

from imd.interfaces import Traces
from imd.protocol.rpc import Ack
from imd.protocol.trace import Hop, Step

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Case
else:
    _Case = object

KEEP_SECONDS = 2.0
ROOM, INBOX = "r:live://1", "m:17"
ACCEPTED = Hop(Step.ACCEPTED, 1000, "logic/l1")
BIG = 2**62 + 1  # beyond what a double holds


def stored(seq: int, timeline: str = ROOM, epoch: str = "e-0") -> Hop:
    """A push came into a timeline."""
    return Hop(Step.STORED, 1001, "logic/l1", timeline, seq, epoch=epoch)


def acked(seq: int, device: str, timeline: str = ROOM, mid: int = 17) -> Hop:
    """What :meth:`Traces.acked` notes in these tests."""
    return Hop(Step.ACKED, 2000, "logic/l2", timeline, seq, mid, device)


class TracesContract(_Case):
    """Every sentence of :class:`imd.interfaces.Traces`."""

    async def make_traces(self) -> Traces:
        """None traced, each kept for ``KEEP_SECONDS``; closed by ``addCleanup``."""
        raise NotImplementedError

    async def pass_time(self, seconds: float) -> None:
        """Let at least ``seconds`` go by; at most 3 are asked for."""
        raise NotImplementedError

    async def ack(self, traces: Traces, *acks: Ack) -> None:
        await traces.acked(acks, 2000, "logic/l2")

    async def test_hops_in_order(self) -> None:
        """As they were noted, each push its own, nothing of them changed."""
        traces = await self.make_traces()
        written = Hop(Step.WRITTEN, 1002, "comet/ü", ROOM, 3, -BIG, "phone", "")
        dropped = Hop(Step.DROPPED, 1003, "comet/c1", INBOX, 0, 17, "a:b c", "slow_consumer")
        await traces.note([(1, ACCEPTED), (BIG, written), (1, stored(3))])
        await traces.note([(BIG, dropped)])
        self.assertEqual(await traces.read(1), [ACCEPTED, stored(3)])
        self.assertEqual(await traces.read(BIG), [written, dropped])

    async def test_what_was_not_traced(self) -> None:
        """Has no hops; noting none is nothing."""
        traces = await self.make_traces()
        await traces.note([])
        await self.ack(traces)
        await self.ack(traces, Ack(ROOM, "17:phone", 5, "e-0"))
        self.assertEqual(await traces.read(1), [])

    async def test_hops_of_one_push_are_limited(self) -> None:
        """A thousand: those beyond are dropped, the others stay."""
        traces = await self.make_traces()
        hops = [Hop(Step.WRITTEN, number, "comet/c1", ROOM, 1, number, "phone") for number in range(1200)]
        await traces.note([(1, hop) for hop in hops])
        await traces.note([(1, ACCEPTED), (2, ACCEPTED)])
        self.assertEqual(await traces.read(1), hops[:1000])
        self.assertEqual(await traces.read(2), [ACCEPTED])

    async def test_forgotten_after_a_time(self) -> None:
        """Counted from the last hop."""
        traces = await self.make_traces()
        await traces.note([(1, stored(1)), (2, stored(2))])
        await self.pass_time(KEEP_SECONDS * 0.6)
        await traces.note([(2, ACCEPTED)])
        await self.pass_time(KEEP_SECONDS * 0.6)
        self.assertEqual(await traces.read(1), [])
        self.assertEqual(await traces.read(2), [stored(2), ACCEPTED])
        await self.ack(traces, Ack(ROOM, "17:phone", 2, "e-0"))
        self.assertEqual(await traces.read(1), [])
        self.assertEqual(await traces.read(2), [stored(2), ACCEPTED, acked(2, "phone")])

    async def test_acks_find_what_they_are_about(self) -> None:
        """All traced messages of the timeline up to the ack, each once for each device."""
        traces = await self.make_traces()
        await traces.note([(1, stored(1)), (2, stored(5)), (3, stored(9)), (4, stored(1, INBOX))])
        await self.ack(traces, Ack(ROOM, "17:phone", 7, "e-0"))
        self.assertEqual(await traces.read(1), [stored(1), acked(1, "phone")])
        self.assertEqual(await traces.read(2), [stored(5), acked(5, "phone")])
        await self.ack(traces, Ack(ROOM, "17:phone", 8, "e-0"), Ack(ROOM, "18:pad:1", 9, "e-0"))
        self.assertEqual(await traces.read(1), [stored(1), acked(1, "phone"), acked(1, "pad:1", mid=18)])
        self.assertEqual(await traces.read(3), [stored(9), acked(9, "pad:1", mid=18)])
        self.assertEqual(await traces.read(4), [stored(1, INBOX)])

    async def test_one_push_in_several_timelines(self) -> None:
        """Each has its own seq and its own acks."""
        traces = await self.make_traces()
        other = "m:18"
        await traces.note([(BIG, stored(4, INBOX)), (BIG, stored(2, other))])
        await self.ack(traces, Ack(INBOX, "17:phone", 3, "e-0"), Ack(other, "18:phone", 3, "e-0"))
        self.assertEqual((await traces.read(BIG))[2:], [acked(2, "phone", other, 18)])

    async def test_another_epoch_is_another_numbering(self) -> None:
        """Its acks are about other messages."""
        traces = await self.make_traces()
        await traces.note([(1, stored(1)), (2, stored(1, epoch="f-1"))])
        await self.ack(traces, Ack(ROOM, "17:phone", 1, "e-0"))
        self.assertEqual(await traces.read(1), [stored(1), acked(1, "phone")])
        self.assertEqual(await traces.read(2), [stored(1, epoch="f-1")])

    async def test_acks_of_a_busy_timeline(self) -> None:
        """The newest thousand of its traced messages are found."""
        traces = await self.make_traces()
        await traces.note([(number, stored(number)) for number in range(1, 1101)])
        await self.ack(traces, Ack(ROOM, "17:phone", 1100, "e-0"))
        self.assertEqual(await traces.read(100), [stored(100)])
        self.assertEqual(await traces.read(101), [stored(101), acked(101, "phone")])
        self.assertEqual(await traces.read(1100), [stored(1100), acked(1100, "phone")])
