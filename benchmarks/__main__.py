"""``python -m benchmarks``: the commands, each in a module of its own that is loaded when it is asked for."""

from collections.abc import Mapping
from importlib import import_module

import click

# A command's name -> the module that has it, as ``command``. Add yours here.
COMMANDS: Mapping[str, str] = {
    "short": "benchmarks.short",
    "full": "benchmarks.full",
    "fanout": "benchmarks.fanout",
    "stalled": "benchmarks.stalled",
    "report": "benchmarks.report",
    "connect": "benchmarks.connecting",
    "million": "benchmarks.million",
    "members": "benchmarks.members",
    "routing": "benchmarks.routing",
    "profile": "benchmarks.profile",
}
DEFAULT = "short"


class Commands(click.Group):
    """Without a command's name it is the short set, which takes the options then."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name]).command
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """What imd costs, measured against the least that it could cost, on this machine.

    \b
    The main figures, in under five minutes:   python -m benchmarks
    One question:                              python -m benchmarks fanout -n 1000 --transport tcp
    What it can be asked:                      python -m benchmarks fanout --help

    Two cores with nobody else on them, a C compiler and a hard file limit above the number of connections are needed. Exit
    status: 0 measured, 3 some result cannot be believed (its reasons are in its place), 1 it failed, 2 asked for wrongly.
    """


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
