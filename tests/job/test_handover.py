"""Promises of handing over: late binding, and accounts of everybody."""

from twisted.logger import LogLevel, capturedLogs

from imd.errors import DeadlineExceeded, Overloaded, PeerDown, PeerUnavailable, PresenceUnavailable
from imd.protocol import rpc
from imd.protocol.push import Push, Target
from tests.support.job_fakes import NOW_MS, FakeComet, JobTestCase


class AbsenceTests(JobTestCase):
    """Presence is away, comets are lost."""

    def test_pushes_wait_for_presence(self) -> None:
        """Nothing is committed or dropped; said once when it goes and once when it is back."""
        self.attach("a", "k")
        dispatcher = self.dispatcher()
        self.presence.error = PresenceUnavailable("no Redis")
        with capturedLogs() as logs:
            self.push(Target.KEYS, keys=("k",))
            self.advance(30)
            self.assertIn("no Redis", str(dispatcher.trouble()))
            self.assertEqual((self.waiting, dict(self.metrics.drops.values)), (1, {}))
            self.presence.error = None
            self.advance(2)
        self.assertEqual((self.waiting, self.a.bodies), (0, [b"hi"]))
        said = [log["log_format"] for log in logs if log["log_level"] in (LogLevel.warn, LogLevel.info)]
        self.assertEqual([text.split()[0] for text in said], ["{product}", "{product}"])
        self.end(dispatcher)

    def test_a_live_room_push_is_not_repeated(self) -> None:
        """Its comet vanished with it: it may have been delivered, so it is dropped and counted."""
        self.host("a", "live://1")
        dispatcher = self.dispatcher()
        for error in (PeerUnavailable("vanished"), DeadlineExceeded("stalled")):
            self.a.error = error
            self.push(Target.ROOM, room="live://1")
        self.assertEqual(self.drops("comet_unavailable"), 2)
        self.assertEqual((len(self.a.batches), self.waiting), (2, 0))
        self.end(dispatcher)

    def test_clients_of_a_lost_comet_are_found_elsewhere(self) -> None:
        """Late binding: who reconnected meanwhile gets it there, under the same key or another of the member."""
        self.attach("a", "k")
        self.attach("a", "old", mid=7)
        self.a.holding = True
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, b"key", keys=("k",))
        self.a.fail(PeerUnavailable("vanished"))
        self.push(Target.MEMBERS, b"member", mids=(7,))
        self.a.fail(PeerUnavailable("vanished"))
        self.attach("b", "k")
        self.attach("b", "new", mid=7)
        self.run_now(self.presence.behind.detach(("a", 1), "old", 7))
        self.advance(2)
        self.assertEqual(sorted(item.keys for item in self.b.items), [("k",), ("new",)])
        self.assertEqual((self.waiting, dict(self.metrics.drops.values)), (0, {}))
        self.end(dispatcher)

    def test_a_member_back_at_the_lost_comet(self) -> None:
        """Under a new key, which did not get the push: it does now. One that is gone is counted."""
        self.attach("a", "old", mid=7)
        self.attach("a", "other", mid=8)
        self.a.holding = True
        dispatcher = self.dispatcher()
        self.push(Target.MEMBERS, b"member", mids=(7, 8))
        for key, mid in (("old", 7), ("other", 8)):
            self.run_now(self.presence.behind.detach(("a", 1), key, mid))
        self.attach("a", "new", mid=7)
        self.a.fail(PeerUnavailable("vanished"))
        self.a.holding = False
        self.advance(2)
        self.assertEqual([item.keys for item in self.a.items], [("old", "other"), ("new",)])
        self.assertEqual((self.drops("not_connected"), self.metrics.moved.value(), self.waiting), (1, 1, 0))
        self.end(dispatcher)

    def test_a_bug_in_a_parcels_accounts(self) -> None:
        """Whatever was not counted when a parcel is closed is an error, and its push is committed."""
        self.attach("a", "k")
        self.a.outcome = lambda item: rpc.Outcome(delivered=1, dropped=(("full", "two"),))  # type: ignore[arg-type]  # that is the bug
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("k",))
        self.assertEqual((self.drops("error"), self.waiting), (1, 0))
        self.flushLoggedErrors(TypeError)
        self.end(dispatcher)

    def test_a_comet_that_answers_for_other_keys(self) -> None:
        """Only those that it was given count."""
        self.attach("a", "k")
        self.a.outcome = lambda item: rpc.Outcome(delivered=1, unknown=("x", "y"))
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("k",))
        self.assertEqual((self.metrics.answered.value(), self.waiting), (1, 0))
        self.end(dispatcher)

    def test_who_stays_at_a_lost_comet_is_given_up(self) -> None:
        """It may have been delivered there: not sent there again, counted after a bounded time."""
        self.attach("a", "k")
        dispatcher = self.dispatcher()
        self.a.error = PeerUnavailable("vanished")
        self.push(Target.KEYS, keys=("k",))
        self.advance(3)
        self.assertEqual(self.drops("comet_unavailable"), 1)
        self.assertEqual((len(self.a.batches), self.waiting), (1, 0))
        self.end(dispatcher)

    def test_seconds_from_acceptance_to_outcome(self) -> None:
        """Measured on the epoch's clock."""
        self.attach("a", "k")
        self.a.holding = True
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("k",))
        self.clock.advance(2)
        self.a.release()
        self.assertEqual(self.metrics.delivery_seconds.values[()][-1], 2.0)
        self.end(dispatcher)

    def test_a_push_that_presence_chokes_on(self) -> None:
        """The whole look-up fails for it: the others are looked up without it."""
        self.attach("a", "k")
        locate = self.presence.behind.locate_keys

        class Choosy:
            async def locate_keys(self, keys: set[str]) -> object:
                if "poison" in keys:
                    raise ZeroDivisionError
                return await locate(keys)

        self.presence.behind = Choosy()
        names = ("k", "poison", "k")
        self.publish([Push(n, NOW_MS, Target.KEYS, 1000, b"%d" % n, keys=(key,)) for n, key in enumerate(names)])
        dispatcher = self.dispatcher()
        self.assertEqual(self.a.bodies, [b"0", b"2"])
        self.assertEqual((self.drops("error"), self.waiting), (1, 0))
        self.flushLoggedErrors(ZeroDivisionError)
        self.end(dispatcher)


class KeptTests(JobTestCase):
    """Packets that are in a timeline too."""

    def test_a_comet_that_takes_nothing(self) -> None:
        """Away, lost or overloaded: the timeline has it. The live push beside it is dropped, both are committed."""
        self.host("a", "chat://1")
        self.attach("a", "phone", mid=7)
        for error, reason in (
            (PeerDown("dialling"), "comet_unavailable"),
            (PeerUnavailable("vanished"), "comet_unavailable"),
            (Overloaded("busy"), "overloaded"),
        ):
            dispatcher = self.dispatcher()
            drops, deferred = self.drops(reason), self.deferred(reason)
            self.a.error = error
            self.kept(Target.ROOM, room="chat://1")
            self.push(Target.ROOM, room="chat://1")
            self.kept(Target.MEMBERS, mids=(7,))
            self.advance(20)
            self.assertEqual((self.drops(reason) - drops, self.deferred(reason) - deferred, self.waiting), (1, 2, 0))
            self.a.error = None
            self.end(dispatcher)

    def test_what_comets_say_of_it(self) -> None:
        """Duplicates, and what a channel that is behind reads from its timeline, are outcomes of their own."""
        self.host("a", "chat://1")
        self.a.outcome = lambda item: rpc.Outcome(delivered=3, duplicate=2, deferred=1)
        dispatcher = self.dispatcher()
        self.kept(Target.ROOM, room="chat://1")
        counted = [self.metrics.handed_over.value(label) for label in ("delivered", "duplicate", "deferred")]
        self.assertEqual((counted, self.metrics.answered.value()), ([3, 2, 1], 1))
        self.end(dispatcher)

    def test_a_member_who_moved(self) -> None:
        """Is looked for as ever, and gets it with the place in the inbox."""
        self.attach("a", "old", mid=7)
        self.attach("a", "stays", mid=8)
        self.a.outcome = lambda item: rpc.Outcome(delivered=1, unknown=("old",))
        self.a.holding = True
        dispatcher = self.dispatcher()
        self.kept(Target.MEMBERS, mids=(8, 7))
        self.run_now(self.presence.behind.detach(("a", 1), "old", 7))
        self.attach("b", "new", mid=7)
        self.a.release()
        (item,) = self.b.items
        self.assertEqual((item.keys, [place.seq for place in item.places]), (("new",), [1]))
        self.end(dispatcher)


class LedgerTests(JobTestCase):
    """What both ends of a pair of processes count."""

    def test_items_by_pair(self) -> None:
        """This start of this job, and that start of that comet; those without an answer are unsure."""
        self.host("a", "live://1")
        self.host("b", "live://1")
        self.b.error = PeerUnavailable("vanished")
        dispatcher = self.dispatcher()
        self.push(Target.ROOM, room="live://1")
        self.assertEqual([batch.sender for batch in self.a.batches], ["j@7"])
        self.assertEqual(self.metrics.items_answered.value("j@7", "a@1"), 1)
        self.assertEqual(self.metrics.items_unsure.value("j@7", "b@1"), 1)
        self.end(dispatcher)

    def test_given_up_in_the_middle(self) -> None:
        """What was sent and not answered is unsure, what was queued was never sent."""
        self.attach("a", "k")
        self.a.holding = True
        dispatcher = self.dispatcher(settle_seconds=0.0)
        for _ in range(3):
            self.push(Target.KEYS, keys=("k",))
        self.end(dispatcher)
        self.assertEqual(self.metrics.items_unsure.value("j@7", "a@1"), 1)


class UnknownKeyTests(JobTestCase):
    """Keys that a comet does not have any more."""

    def forget(self, comet: FakeComet, key: str) -> None:
        """``comet`` knows every key but this."""

        def outcome(item: rpc.Item) -> rpc.Outcome:
            unknown = tuple(name for name in item.keys if name == key)
            return rpc.Outcome(delivered=len(item.keys) - len(unknown), unknown=unknown)

        comet.outcome = outcome

    def test_a_key_is_looked_up_again(self) -> None:
        """It moved between the look-up and the delivery: it gets the push at its new place."""
        self.attach("a", "moved")
        self.attach("a", "stays")
        self.forget(self.a, "moved")
        self.a.holding = True
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("moved", "stays"))
        self.attach("b", "moved")
        self.a.release()
        self.assertEqual([item.keys for item in self.b.items], [("moved",)])
        self.assertEqual(self.metrics.handed_over.value("delivered"), 2)
        self.assertEqual((self.waiting, dict(self.metrics.drops.values)), (0, {}))
        self.end(dispatcher)

    def test_a_member_is_looked_up_under_new_keys(self) -> None:
        """A device that came back under another key is reached; one that had the push is not reached twice."""
        self.attach("a", "old", mid=7)
        self.attach("b", "laptop", mid=7)
        self.forget(self.a, "old")
        self.a.holding = True
        dispatcher = self.dispatcher()
        self.push(Target.MEMBERS, mids=(7,))
        self.run_now(self.presence.behind.detach(("a", 1), "old", 7))
        self.attach("b", "new", mid=7)
        self.a.release()
        self.assertEqual([item.keys for item in self.b.items], [("laptop",), ("new",)])
        self.assertEqual((self.waiting, dict(self.metrics.drops.values)), (0, {}))
        self.end(dispatcher)

    def test_a_key_that_is_nowhere_is_dropped(self) -> None:
        """Presence does not know it either: counted once."""
        self.attach("a", "gone")
        self.forget(self.a, "gone")
        self.a.holding = True
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("gone",))
        self.run_now(self.presence.behind.detach(("a", 1), "gone", 0))
        self.a.release()
        self.assertEqual((self.drops("not_connected"), self.waiting), (1, 0))
        self.end(dispatcher)

    def test_looking_again_has_an_end(self) -> None:
        """Presence insists on a comet that does not know the key: tried a bounded number of times."""
        self.attach("a", "ghost")
        self.forget(self.a, "ghost")
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("ghost",))
        self.assertEqual((self.drops("not_connected"), self.waiting), (1, 0))
        self.assertLessEqual(len(self.a.batches), 3)
        self.end(dispatcher)
