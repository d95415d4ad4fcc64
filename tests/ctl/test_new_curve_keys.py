"""imdctl new-curve-keys: a pair that the RPC transport takes, and that nobody else can read."""

import os
import tomllib
from pathlib import Path

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.new_curve_keys import new_curve_keys
from imd.transport.zmq_curve import load_keys


class NewCurveKeysTests(SynchronousTestCase):
    """The command."""

    def setUp(self) -> None:
        self.file = Path(self.mktemp()).absolute()
        self.file.parent.mkdir(parents=True, exist_ok=True)

    def test_pair_can_be_used(self) -> None:
        """The file loads, its public key is what stdout says, and the lines name the file."""
        umask = os.umask(0)
        self.addCleanup(os.umask, umask)
        result = CliRunner().invoke(new_curve_keys, [str(self.file)])
        self.assertEqual(result.exit_code, 0, result.output)
        self.assertEqual(load_keys(str(self.file)).public.decode(), result.stdout.strip())
        self.assertEqual(self.file.stat().st_mode & 0o777, 0o600)
        lines = result.stderr.partition("\n\n")[2].partition("\n\n")[0]
        self.assertEqual(tomllib.loads(lines), {"rpc": {"curve_secret_key_file": str(self.file)}})
        self.assertNotIn(load_keys(str(self.file)).secret.decode(), result.output)

    def test_nothing_is_replaced(self) -> None:
        """An old pair stays: peers may rest on it."""
        self.file.write_text("old")
        result = CliRunner().invoke(new_curve_keys, [str(self.file)])
        self.assertEqual(result.exit_code, 1)
        self.assertEqual(result.stderr, f"Error: {self.file}: cannot be made: File exists\n")
        self.assertEqual(self.file.read_text(), "old")
