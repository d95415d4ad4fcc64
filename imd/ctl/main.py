"""imdctl itself: what it offers."""

import click

from imd import __version__
from imd.ctl.bench import bench
from imd.ctl.check_config import check_config
from imd.ctl.ledger import ledger
from imd.ctl.listen import listen
from imd.ctl.new_curve_keys import new_curve_keys
from imd.ctl.new_push_key import new_push_key
from imd.ctl.push import push
from imd.ctl.trace import trace


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="imdctl", message="%(prog)s %(version)s")
def main() -> None:
    """Talk to a running imd, and prepare one.

    \b
    In one terminal, listen:   imdctl listen --room live://1000
    in a second one, push:     imdctl push --to-room live://1000 "hello"
    Before a start:            imdctl check-config etc/comet.toml
    What became of a push?     imdctl trace ID
    Was anything lost?         imdctl ledger
    What does it cost here?    imdctl bench

    Without further options the commands speak to the imd that `make run` starts on this machine. Each one explains
    itself: imdctl push --help. Exit status: 0 done, 1 it failed (one line on stderr says why), 2 asked for wrongly.
    """


for command in (listen, push, trace, ledger, check_config, new_push_key, new_curve_keys, bench):
    main.add_command(command)
