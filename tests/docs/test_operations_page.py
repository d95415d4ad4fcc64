"""docs/operations.md knows every metric, every line of the log, and configurations that work."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from twisted.trial.unittest import SynchronousTestCase

from imd.config import Role, load
from imd.metrics import Metrics
from tests.docs.page import ROOT, Page, code

ROLES: tuple[Role, ...] = get_args(Role)
LEVELS = ("info", "warn", "error", "critical")
LUA_CALL = re.compile(r"redis\.p?call\('(\w+)'")
FROM_PYTHON = {"ping", "select", "role", "info", "eval", "evalsha", "xread", "xrange", "xdel", "xlen"}


def log_lines() -> Iterator[tuple[str, str]]:
    """(level, format) of what the processes log; the client library is somebody else's process."""
    for path in sorted((ROOT / "imd").rglob("*.py")):
        if path.parent.name == "client":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=logger, attr=level), args=[ast.Constant(value=str(line)), *_]):
                    if level in LEVELS and ast.unparse(logger).split(".")[-1] in ("log", "_log"):
                        yield level, line


class OperationsPageTests(SynchronousTestCase):
    """The page against the code."""

    def setUp(self) -> None:
        self.page = Page("docs/operations.md")

    def test_metrics(self) -> None:
        """Every metric has its row, with its labels; no row is without a metric."""
        ours = {metric.name: metric.labels for metric in Metrics().all()}
        rows = {code(row[0]): tuple(re.findall(r"`(\w+)`", row[1])) for row in self.page.rows("Every metric")}
        self.assertEqual(rows, ours)

    def test_log(self) -> None:
        """Every line that is logged has its row, and no other has."""
        rows = {(row[0], code(row[1])) for row in self.page.rows("The log")}
        self.assertEqual(rows, set(log_lines()))

    def test_configurations(self) -> None:
        """Each TOML block can be used by the process whose file it names, once the files that it names are there."""
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        for block in self.page.blocks("toml"):
            named = re.match(r"# /etc/imd/(\w+)\.toml\n", block)
            assert named, block
            for path in re.findall(r'"/etc/imd/([^"]+)"', block):
                (folder / path).touch()
            file = folder / f"{named[1]}.toml"
            file.write_text(block.replace("/etc/imd/", f"{folder}/"))
            role = next(role for role in ROLES if role == named[1])
            load(role, file)

    def test_settings(self) -> None:
        """Every setting that a page names exists."""
        for name in ("docs/operations.md", "docs/delivery.md", "docs/http.md", "docs/protocol.md"):
            for section, key in re.findall(r"`(\w+)\.(\w+)(?: = [^`]*)?`", Page(name).text):
                if section in load("imd").__struct_fields__:
                    known = getattr(load("imd"), section).__struct_fields__
                    self.assertIn(key, known, f"{name}: {section}.{key}")

    def test_faults(self) -> None:
        """What the page quotes of the lines that end a start is what the code says."""
        code_text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "imd").rglob("*.py"))
        for row in self.page.rows("When it does not start"):
            self.assertTrue(code(row[0]) in code_text, row[0])

    def test_acl(self) -> None:
        """The user of Redis may do what scripts and connections do, and nothing else."""
        (rule,) = re.findall(r"ACL SETUSER[^`]*", self.page.text)
        lua = "".join(path.read_text() for path in (ROOT / "imd/backend/lua").glob("*.lua"))
        ours = {call.lower() for call in LUA_CALL.findall(lua)} | FROM_PYTHON
        self.assertEqual(set(re.findall(r"\+(\w+)", rule)), ours)
