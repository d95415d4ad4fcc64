"""imdctl new-push-key: a bearer key for a back end."""

import re
import secrets

import click
import msgspec

from imd.logic.access import SCOPES, new_key


@click.command("new-push-key")
@click.option("--name", default="backend", show_default=True, help="Whose key it is: for logs, unique in the file.")
@click.option(
    "--scope", "scopes", multiple=True, default=("push",), show_default=True, metavar="SCOPE", help="May be repeated."
)
def new_push_key(name: str, scopes: tuple[str, ...]) -> None:
    """Make a bearer key for the push API.

    The key goes to stdout, alone; it is shown this once. The lines for logic's configuration, which keeps only its hash, go
    to stderr.

    \b
    imdctl new-push-key --name shop --scope push:members --scope read
    imdctl new-push-key > shop.key && imdctl push --key-file shop.key --to-all "hello"

    Scopes: push (all of them), push:keys, push:members, push:room, push:room:TYPE, push:all, read.
    """
    for scope in scopes:
        if scope not in SCOPES and not re.fullmatch("push:room:.+", scope):
            raise click.BadParameter(f"{scope} is none of {', '.join(SCOPES)}, push:room:TYPE", param_hint="--scope")
    key, digest = new_key(secrets.token_bytes)
    listed = ", ".join(_quoted(scope) for scope in scopes)
    click.echo("For the file that logic reads (and `twistd imd`); an empty list of keys there goes:\n", err=True)
    click.echo(f'[[push.keys]]\nname = {_quoted(name)}\nsha256 = "{digest}"\nscopes = [{listed}]\n', err=True)
    click.echo("The key itself, which is kept nowhere:", err=True)
    click.echo(key)


def _quoted(text: str) -> str:
    """A TOML basic string; JSON's escapes are TOML's."""
    return msgspec.json.encode(text).decode()
