"""Plots."""

from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.document import Group, Mark, Plot
from benchmarks.svg import LEFT, RIGHT, WIDTH, Scale, svg
from tests.benchmarks.documents import BARS, SPANS, STACKED

NAME = "{http://www.w3.org/2000/svg}"


class ScaleTests(SynchronousTestCase):
    """Values to x."""

    def test_linear(self) -> None:
        """From zero at the left to the largest at the right."""
        scale = Scale(4.2)
        self.assertEqual((scale.x(0), scale.x(4.2)), (LEFT, WIDTH - RIGHT))
        self.assertEqual(scale.ticks(), [0, 1, 2, 3, 4])

    def test_powers(self) -> None:
        """Each power of ten takes the same room."""
        scale = Scale(1000, 0.3)
        self.assertAlmostEqual(scale.x(10) - scale.x(1), scale.x(100) - scale.x(10))
        self.assertEqual((scale.x(0), scale.x(1000)), (LEFT, WIDTH - RIGHT))
        self.assertEqual([f"{each:g}" for each in scale.ticks()][:4], ["0.1", "0.2", "0.5", "1"])

    def test_nothing_is_larger_than_nothing(self) -> None:
        """A plot of zeros is drawn."""
        self.assertEqual(Scale(0.0).x(0), LEFT)


class SvgTests(SynchronousTestCase):
    """Each kind."""

    def drawn(self, plot: Plot) -> ElementTree.Element:
        return ElementTree.fromstring(svg(plot))

    def test_bars(self) -> None:
        """As long as their values, with what is wanted and what they are compared with."""
        root = self.drawn(BARS)
        imd, write = (float(each.attrib["width"]) for each in root.iter(f"{NAME}rect"))
        self.assertApproximates(write, 2 * imd, 0.2)
        self.assertEqual([each.attrib["class"] for each in root.iter(f"{NAME}line")].count("aim"), 1)
        self.assertIn("the C loop", [each.text for each in root.iter(f"{NAME}text")])
        self.assertIn("imd: 1.2 × the C loop; wanted: 1.25", [each.text for each in root.iter(f"{NAME}title")])

    def test_stacked(self) -> None:
        """One begins where the other ends."""
        first, second = self.drawn(STACKED).iter(f"{NAME}rect")
        end = float(first.attrib["x"]) + float(first.attrib["width"])
        self.assertApproximates(end, float(second.attrib["x"]), 0.2)

    def test_spans(self) -> None:
        """To the last but one thick, to the last thin."""
        thin, thick = self.drawn(SPANS).iter(f"{NAME}rect")
        self.assertEqual(thin.attrib["x"], thick.attrib["x"])
        self.assertLess(float(thick.attrib["width"]), float(thin.attrib["width"]))

    def test_everything_is_inside(self) -> None:
        """Nothing is drawn beyond the edges, however large a value or an aim."""
        plot = Plot("x", "x", "ms", "bars", (Group("", (Mark("a", (1e6,)), Mark("b", (1.0,), aim=2e6))),))
        for element in self.drawn(plot).iter():
            for name in ("x", "x1", "x2", "cx"):
                self.assertLessEqual(0, float(element.attrib.get(name, 0)))
                self.assertLessEqual(float(element.attrib.get(name, 0)), WIDTH)

    def test_without_marks(self) -> None:
        """Everything was refused: a title and nothing below it."""
        root = self.drawn(Plot("x", "A & B", "ms", "spans", ()))
        self.assertEqual(root.attrib["aria-label"], "A & B")
