"""Every file that a page names is there."""

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.page import PAGES, ROOT, Page

_NAMED = re.compile(r"`((?:[\w*<>-]+/)+[\w.*<>-]*)`")  # with a slash: ``comet/session.py``, ``tests/contract/``
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
_ANCHOR = re.compile(r"\]\(([^)#:]*)#([^)]*)\)")
_FOLDERS = ("imd", "tests", "docs", "etc", "systemd", "twisted", "benchmarks", ".ci")


class PathTests(SynchronousTestCase):
    """In README.md, CONTRIBUTING.md and docs/."""

    def test_named_files_exist(self) -> None:
        """``comet/session.py`` stands for imd/comet/session.py, ``broker_*.py`` for at least one such file."""
        rooms = {path.name for path in (ROOT / "imd").iterdir() if path.is_dir()}
        for path in PAGES:
            page = Page(str(path.relative_to(ROOT)))
            for name in _NAMED.findall(page.text):
                first = name.partition("/")[0]
                base = ROOT if first in _FOLDERS else ROOT / "imd" if first in rooms else None
                if base is not None and "<" not in name:
                    self.assertTrue(list(base.glob(name.rstrip("/"))), f"{page.name}: {name}")

    def test_links_lead_somewhere(self) -> None:
        """Links within the repository; what is on the web is not asked."""
        for path in PAGES:
            for target in _LINK.findall(path.read_text(encoding="utf-8")):
                self.assertTrue((path.parent / target).exists(), f"{path.name}: {target}")

    def test_anchors_are_headings(self) -> None:
        """What a link names behind # is a heading of the page, as GitHub spells it."""
        for path in PAGES:
            for target, anchor in _ANCHOR.findall(path.read_text(encoding="utf-8")):
                page = Page(str((path.parent / target if target else path).resolve().relative_to(ROOT)))
                named = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in page.headings()}
                self.assertIn(anchor, named, f"{path.name}: {target}#{anchor}")

    def test_every_page_is_listed(self) -> None:
        """README.md links every page of docs/; decisions by their folder."""
        readme = Page("README.md").text
        for path in (ROOT / "docs").glob("*.md"):
            self.assertIn(f"](docs/{path.name})", readme)
