"""What counts as a success, and how it is said."""

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.million_findings import Findings, Memory, Phase, Pushed
from benchmarks.million_report import document
from tests.benchmarks.documents import RUN

ROLES = ("clients", "redis", "zookeeper", "logic", "job", "comets")
PUSHED = Pushed(
    target="room",
    packets=1000,
    fewest=1,
    most=1,
    gone=0,
    accepted_ms=4.2,
    p50_ms=10,
    p99_ms=20,
    last_ms=21,
    buffers_kb=4096,
)
EMPTY = Memory(
    comets_kb=80_000, clients_kb=0, redis_kb=2_000, others_kb=90_000, kernel_kb=300_000, available_kb=4_000_000
)
GOOD = Findings(
    connections=1000,
    transport="tcp",
    channels=(480, 520),
    phases=(
        Phase("connecting", 2.0, dict.fromkeys(ROLES, 0.25)),
        Phase("push to room", 3.0, dict.fromkeys(ROLES, 0.0123)),
        Phase("push to all", 3.0, dict.fromkeys(ROLES, 0.0099)),
    ),
    memory=(EMPTY, replace(EMPTY, comets_kb=82_500), EMPTY),
    pushes=(PUSHED, replace(PUSHED, target="all")),
    redials=0,
    handed_over={"delivered": 2000},
    troubles={},
    complaints={},
)


class FindingsTests(SynchronousTestCase):
    """A thousand clients at two comets."""

    def test_success(self) -> None:
        """Exactly one packet each, twice."""
        self.assertEqual(GOOD.refusals, [])

    def test_refusals(self) -> None:
        """Somebody got none, somebody two though the sum is right, somebody left, somebody is at no comet."""
        cases = {
            "999 packets came to 1,000 clients, 0 to 1 each": replace(PUSHED, packets=999, fewest=0),
            "1,000 packets came to 1,000 clients, 0 to 2 each": replace(PUSHED, fewest=0, most=2),
            "push to room: 3 clients had lost their connection": replace(PUSHED, gone=3),
        }
        for words, pushed in cases.items():
            (refusal,) = replace(GOOD, pushes=(pushed,)).refusals
            self.assertIn(words, refusal)
        self.assertEqual(replace(GOOD, channels=(480, 519)).refusals, ["comets have 999 channels, not 1,000"])

    def test_document(self) -> None:
        """The outcome first; what each connection took; what went wrong on the way."""
        outcome, phases, pushes, memory = document(GOOD, RUN).tables
        said = {row[0]: row[1] for row in outcome.rows}
        self.assertEqual(outcome.rows[0], ("outcome", "every client got every push exactly once"))
        self.assertEqual((said["comets"], said["connections a second"]), ("2, with 480 to 520 each", "500"))
        self.assertIn("clients 250", said["µs of CPU to connect one"])
        self.assertEqual(phases.rows[0][:3], ("connecting", "2.0", "0.2"))
        self.assertEqual(pushes.rows[0], ("to room", "1,000", "4", "10", "20", "21", "12.3", "4"))
        self.assertEqual(memory.rows[-1][:2], ("KiB each", "2.50"))
        self.assertEqual(said["on the way"], "nothing went wrong")
        troubled = replace(GOOD, troubles={"imd_rpc_late_replies_total": 7.0}, complaints={"warn a comet is away": 3})
        found = document(replace(troubled, redials=4, channels=(480, 519)), RUN)
        said = {row[0]: row[1] for row in found.tables[0].rows}
        self.assertEqual(said["outcome"], "comets have 999 channels, not 1,000")
        self.assertEqual(len(found.refusals), 1)
        self.assertRegex(
            said["on the way"], "^imd_rpc_late_replies_total 7; 4 clients were .*; 3 × warn a comet is away$"
        )
