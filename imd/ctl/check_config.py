"""imdctl check-config: whether a process would start with a file."""

import os
from pathlib import Path
from typing import get_args

import click

from imd.config import Role, load
from imd.ctl.failure import fail
from imd.errors import ConfigError

ROLES: tuple[Role, ...] = get_args(Role)


@click.command("check-config")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--role", type=click.Choice(ROLES), help="Whose file it is. Default: as the file is named, else imd.")
@click.option("--set", "sets", multiple=True, metavar="SECTION.KEY=VALUE", help="As given to twistd; may be repeated.")
def check_config(file: Path, role: Role | None, sets: tuple[str, ...]) -> None:
    """Say whether FILE can be used, and what is wrong in it.

    The environment counts (IMD_<SECTION>_<KEY>), as it does at a start. Nothing is connected to, nothing is changed.

    \b
    imdctl check-config etc/comet.toml
    imdctl check-config /etc/imd/edge.toml --role comet --set comet.tcp=0.0.0.0:3101
    """
    whose = role or _named_after(file)
    try:
        load(whose, file, os.environ, sets)
    except ConfigError as error:
        raise fail(error) from None
    click.echo(f"{file}: good for {'twistd imd' if whose == 'imd' else f'twistd imd-{whose}'}")


def _named_after(file: Path) -> Role:
    """The role whose name is the file's: etc/comet.toml is comet's."""
    for role in ROLES:
        if role == file.stem:
            return role
    return "imd"
