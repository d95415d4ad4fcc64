"""``report``: what was measured before, once more, or in another form."""

from pathlib import Path

import click
import msgspec

from benchmarks.docs_page import render
from benchmarks.document import Document, join, load
from benchmarks.output import Output, output_options

FILE = click.Path(dir_okay=False, exists=True, path_type=Path)


@click.command("report")
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option(
    "--page", type=FILE, help="Fill in the tables and plots of this Markdown page, such as docs/benchmarks.md."
)
@output_options
def command(files: tuple[Path, ...], page: Path | None, json: Path | None, html: Path | None, svg: Path | None) -> None:
    """What is in FILES, that --json wrote; of several, one report.

    \b
    python -m benchmarks report figures.json --html figures.html --svg docs/benchmarks
    python -m benchmarks report full.json million.json --html figures.html
    python -m benchmarks report full.json --json docs/benchmarks/figures.json --svg docs/benchmarks --page docs/benchmarks.md

    Of a table that is in several files the last is taken. What --json writes here lacks the single windows.
    """
    document = msgspec.structs.replace(join([_read(file) for file in files]), raw={})
    if page is not None:
        page.write_text(render(page.read_text(), document))
    Output(json, html, svg).publish(document)


def _read(file: Path) -> Document:
    try:
        return load(file.read_bytes())
    except msgspec.DecodeError as error:
        raise click.ClickException(f"{file} is not what --json writes: {error}") from None
