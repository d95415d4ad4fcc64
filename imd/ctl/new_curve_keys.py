"""imdctl new-curve-keys: a key pair for ZeroMQ between the processes."""

import os
from pathlib import Path

import click
import zmq


@click.command("new-curve-keys")
@click.argument("file", type=click.Path(path_type=Path))
def new_curve_keys(file: Path) -> None:
    """Make a CURVE key pair for ZeroMQ, in FILE.

    Only FILE's owner may read it.

    Give every process its own pair: `rpc.curve_secret_key_file` names its FILE. The file that
    `rpc.curve_allowed_keys_file` names lists the public keys of the peers that may connect, one a line: in logic's the
    comets', in a comet's the jobs'. A file that exists is never replaced.

    \b
    imdctl new-curve-keys /etc/imd/comet.key_secret
    """
    public, secret = (key.decode() for key in zmq.curve_keypair())
    pair = f'curve\n    public-key = "{public}"\n    secret-key = "{secret}"\n'  # as pyzmq's load_certificate reads it
    try:
        # created by us, and never readable by others, not even for a moment
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
            out.write(f"# A ZeroMQ CURVE key pair. Keep it secret.\n\nmetadata\n{pair}")
    except OSError as error:
        raise click.ClickException(f"{file}: cannot be made: {error.strerror}") from None
    click.echo(f'For this process:\n\n[rpc]\ncurve_secret_key_file = "{file.absolute()}"\n', err=True)
    click.echo("For the file that rpc.curve_allowed_keys_file of its peers names, the public key:", err=True)
    click.echo(public)
