"""imdctl bench: what imd costs on this machine."""

import os
import subprocess
import sys
from pathlib import Path

import click

import imd

ROOT = Path(imd.__file__).resolve().parent.parent  # of the checkout, if imd is installed from one


@click.command(
    "bench", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}, add_help_option=True
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND] [OPTIONS]...")
def bench(words: tuple[str, ...]) -> None:
    """Measure what a delivery and a connection cost here.

    \b
    imdctl bench                                        the main figures, in under five minutes
    imdctl bench --runs 3 --html figures.html           with plots
    imdctl bench fanout -n 10000 --load flat            one question
    imdctl bench fanout --help                          what can be asked

    The benchmarks are in imd's repository, beside the package: this runs those of the checkout that imd is installed from, and
    everything behind "bench" goes to them. They want two cores with nobody else on them and a C compiler; nothing that runs
    is touched. Exit status: theirs, 3 when some result cannot be believed.
    """
    if not (ROOT / "benchmarks" / "__main__.py").exists():
        raise click.ClickException(
            f"there are no benchmarks beside {ROOT / 'imd'}: clone imd's repository, and run make bench in it"
        )
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "benchmarks", *words]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False)  # noqa: S603  # the operator's own words
    sys.exit(done.returncode)
