"""What was found, as values."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.document import Document, Stopwatch, Table, dump, join, load
from tests.benchmarks.documents import BARS, DOCUMENT, RUN, TABLE


class DocumentTests(SynchronousTestCase):
    """JSON, there and back; several of them."""

    def test_json(self) -> None:
        """Nothing is lost; what is no document is refused."""
        self.assertEqual(load(dump(DOCUMENT)), DOCUMENT)
        for bad in (b"", b"[]", b'{"tables": []}', dump(DOCUMENT).replace(b'"bars"', b'"pies"')):
            self.assertRaises(msgspec.DecodeError, load, bad)

    def test_a_row_has_all_its_cells(self) -> None:
        """In a table of two columns a row has three."""
        with self.assertRaisesRegex(ValueError, "delivery"):
            Table("delivery", "", ("a", "b"), (("name", "1"),))

    def test_join(self) -> None:
        """All runs and refusals are kept; what was measured again replaces what was there."""
        newer = Table(TABLE.key, "again", ("µs",), (("C loop", "5.00"),))
        other = Table("connect", "", ("µs",), ())
        both = join([DOCUMENT, Document((RUN,), (newer, other), (BARS,), raw={"y": 2})])
        self.assertEqual((both.runs, both.tables), ((RUN, RUN), (newer, other)))
        self.assertEqual([plot.key for plot in both.plots], ["cost", "latency", "memory"])
        self.assertEqual((both.refusals, both.raw), (DOCUMENT.refusals, {"x": 1, "y": 2}))

    def test_a_run_says_how_it_came_about(self) -> None:
        """Command, time and machine."""
        run = Stopwatch().run()
        self.assertTrue(run.command.startswith("python -m benchmarks"))
        self.assertRegex(run.began, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(set(run.machine), {"cpu", "cores", "kernel", "python", "imd"})
