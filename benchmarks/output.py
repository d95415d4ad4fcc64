"""Where a benchmark's document goes."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from benchmarks.document import Document, dump
from benchmarks.page import page
from benchmarks.svg import svg
from benchmarks.text import text

UNBELIEVABLE = 3  # exit status

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Output:
    """Files that are asked for; None = it is not."""

    json: Path | None = None
    html: Path | None = None
    svg: Path | None = None  # a folder

    def publish(self, document: Document, *, believable: bool = True) -> None:
        """Print it, write it. Exits with 3 when some result could not be believed."""
        print(text(document))
        for path in filter(None, (self.json, self.html)):
            path.parent.mkdir(parents=True, exist_ok=True)
        if self.json is not None:
            self.json.write_bytes(dump(document))
        if self.html is not None:
            self.html.write_text(page(document))
        if self.svg is not None:
            self.svg.mkdir(parents=True, exist_ok=True)
            for plot in document.plots:
                (self.svg / f"{plot.key}.svg").write_text(svg(plot) + "\n")
        if not believable:
            sys.exit(UNBELIEVABLE)


def output_options(function: F) -> F:
    """``--json``, ``--html``, ``--svg``: arguments ``json``, ``html`` and ``svg`` of the command, for :class:`Output`."""
    file = click.Path(dir_okay=False, path_type=Path)
    options = (
        click.option("--json", type=file, help="Write everything here, refused windows too."),
        click.option("--html", type=file, help="Write a page with plots here."),
        click.option(
            "--svg", type=click.Path(file_okay=False, path_type=Path), help="Write the plots into this folder."
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function
