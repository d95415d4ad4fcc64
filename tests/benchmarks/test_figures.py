"""Fan-out's tables and plots."""

import json
import string

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.case import Audience, Load
from benchmarks.document import dump
from benchmarks.figures import Ratio, aim, document, key, ratios
from benchmarks.measurement import Memory, Window, result
from benchmarks.run import Row
from tests.benchmarks.documents import RUN
from tests.benchmarks.windows import window

TCP, TLS = Audience("tcp", 1_000), Audience("tls", 1_000)
FLAT, PACED = Load(0, 2, 100), Load(20, 2, 100)


def row(subject: str, *windows: Window, load: Load = FLAT, audience: Audience = TCP) -> Row:
    return Row(subject, audience, load, windows, result(windows, wanted=1))


ROWS = [
    row("loop", window(server_seconds=2.0, packets=500_000)),
    row("imd", window(server_seconds=1.9), window(waited=9_999)),
    row("write", window(waited=9_999), window(gone=2)),
]
MEMORY = {("imd", TCP): Memory(2.5, 8)}


class FiguresTests(SynchronousTestCase):
    """A limit, a result, and one that was refused."""

    def test_ratios(self) -> None:
        """Against the loop before the same audience, under the same load; a refused result has none."""
        self.assertEqual(ratios(ROWS), {("loop", TCP, FLAT): Ratio((1.0,)), ("imd", TCP, FLAT): Ratio((0.95,))})

    def test_ratios_are_of_one_run(self) -> None:
        """The machine may be another in the next; the middle one counts, and how far they lie apart is said."""
        limits = row(
            "loop", *(window(server_seconds=seconds, run=run) for run, seconds in ((1, 1.9), (2, 2.0), (3, 1.8)))
        )
        ours = row("imd", *(window(server_seconds=seconds, run=run) for run, seconds in ((1, 1.9), (2, 1.8), (3, 2.0))))
        found = ratios([limits, ours])["imd", TCP, FLAT]
        self.assertEqual((found.middle, str(found)), (1.0, "0.90–1.11"))
        refused = row("imd", window(server_seconds=1.9), window(run=4))
        self.assertEqual(ratios([limits, refused])["imd", TCP, FLAT], Ratio((1.0,)))

    def test_without_a_limit(self) -> None:
        """A figure without its limit is no ratio: the loop was refused, or met another load, or bodies of another size."""
        refused = row("loop", window(gone=1))
        paced, small = (row("loop", window(), load=load) for load in (PACED, Load(0, 2, 10)))
        self.assertEqual(ratios([refused, ROWS[1]]), {})
        self.assertNotIn(("imd", TCP, FLAT), ratios([paced, small, ROWS[1]]))

    def test_tls_is_compared_with_the_loop_without(self) -> None:
        """For the loop has none."""
        self.assertEqual(
            ratios([ROWS[0], row("imd", window(server_seconds=4.0), audience=TLS)])["imd", TLS, FLAT].middle, 2.0
        )

    def test_table(self) -> None:
        """A line a subject: its figures, or why there are none."""
        _, _, table, memory = document(ROWS, MEMORY, RUN).tables
        self.assertEqual(
            (table.key, table.title), ("fanout-tcp-1000-flat-out-100-bytes", "tcp × 1,000, flat out, 100 bytes")
        )
        imd, write = table.rows[1:]
        self.assertEqual(imd[:4], ("imd comet", "3.80", "0.95", "0.95"))
        self.assertEqual(write[1], "refused: 2 of 2 windows, the last because 2 clients lost their connection")
        self.assertEqual(memory.rows, (("imd comet, tcp × 1,000", "2.50", "8.00"),))

    def test_summaries(self) -> None:
        """A line a case, a column a subject."""
        cost, p99, *_ = document(ROWS, MEMORY, RUN).tables
        self.assertEqual((cost.key, p99.key), ("fanout-cost-1000", "fanout-p99-1000"))
        self.assertEqual(cost.columns, ("C loop of send()", "imd comet", "transport.write"))
        case = "tcp, flat out, 100 bytes"
        self.assertEqual(cost.rows, ((case, "4.00 (1.00 ×)", "3.80 (0.95 ×)", "refused"),))
        self.assertEqual(p99.rows, ((case, "4.0", "4.0", "refused"),))

    def test_plots(self) -> None:
        """What was refused is not drawn; what is wanted is marked; latency is of paced loads."""
        found = {plot.key: plot for plot in document(ROWS, MEMORY, RUN).plots}
        self.assertEqual(list(found), ["cost-1000", "memory"])
        (mark,) = found["cost-1000"].groups[0].marks
        self.assertEqual((mark.label, mark.values, mark.aim), ("imd comet", (0.95,), aim("imd", TCP, FLAT)))
        rows = [row(name, window(p99_ms=10), load=PACED) for name in ("loop", "imd-http")]
        (latency,) = (plot for plot in document(rows, {}, RUN).plots if plot.kind == "spans")
        self.assertEqual([each.aim for each in latency.groups[0].marks], [None, 33.0])

    def test_merged_messages_must_not_wait_long(self) -> None:
        """Their latency is drawn, with what is wanted of imd."""
        rows = [row(name, window(p99_ms=90), load=Load(0, 2, 100, merged=20)) for name in ("loop", "imd")]
        (latency,) = (plot for plot in document(rows, {}, RUN).plots if plot.kind == "spans")
        self.assertEqual([each.aim for each in latency.groups[0].marks], [None, 250.0])

    def test_refusals_and_json(self) -> None:
        """Every window is there, with why it was refused."""
        found = document(ROWS, MEMORY, RUN)
        self.assertEqual(len(found.refusals), 3)
        loop, imd, write = json.loads(dump(found))["raw"]["fanout"]["results"]
        self.assertEqual((loop["of_loop"], imd["of_loop"], write["of_loop"]), ([1.0], [0.95], None))
        self.assertIsNone(write["result"])
        self.assertEqual([len(each["refusals"]) for each in imd["windows"]], [0, 1])

    def test_keys_are_plain(self) -> None:
        """They are names of files, and of places in a page."""
        said = key("fanout", "tcp", 1_000, Load(20, 2, 100, 20, "all"))
        self.assertEqual(said, "fanout-tcp-1000-20-msg-broadcast-20-merged-100-bytes")
        self.assertLessEqual(set(said), set(string.ascii_lowercase + string.digits + "-"))
