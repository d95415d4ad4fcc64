"""The cluster in a storm, seed by seed, and that the simulation finds what is planted. ``make simulate`` goes deeper."""

import os
import subprocess
import sys
from itertools import count

import msgspec
import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.sightings import Sightings
from imd.backend.timelines_memory import TimelinesMemory
from imd.interfaces import Receipt
from imd.metrics import Metrics
from imd.protocol.push import Push, Target
from tests.simulation.book import Book
from tests.simulation.bugs import BUGS
from tests.simulation.chaos import Excuses
from tests.simulation.descriptors import Descriptor, Descriptors
from tests.simulation.era import Era
from tests.simulation.store import Store, StoreLink
from tests.simulation.store_remote import RemoteBroker
from tests.simulation.story import Story
from tests.simulation.truth import Truth
from tests.simulation.world import Lane, Process, World

SEEDS = 300


class Ear(Descriptor):
    """Somebody's socket, which takes everything."""

    def __init__(self, table: Descriptors, name: str) -> None:
        super().__init__(table, table.take())
        self._name = name
        self.heard: list[bytes] = []
        table.open(self)

    @property
    def name(self) -> str:
        return self._name

    def send(self, data: bytes, /) -> int:
        self.heard.append(data)
        return len(data)


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """In a process of its own, as ``make simulate`` does it: with its own log, and with strings that hash alike."""
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONHASHSEED": "0"}
    )


@pytest.mark.slow
class SeedTests(SynchronousTestCase):
    """Some seeds; CI has no time for more."""

    def test_every_promise_is_kept(self) -> None:
        """Nothing is lost, nothing comes twice or out of order without an excuse; nothing is left; the books balance."""
        done = run(str(SEEDS))
        self.assertEqual(done.returncode, 0, done.stdout[-20_000:] + done.stderr[-5_000:])
        self.assertIn("failed: none", done.stdout)

    def test_a_seed_replays(self) -> None:
        """The same seed is the same story, to the last event, in another process too."""
        stories = [run("20-20", "--lines", "400").stdout.rpartition("\n1 seeds,")[0] for _ in range(2)]
        self.assertIn("digest", stories[0])
        self.assertEqual(stories[0], stories[1])


@pytest.mark.slow
class BugTests(SynchronousTestCase):
    """What is planted is found by the promise that it breaks, within a thousand seeds: in fact within a few."""

    def check(self, bug: str, *, first: int = 1) -> None:
        """``first``: seeds before it are known to miss it."""
        evidence = BUGS[bug].evidence
        done = run(f"{first}-1000", "--bug", bug, "--until", evidence)
        self.assertEqual(done.returncode, 1, done.stderr[-5_000:])
        self.assertIn(evidence, done.stdout)

    def test_commit_before_handing_over(self) -> None:
        """A job's death takes with it what nobody got."""
        self.check("commit before handing over", first=150)

    def test_presence_removes_without_comparing(self) -> None:
        """An older connection's end takes a newer one's entry."""
        self.check("presence removes without comparing")

    def test_op_8_before_the_room_is_hosted(self) -> None:
        """A push after op 8 finds no host."""
        self.check("op 8 before the room is hosted", first=600)

    def test_dropping_without_counting(self) -> None:
        """The books do not balance."""
        self.check("dropping without counting")

    def test_a_late_loss_evicts_the_newcomer(self) -> None:
        """The newer channel is out of the directory, and still connected."""
        self.check("a late loss evicts the newcomer")

    def test_epoch_kept_after_loss(self) -> None:
        """Whoever was away has what the store lost, and nobody told it."""
        self.check("epoch kept after loss")

    def test_resume_does_not_look_at_the_window(self) -> None:
        """What is said to be recovered has a gap."""
        self.check("resume does not look at the window")

    def test_live_before_what_was_missed(self) -> None:
        """A gap too."""
        self.check("live before what was missed")

    def test_written_and_not_moved(self) -> None:
        """A client gets again what nobody asked for."""
        self.check("written and not moved")

    def test_a_gap_is_written_over(self) -> None:
        """The client sees it."""
        self.check("a gap is written over")

    def test_fences_are_not_looked_at(self) -> None:
        """A job that had lost its partition delivers after the next owner."""
        self.check("fences are not looked at")

    def test_in_the_broker_and_not_in_the_timeline(self) -> None:
        """What was accepted is not kept."""
        self.check("in the broker and not in the timeline")

    def test_a_members_push_to_whoever_has_the_key(self) -> None:
        """Somebody reads what is another member's."""
        self.check("a member's push to whoever has the key")

    def test_verdicts_shifted_by_one(self) -> None:
        """Of those who came together each is let in as somebody else."""
        self.check("verdicts shifted by one")

    def test_one_of_a_batch_is_not_disconnected(self) -> None:
        """Presence still names somebody when everybody is gone."""
        self.check("one of a batch is not disconnected")

    def test_all_of_a_failed_publish_accepted(self) -> None:
        """The broker has none of it."""
        self.check("all of a failed publish accepted")

    def test_not_dissolved_by_a_pause(self) -> None:
        """A push passes what waits for a client that reads slowly."""
        self.check("not dissolved by a pause")

    def test_not_dissolved_by_a_leave(self) -> None:
        """A room's push has other receivers than it was counted for."""
        self.check("not dissolved by a leave")

    def test_never_dissolved(self) -> None:
        """The next client with the number gets what is another's."""
        self.check("never dissolved")

    def test_entered_in_the_middle_of_a_push(self) -> None:
        """Who leaves and comes back while a push is under way gets it twice."""
        self.check("entered in the middle of a push")

    def test_the_rest_of_a_short_send_is_lost(self) -> None:
        """The next packet begins in the middle of one."""
        self.check("the rest of a short send is lost")

    def test_letters_delivered_backwards(self) -> None:
        """A key's pushes are out of order."""
        self.check("letters delivered backwards")

    def test_settled_as_the_first_was(self) -> None:
        """Jobs count another outcome than comets answered."""
        self.check("settled as the first was")

    def test_all_of_them(self) -> None:
        """None is planted without a test of its own."""
        named = {name.replace("'", "").replace(" ", "_").replace("-", "_") for name in BUGS}
        self.assertEqual(named - {name.removeprefix("test_") for name in dir(self)}, set())


class DescriptorTests(SynchronousTestCase):
    """Whose bytes go where."""

    def setUp(self) -> None:
        self.world = World(seed=1)
        self.table = Descriptors(self.world)

    def test_a_closed_number_is_the_next_ones(self) -> None:
        """The lowest first."""
        first, second = Ear(self.table, "first"), Ear(self.table, "second")
        numbers = first.fileno(), second.fileno()
        second.close()
        first.close()
        self.assertEqual(first.fileno(), -1)
        self.assertEqual((Ear(self.table, "third").fileno(), Ear(self.table, "fourth").fileno()), numbers)

    def test_a_battery_knows_numbers_only(self) -> None:
        """What is for somebody who has gone goes to the number's next owner, and is a fault."""
        ears = [Ear(self.table, "first"), Ear(self.table, "second")]
        battery = self.table.arm(ears)
        self.assertEqual((battery.fire(b"1"), self.world.story.faults), ([], []))
        ears[0].close()
        self.assertEqual(battery.fire(b"2"), [(0, 0)])
        third = Ear(self.table, "third")
        self.assertEqual(battery.fire(b"3"), [])
        self.assertEqual((ears[1].heard, third.heard), ([b"1", b"2", b"3"], [b"3"]))
        nobodys, anothers = self.world.story.faults
        self.assertIn("bytes for first were sent to descriptor 10, which belongs to nobody", nobodys)
        self.assertIn("bytes for first were sent to descriptor 10, which belongs to third", anothers)


class AppendStoreTests(SynchronousTestCase):
    """What stands in for Redis' script."""

    def test_answers_as_the_script_does(self) -> None:
        """Each push has the receipt and the place that the broker gave it; a repeat has those of the first."""
        world = World(seed=1)
        store = Store(world, partitions=1, head_seconds=1e6, slow=0.0)
        broker = RemoteBroker(StoreLink(store, Process(world, "logic")), Metrics())
        kept = Push(1, 0, Target.ROOM, room="chat://1", keep_count=9, keep_ms=10**13, idempotency_key="once")
        answers: list[list[Receipt]] = []
        for pushes in ([kept], [Push(2, 0, Target.ALL), msgspec.structs.replace(kept, id=3)]):
            asked = Deferred.fromCoroutine(broker.publish([(0, push) for push in pushes]))
            asked.addCallback(answers.append)
        world.run_until(1.0)
        ((first,), (live, again)) = answers
        self.assertEqual((first.id, first.places[0].seq, first.repeated), (1, 1, False))
        self.assertEqual(store.timelines._current("r:chat://1").epoch, first.places[0].epoch)  # type: ignore[union-attr]
        self.assertEqual((live.id, live.places), (2, ()))
        self.assertEqual(again, first._replace(repeated=True))


class EraTests(SynchronousTestCase):
    """How a loss is proven."""

    def setUp(self) -> None:
        self.now = 0
        self.tokens = count(1)
        self.era = Era(now_ms=lambda: self.now, token=lambda: f"{next(self.tokens):08x}0000")
        self.sightings = Sightings()

    def call(self, sightings: Sightings, *, appended: int = 0, run: int = 1) -> list[str]:
        """Why there is a new epoch, for each."""
        told = sightings.told()
        reasons = self.era.meet(told, run)
        for _ in reasons:
            self.era.begin_epoch()
        sightings.learn(told, self.era.finish(appended, run))
        return reasons

    def test_a_new_store(self) -> None:
        """Has an epoch from the first call on, and only one."""
        self.assertEqual(self.call(self.sightings), ["empty"])
        self.assertEqual(self.call(self.sightings, appended=3), [])
        self.assertEqual(self.call(Sightings()), [])

    def test_a_restart_that_lost_nothing(self) -> None:
        """Changes no epoch, whatever comes after it."""
        self.call(self.sightings, appended=3)
        self.assertEqual(self.call(Sightings(), appended=2, run=2), [])
        self.assertEqual(self.call(self.sightings, run=2), [])

    def test_gone_back(self) -> None:
        """Who has seen more says so, once for all who have; though the store has grown past what was seen."""
        other = Sightings()
        self.call(self.sightings, appended=3)
        backup = self.era.snapshot()
        self.call(self.sightings, appended=2)
        self.call(other)
        self.era.restore(backup)
        self.assertEqual(self.call(Sightings(), appended=9, run=2), [])
        self.assertEqual(self.call(self.sightings, run=2), ["lost"])
        self.assertEqual(self.call(other, run=2), [])

    def test_gone_back_to_what_was_seen(self) -> None:
        """Who has seen no more than there is has lost nothing."""
        self.call(self.sightings, appended=3)
        backup = self.era.snapshot()
        self.call(Sightings(), appended=2)
        self.era.restore(backup)
        self.assertEqual(self.call(self.sightings, run=2), [])

    def test_emptied(self) -> None:
        """A later epoch, and only one: who saw the one before learns it."""
        self.call(self.sightings, appended=3)
        (before,) = self.sightings.all()
        self.era.restore(None)
        self.now += 5
        self.assertEqual(self.call(Sightings()), ["empty"])
        self.assertEqual(self.call(self.sightings), [])
        (after,) = self.sightings.all()
        self.assertGreater(after.epoch, before.epoch)


class TruthTests(SynchronousTestCase):
    """What was lost, and what is there again."""

    def test_lost_and_restored(self) -> None:
        """A backup may have what an earlier loss took."""
        timelines = TimelinesMemory(metrics=Metrics(), now_ms=lambda: 0, make_epoch=lambda: "e")
        truth, push = Truth(), Push(1, 0, Target.MEMBERS, mids=(1, 2), keep_count=9, keep_ms=9)
        self.assertEqual(truth.look(timelines, push, 1.0, "logic"), ["m:1", "m:2"])
        timelines.append(push)
        self.assertEqual(truth.look(timelines, push, 1.0, "logic"), [])
        backup = truth.snapshot()
        truth.restore({}, 2.0)
        self.assertEqual(([kept.lost_at for kept in truth.all], truth.now), ([2.0, 2.0], {}))
        truth.restore(backup, 3.0)
        self.assertEqual([kept.lost_at for kept in truth.all], [None, None])


class BookTests(SynchronousTestCase):
    """What a device has."""

    def test_a_device_that_stored_late(self) -> None:
        """Has less, and not less than where its chapter began."""
        book = Book()
        book.begin("e", 5, 0.0)
        for seq in (6, 7, 8):
            book.handle(seq, b"x")
        book.forget(2)
        self.assertEqual((book.last, sorted(book.handled)), (6, [6]))
        book.forget(2)
        self.assertEqual((book.last, sorted(book.handled)), (5, []))

    def test_contradicts(self) -> None:
        """What it has not, it cannot contradict."""
        book = Book()
        book.handle(1, b"x")
        self.assertEqual([book.contradicts(1, b"x"), book.contradicts(1, b"y"), book.contradicts(2, b"y")], [0, 1, 0])


class WorldTests(SynchronousTestCase):
    """Time, and processes in it."""

    def setUp(self) -> None:
        self.world = World(seed=1)
        self.process = Process(self.world, "one")
        self.calls: list[str] = []

    def test_a_paused_process_runs_later(self) -> None:
        """Its timers and what came to it run when it goes on, in one burst."""
        self.process.callLater(1, self.calls.append, "timer")
        self.process.pause()
        self.process.post(self.calls.append, "message")
        self.world.run_until(5)
        self.assertEqual(self.calls, [])
        self.process.resume()
        self.assertEqual(sorted(self.calls), ["message", "timer"])

    def test_a_process_that_ended_runs_no_more(self) -> None:
        """Neither timers nor messages."""
        self.process.callLater(1, self.calls.append, "timer")
        self.process.end()
        self.process.post(self.calls.append, "message")
        self.world.run_until(5)
        self.assertEqual(self.calls, [])

    def test_a_cancelled_timer(self) -> None:
        """Is not called."""
        timer = self.process.callLater(1, self.calls.append, "timer")
        self.assertTrue(timer.active())
        timer.cancel()
        self.world.run_until(5)
        self.assertEqual((timer.active(), self.calls), (False, []))

    def test_an_error_is_a_fault(self) -> None:
        """A reactor would go on; a simulation says so too, and fails."""
        self.process.callLater(1, lambda: 1 // 0)
        self.world.run_until(5)
        self.assertEqual(len(self.world.story.faults), 1)
        self.assertIn("ZeroDivisionError", self.world.story.faults[0])

    def test_a_lane_keeps_the_order(self) -> None:
        """What goes in later comes out later."""
        lane = Lane(self.world, "lane", slow=0.5)
        arrivals = [lane.arrival() for _ in range(100)]
        self.assertEqual(arrivals, sorted(arrivals))
        self.assertGreater(arrivals[0], 0)


class StoryTests(SynchronousTestCase):
    """What is told."""

    def test_digest(self) -> None:
        """Covers all events, also those that are not kept."""
        one, other = Story(last=1), Story(last=1)
        for story, words in ((one, "a"), (other, "b")):
            story.note(1.0, "who", words)
            story.note(2.0, "who", "the same")
        self.assertEqual(list(one.last), list(other.last))
        self.assertNotEqual(one.digest, other.digest)

    def test_excuses(self) -> None:
        """Count when the spans meet."""
        excuses = Excuses()
        excuses.add("job", 1, 2)
        self.assertTrue(excuses.any("job", 1.5, 9))
        self.assertFalse(excuses.any("job", 2, 9))
        self.assertFalse(excuses.any("comet", 0, 9))
