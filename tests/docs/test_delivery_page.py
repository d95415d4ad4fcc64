"""docs/delivery.md names every reason for which a push is dropped."""

import ast
import re
from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.drop import Drop
from imd.comet.limits import Limits
from imd.job.lane import Miss
from imd.job.settings import JobSettings
from tests.docs.page import ROOT, Page, code


def counted() -> Iterator[tuple[str, str]]:
    """(layer, reason) of each call in imd/ that names both, and of those whose reasons come from an Enum."""
    yield from (("comet", drop.value) for drop in Drop)
    yield from (("job", miss.reason) for miss in Miss)
    for path in (ROOT / "imd").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            words = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
            texts = [word for word in words if isinstance(word, str)]
            if node.func.attr == "add" and ast.unparse(node.func.value).endswith("metrics.drops") and len(texts) == 2:
                yield texts[0], texts[1]
            elif node.func.attr == "_drop" and path.parent.name == "job" and texts:
                yield "job", texts[0]


class DropTests(SynchronousTestCase):
    """The table against the code."""

    def setUp(self) -> None:
        self.page = Page("docs/delivery.md")

    def test_reasons(self) -> None:
        """Every reason that can be counted has its row, and no other has."""
        rows = {(row[0], code(row[1])) for row in self.page.rows("Reasons in `imd_drops`")}
        self.assertEqual(rows, set(counted()))

    def test_everything_that_counts_is_looked_at(self) -> None:
        """The reasons of each line that counts a drop are literal, or those of Drop or Miss: others would be missed."""
        known = {
            "imd/comet/tally.py": "drop.value",
            "imd/comet/reservoir.py": "drop.value",
            "imd/job/handover.py": "reason",  # of _drop, whose callers say it, or Miss
            "imd/job/route.py": "reason",  # the same
        }
        for path in (ROOT / "imd").rglob("*.py"):
            for reason in re.findall(r"metrics\.drops\.add\(.*, ([^)]*)\)", path.read_text(encoding="utf-8")):
                if not reason.startswith('"'):
                    self.assertEqual(known.get(str(path.relative_to(ROOT))), reason, path)

    def test_figures(self) -> None:
        """Seconds and numbers of the tables are the defaults."""
        job = JobSettings()
        self.assertEqual(job.overload_seconds, 5)
        self.assertIn(f"while {Limits().sweeps} of them", self.page.text)
        self.assertEqual((round(sum(job.look_again_seconds)), job.patience_seconds), (2, 2.0), "about two seconds")
