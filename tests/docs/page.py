"""A page of the documentation, taken apart."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    """One command of a console block."""

    command: str  # what stands behind ``$ ``
    answer: str  # the lines below it; empty = whatever it prints


class Page:
    """One Markdown file."""

    def __init__(self, name: str) -> None:
        self.name = name  # from the root: ``docs/http.md``
        self.text = (ROOT / name).read_text(encoding="utf-8")

    def section(self, heading: str) -> str:
        """What stands below a heading, up to the next one of its level or above."""
        found = re.search(rf"^(#+) {re.escape(heading)}\n", self.text, re.MULTILINE)
        assert found, f"{self.name} has no section {heading}"
        rest = self.text[found.end() :]
        end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
        return rest[: end.start()] if end else rest

    def headings(self) -> list[str]:
        """All of them, without their marks; code blocks have none."""
        return re.findall(r"^#+ (.*)$", _BLOCK.sub("", self.text), re.MULTILINE)

    def rows(self, heading: str) -> list[list[str]]:
        """The cells of every table in a section, without the tables' heads."""
        rows: list[list[str]] = []
        for table in re.findall(r"(?:^\|.*\n)+", self.section(heading), re.MULTILINE):
            rows += [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
        return rows

    def blocks(self, language: str, heading: str = "") -> list[str]:
        """The code blocks of a language, in order; of one section, if it is named."""
        text = self.section(heading) if heading else self.text
        return [body for _, name, body in _BLOCK.findall(text) if name == language]

    def examples(self, heading: str = "") -> list[Example]:
        """Every command of its console blocks, in order; of one section, if it is named."""
        examples: list[Example] = []
        for block in self.blocks("console", heading):
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, answer = part.partition("\n")
                examples.append(Example(command, answer.strip()))
        return examples


def code(cell: str) -> str:
    """A cell without the marks of code around it."""
    return cell.strip("`")
