"""Tables and plots of a document in a Markdown page, each where it is called by its key."""

import re

from benchmarks.aims import aims
from benchmarks.document import Document, Table
from benchmarks.text import markdown

PLOTS = "benchmarks"  # the folder of the plots, from the page
NOT_MEASURED = "Not measured on this machine."

_PLACE = re.compile(r"<!-- figures: (?P<key>\S+) -->\n.*?<!-- /figures -->", re.DOTALL)


def render(page: str, document: Document) -> str:
    """The page, with what stands between ``<!-- figures: KEY -->`` and ``<!-- /figures -->`` made anew: the plot of that key,
    the table of that key, or both. ``runs`` is how the figures came about, ``aims`` what was wanted."""
    made = filter(None, (runs_table(document), aims(document)))
    tables = {table.key: table for table in (*document.tables, *made)}
    plots = {plot.key: plot for plot in document.plots}

    def filled(place: re.Match[str]) -> str:
        key = place["key"]
        parts = [f"![{plots[key].title}]({PLOTS}/{key}.svg)\n"] if key in plots else []
        parts += [markdown(tables[key])] if key in tables else []
        return "\n".join([f"<!-- figures: {key} -->", *(parts or [NOT_MEASURED]), "<!-- /figures -->"])

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
