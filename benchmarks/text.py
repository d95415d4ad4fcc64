"""A document for a terminal, and its tables in Markdown."""

from textwrap import fill

from benchmarks.aims import aims, missed
from benchmarks.document import Document, Table

WIDTH = 120
MIN_CELL = 9


def text(document: Document) -> str:
    """Every table; how to read them stands below, once."""
    blocks = [_table(table) for table in document.tables]
    notes = dict.fromkeys(table.note for table in document.tables if table.note)
    if document.refusals:
        blocks.append(f"{len(document.refusals)} windows could not be believed: --html and --json say which, and why.")
    wanted = aims(document)
    if wanted is not None:
        short = missed(document)
        names = "".join(f"\n  missed: {name}" for name in short)
        blocks.append(
            f"{len(wanted.rows) - len(short)} of {len(wanted.rows)} aims are met, of what could be measured.{names}"
        )
    return "\n\n".join([*blocks, *(fill(note, WIDTH) for note in notes)])


def _table(table: Table) -> str:
    if len(table.columns) == 1:
        return _list(table)
    first = max(18, *(len(row[0]) for row in table.rows)) if table.rows else 18
    shown = [row for row in table.rows if not _lone(row)]
    widths = [
        max(MIN_CELL, len(title) + 1, *(len(row[at]) + 1 for row in shown)) if shown else MIN_CELL
        for at, title in enumerate(table.columns, 1)
    ]
    lines = [
        table.title,
        " " * first + "".join(f"{each:>{width}}" for each, width in zip(table.columns, widths, strict=True)),
    ]
    for row in table.rows:
        name = f"{row[0]:<{first}}"
        cells = [f"{cell:>{width}}" for cell, width in zip(row[1:], widths, strict=True)]
        lines.append(f"{name} {row[1]}" if _lone(row) else name + "".join(cells).rstrip())
    return "\n".join(lines)


def _list(table: Table) -> str:
    """One column: most of its cells are words."""
    first = max(18, *(len(name) for name, _ in table.rows)) if table.rows else 18
    lines = [
        fill(cell, WIDTH, initial_indent=f"{name:<{first}}  ", subsequent_indent=" " * (first + 2))
        for name, cell in table.rows
    ]
    return "\n".join([table.title, *([" " * (first + 2) + table.columns[0]] if table.columns[0] else []), *lines])


def _lone(row: tuple[str, ...]) -> bool:
    """Its first cell is words that take the place of all: why there are no figures."""
    return len(row) > 2 and not any(row[2:])


def markdown(table: Table) -> str:
    """For docs/benchmarks.md."""
    lines = [("", *table.columns), ("---",) * (len(table.columns) + 1), *table.rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
