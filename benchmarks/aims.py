"""What was wanted, and whether it was reached: of every mark that has an aim."""

from collections.abc import Iterator

from benchmarks.document import Document, Mark, Plot, Table

NOTE = "Wanted: at most so much. Of percentiles it is the last but the largest that counts, of parts the first."


def aims(document: Document) -> Table | None:
    """None when nothing is wanted of what was measured."""
    rows = tuple(_rows(document))
    return Table("aims", "What was wanted", ("measured", "wanted", "unit", ""), rows, NOTE) if rows else None


def missed(document: Document) -> list[str]:
    """Their names."""
    table = aims(document)
    return [row[0] for row in table.rows if row[-1] != "met"] if table else []


def _rows(document: Document) -> Iterator[tuple[str, ...]]:
    for plot in document.plots:
        for group in plot.groups:
            for mark in group.marks:
                if mark.aim is not None:
                    value = _value(plot, mark)
                    words = ", ".join(filter(None, (plot.title, group.title, mark.label)))
                    yield words, f"{value:.2f}", f"{mark.aim:.2f}", plot.unit, "met" if value <= mark.aim else "missed"


def _value(plot: Plot, mark: Mark) -> float:
    return mark.values[-2] if plot.kind == "spans" else mark.values[0]
