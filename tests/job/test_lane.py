"""Promises of a lane: order, and a comet that is away or busy."""

from imd.errors import BadRequest, ImdError, Overloaded, PeerDown
from imd.protocol import rpc
from imd.protocol.push import Target
from tests.support.job_fakes import JobTestCase, delivered


class OrderTests(JobTestCase):
    """What comes after what."""

    def test_pushes_of_a_partition_arrive_in_order(self) -> None:
        """One request at a time to a comet; what gathers meanwhile leaves in the next."""
        self.attach("a", "k")
        self.a.holding = True
        dispatcher = self.dispatcher()
        for number in range(10):
            self.push(Target.KEYS, b"%d" % number, keys=("k",))
        self.assertEqual(len(self.a.batches), 1)
        self.a.release()
        self.assertEqual(self.a.bodies, [b"%d" % number for number in range(10)])
        self.assertEqual([len(batch.items) for batch in self.a.batches], [1, 9])
        self.end(dispatcher)

    def test_order_holds_when_a_comet_refuses(self) -> None:
        """A refused request is tried again before anything that came later."""
        self.attach("a", "k")
        dispatcher = self.dispatcher()
        self.a.error = Overloaded("busy")
        self.push(Target.KEYS, b"1", keys=("k",))
        self.push(Target.KEYS, b"2", keys=("k",))
        self.a.error = None
        self.a.batches.clear()
        self.clock.advance(1)
        self.assertEqual(self.a.bodies, [b"1", b"2"])
        self.end(dispatcher)


class AbsenceTests(JobTestCase):
    """The comet is away, or refuses."""

    def test_a_comet_that_connects_in_time_gets_what_waited(self) -> None:
        """Nothing was sent to a link that was down, so even a live room push waits for it a little, in order."""
        self.host("a", "live://1")
        dispatcher = self.dispatcher()
        self.a.error = PeerDown("dialling")
        self.push(Target.ROOM, b"1", room="live://1")
        self.push(Target.ROOM, b"2", room="live://1")
        self.advance(1)
        self.a.error = None
        self.a.batches.clear()
        self.advance(1)
        self.assertEqual(self.a.bodies, [b"1", b"2"])
        self.end(dispatcher)

    def test_a_comet_that_the_registry_shows_late(self) -> None:
        """Presence may know it before our watch does."""
        comet = self.comet("new")
        entry = self.comets.comets.pop("new")
        self.attach("new", "k")
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("k",))
        self.advance(0.5)
        self.comets.comets["new"] = entry
        self.advance(1)
        self.assertEqual(comet.bodies, [b"hi"])
        self.end(dispatcher)

    def test_a_comet_that_stays_away_is_waited_for_once(self) -> None:
        """Then its pushes fail at once, counted, until it answers again."""
        self.host("a", "live://1")
        dispatcher = self.dispatcher()
        self.a.error = PeerDown("gone")
        self.push(Target.ROOM, room="live://1")
        self.advance(3)
        self.assertEqual(self.drops("comet_unavailable"), 1)
        self.push(Target.ROOM, room="live://1")
        self.assertEqual(self.drops("comet_unavailable"), 2)
        self.assertEqual(self.waiting, 0)
        self.a.error = None
        self.push(Target.ROOM, b"back", room="live://1")
        self.assertEqual(self.a.bodies[-1], b"back")
        self.end(dispatcher)

    def test_another_boot_is_another_comet(self) -> None:
        """A comet that was started again holds none of the old connections."""
        self.attach("a", "k")
        self.comets.comets["a"] = (2, self.a)
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("k",))
        self.assertEqual(self.drops("comet_unavailable"), 1)
        self.comets.comets["a"] = (1, self.a)
        self.a.error = BadRequest("another boot")
        self.push(Target.KEYS, keys=("k",))
        self.assertEqual((self.drops("comet_unavailable"), self.waiting), (2, 0))
        self.end(dispatcher)

    def test_a_stalled_comet_does_not_stop_the_others(self) -> None:
        """Pushes to other comets of the same partition go on while one does not answer."""
        self.attach("a", "stalled")
        self.attach("b", "fine")
        self.a.holding = True
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("stalled",))
        for number in range(5):
            self.push(Target.KEYS, b"%d" % number, keys=("fine",))
        self.assertEqual(self.b.bodies, [b"%d" % number for number in range(5)])
        self.a.release()
        self.end(dispatcher)

    def test_an_overloaded_comet_is_tried_again_and_given_up(self) -> None:
        """Backs off within a deadline; past it the packets are counted as overloaded."""
        self.host("a", "live://1")
        self.a.error = Overloaded("busy")
        dispatcher = self.dispatcher()
        self.push(Target.ROOM, room="live://1")
        self.advance(4)
        self.assertGreater(len(self.a.batches), 4)
        self.assertEqual(self.waiting, 1)
        self.advance(4)
        self.assertEqual((self.drops("overloaded"), self.waiting), (1, 0))
        self.end(dispatcher)


class BugTests(JobTestCase):
    """The comet has one."""

    def test_a_comet_that_fails_on_a_batch(self) -> None:
        """Its bug, or an answer for other items, drops that batch only."""
        self.attach("a", "k")
        dispatcher = self.dispatcher()
        self.a.error = ImdError("internal error")
        self.push(Target.KEYS, keys=("k",))
        self.a.error = None
        self.a.answer = lambda request: rpc.Outcomes(())  # type: ignore[method-assign]  # a comet with a bug
        self.push(Target.KEYS, keys=("k",))
        self.a.answer = lambda request: rpc.Outcomes(tuple(map(delivered, request.items)))  # type: ignore[method-assign]  # as above
        self.push(Target.KEYS, keys=("k",))
        self.assertEqual((self.drops("error"), self.waiting), (2, 0))
        self.assertEqual(self.metrics.handed_over.value("delivered"), 1)
        self.end(dispatcher)
