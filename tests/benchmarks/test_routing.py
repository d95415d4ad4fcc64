"""Routing by interest: requests follow who hosts a room, whatever the number of comets."""

import shutil
import tempfile
from pathlib import Path

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from benchmarks.document import Run
from benchmarks.routing import Cost, document, measure, shares


class InterestTests(TestCase):
    """A real job, over real ZeroMQ."""

    timeout = 60

    async def test_requests_follow_interest(self) -> None:
        """One request for each comet that hosts the room, none for any other; nobody there, nothing sent."""
        scratch = Path(tempfile.mkdtemp())  # a short name: sockets stand in it
        self.addCleanup(shutil.rmtree, scratch)
        said: list[str] = []
        costs = await measure(reactor=reactor, comets=(1, 5), pushes=20, windows=1, scratch=scratch, say=said.append)
        self.assertEqual(
            [(each.comets, each.hosts, each.requests_per_push, each.astray) for each in costs],
            [(1, 0, 0, 0), (1, 1, 1, 0), (5, 0, 0, 0), (5, 1, 1, 0), (5, 2, 2, 0), (5, 5, 5, 0)],
        )
        self.assertEqual([each.refusals for each in costs], [[]] * 6)
        self.assertEqual(len(said), 6)


class DocumentTests(SynchronousTestCase):
    """What is told."""

    def test_shares(self) -> None:
        """None, one, half, all; each once."""
        self.assertEqual([shares(each) for each in (1, 2, 8)], [[0, 1], [0, 1, 2], [0, 1, 4, 8]])

    def test_a_request(self) -> None:
        """It costs what a push costs beyond one that nobody hosts, by requests."""
        made = document([Cost(4, 0, 10, 0, 0, 30.0), Cost(4, 2, 10, 20, 0, 130.0)], Run("", "", 1.0, {}))
        self.assertEqual(made.tables[0].rows, (("", "4", "0", "0", "30", ""), ("", "4", "2", "2", "130", "50")))

    def test_refused(self) -> None:
        """Requests that are missing, or went astray."""
        made = document([Cost(4, 2, 10, 19, 1, 130.0)], Run("", "", 1.0, {}))
        self.assertIn("1 requests went to comets that do not host", made.tables[0].rows[0][1])
        self.assertIn("19 requests for 10 pushes to 2 comets", made.tables[0].rows[0][1])
        self.assertEqual(made.plots, ())
