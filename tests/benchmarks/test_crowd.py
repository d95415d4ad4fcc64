"""Several processes of clients, before a bare loop."""

from pathlib import Path

from benchmarks.capacity import Demand
from benchmarks.crowd import Crowd, Reached, Times
from benchmarks.program import Program, ProgramFailed
from tests.benchmarks.program_case import ProgramCase


class TimesTests(ProgramCase):
    """What processes counted, added up."""

    def test_at(self) -> None:
        """The least that the share did not take longer than."""
        times = Times()
        for us, packets in ((3000.0, 1), (1000.0, 48), (2000.0, 1), (1000.0, 50)):
            times.add(us, packets)
        self.assertEqual([times.at(share) for share in (0.5, 0.98, 0.99, 1)], [1, 1, 2, 3])
        self.assertEqual(Times().at(0.5), 0)


class CrowdTests(ProgramCase):
    """Twenty clients in three processes."""

    def setUp(self) -> None:
        self.log = Path(self.mktemp())
        self.loop = Program([str(self.built("send_loop")), "--connections", "20"], log=self.log)
        self.addCleanup(self.loop.end)
        self.crowd = Crowd(
            self.built("load_client"),
            demand=Demand(20, 8),
            port=self.loop.wait_for("listening")["port"],
            handshakes=8,
            heartbeat_seconds=1,
            scratch=Path(self.folder.name),
        )
        self.addCleanup(self.crowd.end)

    def test_everything_is_counted(self) -> None:
        """Over all processes, and from zero each time."""
        known: list[int] = []
        self.crowd.connect(known.append)
        self.assertEqual((len(self.crowd.pids), known[-1]), (3, 20))
        self.loop.wait_for("in")
        for messages in (4, 1):
            self.crowd.begin()
            self.loop.say(f"send {20 * messages} 0.05 1 100")
            self.assertEqual(self.loop.wait_for("sent")["messages"], messages)
            reached = self.crowd.look()
            while reached.packets < 20 * messages:
                reached = self.crowd.look()
            self.assertEqual(reached, Reached(packets=20 * messages, fewest=messages, most=messages, gone=0))
            self.assertGreater(self.crowd.times().at(1), 0)
        self.assertGreater(self.crowd.cpu_seconds, 0)

    def test_nobody_listens(self) -> None:
        """A connection that is not let in ends the run, with its words."""
        self.loop.end()
        with self.assertRaisesRegex(ProgramFailed, "connection 0: Connection refused"):
            self.crowd.connect(lambda known: None)
