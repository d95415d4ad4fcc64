"""Tables of a document in a Markdown page, each where it is called by its key."""

import re

from benchmarks.document import Document, Table
from benchmarks.text import markdown

_PLACE = re.compile(r"<!-- figures: (?P<key>\S+) -->\n.*?<!-- /figures -->", re.DOTALL)


class NoTable(Exception):
    """A page asks for a table that the document has not."""


def render(page: str, document: Document) -> str:
    """The page, with what stands between ``<!-- figures: KEY -->`` and ``<!-- /figures -->`` made anew.

    ``runs`` is how the figures came about. Raises :class:`NoTable`.
    """
    tables = {table.key: table for table in (*document.tables, runs_table(document))}

    def filled(place: re.Match[str]) -> str:
        key = place["key"]
        if key not in tables:
            raise NoTable(f"no table is called {key}: there are {', '.join(sorted(tables))}")
        return f"<!-- figures: {key} -->\n{markdown(tables[key])}\n<!-- /figures -->"

    return _PLACE.sub(filled, page)


def runs_table(document: Document) -> Table:
    """Command, date and machine of each run."""
    rows = [
        (f"`{run.command}`", run.began[:10], f"{run.seconds / 60:.0f} min", *_machine(run.machine))
        for run in document.runs
    ]
    return Table("runs", "How they were taken", ("date", "took", "machine", "Linux", "Python"), tuple(rows))


def _machine(said: dict[str, str | int]) -> tuple[str, str, str]:
    return f"{said['cpu']}, {said['cores']} cores", str(said["kernel"]), str(said["python"])
