"""The cluster in a storm, seed by seed, and that the simulation finds what is planted. ``make simulate`` goes deeper."""

import os
import subprocess
import sys

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.bugs import BUGS
from tests.simulation.chaos import Excuses
from tests.simulation.story import Story
from tests.simulation.world import Lane, Process, World

SEEDS = 200


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
        stories = [run("20-20", "--lines", "400").stdout.rpartition("1 seeds")[0] for _ in range(2)]
        self.assertIn("digest", stories[0])
        self.assertEqual(stories[0], stories[1])


@pytest.mark.slow
class BugTests(SynchronousTestCase):
    """What is planted is found by the promise that it breaks, within a thousand seeds: in fact within a few."""

    def check(self, bug: str) -> None:
        evidence = BUGS[bug].evidence
        done = run("1000", "--bug", bug, "--until", evidence)
        self.assertEqual(done.returncode, 1, done.stderr[-5_000:])
        self.assertIn(evidence, done.stdout)

    def test_commit_before_handing_over(self) -> None:
        """A job's death takes with it what nobody got."""
        self.check("commit before handing over")

    def test_presence_removes_without_comparing(self) -> None:
        """An older connection's end takes a newer one's entry."""
        self.check("presence removes without comparing")

    def test_op_8_before_the_room_is_hosted(self) -> None:
        """A push after op 8 finds no host."""
        self.check("op 8 before the room is hosted")

    def test_dropping_without_counting(self) -> None:
        """The books do not balance."""
        self.check("dropping without counting")

    def test_a_late_loss_evicts_the_newcomer(self) -> None:
        """The newer channel is out of the directory, and still connected."""
        self.check("a late loss evicts the newcomer")


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
