"""Tables and JSON."""

import json

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.case import Audience, Load
from benchmarks.measurement import Memory, Window, result
from benchmarks.report import READING, ratios, text, values
from benchmarks.run import Row
from tests.benchmarks.windows import window

TCP = Audience("tcp", 1_000)
FLAT = Load(0, 2, 100)


def row(subject: str, *windows: Window, load: Load = FLAT) -> Row:
    return Row(subject, TCP, load, windows, result(windows, wanted=1))


ROWS = [
    row("loop", window(server_seconds=2.0, packets=500_000)),
    row("imd", window(server_seconds=1.9), window(waited=9_999)),
    row("write", window(waited=9_999), window(gone=2)),
]


class ReportTests(SynchronousTestCase):
    """A limit, a result, and one that was refused."""

    def test_ratios(self) -> None:
        """Against the loop before the same audience, under the same load; a refused result has none."""
        self.assertEqual(
            ratios(ROWS), {("loop", "tcp × 1,000", "flat out"): 1.0, ("imd", "tcp × 1,000", "flat out"): 0.95}
        )

    def test_without_a_limit(self) -> None:
        """A figure without its limit is no ratio: the loop was refused, or met another load."""
        refused = row("loop", window(gone=1))
        paced = row("loop", window(rate=20), load=Load(20, 2, 100))
        self.assertEqual(ratios([refused, ROWS[1]]), {})
        self.assertNotIn(("imd", "tcp × 1,000", "flat out"), ratios([paced, ROWS[1]]))

    def test_text(self) -> None:
        """A line a subject: its figures, or why there are none; how to read them stands below."""
        said = text(ROWS, {("imd", TCP): Memory(2.5, 8)})
        lines = said.splitlines()
        self.assertEqual(lines[0], "tcp × 1,000, flat out, 100 bytes")
        (imd,) = (line for line in lines if line.startswith("imd comet") and "95%" in line)
        self.assertEqual(imd.split()[2:5], ["3.80", "0", "0.95"])
        (refused,) = (line for line in lines if line.startswith("transport.write"))
        self.assertEqual(
            refused.partition("refused: ")[2],
            "2 of 2 windows, the last because 2 clients lost their connection",
        )
        (memory,) = (line for line in lines if line.startswith("imd comet") and "tcp" in line)
        self.assertEqual(memory.split()[-2:], ["2.50", "8.00"])
        self.assertTrue(said.endswith(READING))

    def test_json(self) -> None:
        """Every window is there, with why it was refused; and the machine."""
        said = json.loads(json.dumps(values(ROWS, {("imd", TCP): Memory(2.5, 8)}, {"cpu": "x"})))
        self.assertEqual(said["machine"], {"cpu": "x"})
        loop, imd, write = said["results"]
        self.assertEqual((loop["of_loop"], imd["of_loop"], write["of_loop"]), (1.0, 0.95, None))
        self.assertIsNone(write["result"])
        self.assertEqual([len(each["refusals"]) for each in imd["windows"]], [0, 1])
        self.assertEqual(said["memory"][0]["process_kb"], 2.5)
