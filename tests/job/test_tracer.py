"""Promises of the tracer: it notes, and is never in the way."""

from twisted.internet.defer import Deferred

from imd.errors import PeerDown, Unavailable
from imd.job import tracer
from imd.protocol import rpc
from imd.protocol.push import Target
from imd.protocol.trace import Hop, Step
from tests.support.job_fakes import JobTestCase

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class HopTests(JobTestCase):
    """What is noted."""

    def test_a_push_on_its_way(self) -> None:
        """Taken, routed, and what the comet says; by this job, at its time."""
        self.attach("a", "k", mid=7)
        written = Hop(Step.WRITTEN, 5, "comet/a", "m:7", 1, 7, "phone")
        self.a.outcome = lambda item: rpc.Outcome(delivered=1, hops=(written,))
        dispatcher = self.dispatcher()
        push = self.kept(Target.MEMBERS, mids=(7, 404), trace=TRACE)
        self.assertEqual(
            self.hops(push),
            [
                (Step.TAKEN, "", ""),
                (Step.ROUTED, "", ""),
                (Step.KEPT, "", "not_connected"),
                (Step.WRITTEN, "phone", ""),
            ],
        )
        hops = self.run_now(self.traces.behind.read(push.id))
        self.assertEqual({hop.process for hop in hops}, {"job/j", "comet/a"})
        self.assertEqual((hops[0].at_ms, hops[2].timeline, hops[2].seq, hops[2].mid), (push.at_ms, "m:404", 1, 404))
        (item,) = self.a.items
        self.assertTrue(item.traced)
        self.end(dispatcher)

    def test_who_gets_nothing(self) -> None:
        """Live: dropped, with the key and the reason. Kept: it is in the timeline."""
        self.attach("a", "k")
        self.attach("a", "phone", mid=7)
        self.host("a", "chat://1")
        self.a.error = PeerDown("gone")
        dispatcher = self.dispatcher()
        live = self.push(Target.KEYS, keys=("k", "nobody"), trace=TRACE)
        kept = self.kept(Target.MEMBERS, mids=(7,), trace=TRACE)
        room = self.kept(Target.ROOM, room="chat://1", trace=TRACE)
        empty = self.push(Target.ROOM, room="chat://none", trace=TRACE)
        self.advance(5)
        said = [(Step.DROPPED, "nobody", "not_connected"), (Step.DROPPED, "k", "comet_unavailable")]
        self.assertEqual(self.hops(live)[2:], said)
        self.assertEqual(self.hops(kept)[2:], [(Step.KEPT, "phone", "comet_unavailable")])
        self.assertEqual(self.hops(room)[2:], [(Step.KEPT, "", "comet_unavailable")])
        self.assertEqual(self.hops(empty)[2:], [(Step.DROPPED, "", "not_connected")])
        self.end(dispatcher)

    def test_what_is_not_traced(self) -> None:
        """Costs no call."""
        self.attach("a", "k")
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("k", "nobody"))
        self.assertEqual(self.traces.calls, [])
        self.end(dispatcher)


class AbsenceTests(JobTestCase):
    """The store of traces is away, slow or wrong."""

    def test_an_absent_store(self) -> None:
        """Hops are lost and counted; the push is delivered."""
        self.attach("a", "k")
        dispatcher = self.dispatcher()
        self.traces.error = Unavailable("away")
        self.push(Target.KEYS, keys=("k",), trace=TRACE)
        self.assertEqual((self.a.bodies, self.waiting), ([b"hi"], 0))
        self.assertEqual(self.metrics.trace_hops.value("lost"), 2)
        self.traces.error = ZeroDivisionError()
        self.push(Target.KEYS, keys=("k",), trace=TRACE)
        self.assertEqual((self.metrics.trace_hops.value("lost"), self.waiting), (4, 0))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.end(dispatcher)

    def test_a_store_that_does_not_answer(self) -> None:
        """Delays no delivery; what waits is bounded, and closing does not take for ever."""
        self.attach("a", "k")

        class Mute:
            async def note(self, hops: object) -> None:
                await Deferred()

        self.traces.behind = Mute()
        dispatcher = self.dispatcher()
        hops = (Hop(Step.WRITTEN, 1),) * tracer.MAX_HOPS
        self.a.outcome = lambda item: rpc.Outcome(delivered=1, hops=hops)
        for _ in range(12):
            self.push(Target.KEYS, keys=("k",), trace=TRACE)
        self.assertEqual((len(self.a.bodies), self.waiting), (12, 0))
        self.assertGreater(self.metrics.trace_hops.value("lost"), 2 * tracer.MAX_HOPS)
        closing = Deferred.fromCoroutine(dispatcher.close())
        self.assertNoResult(closing)
        self.advance(tracer.NOTE_SECONDS * tracer.MAX_WAITING / tracer.MAX_NOTED + 10)
        self.successResultOf(closing)
        self.assertEqual(self.metrics.trace_hops.value("lost"), 12 * (tracer.MAX_HOPS + 2))
        self.assertEqual([call for call in self.clock.getDelayedCalls() if call.active()], [])
