"""imdctl check-config: a good file is said to be good, each fault is one line."""

from pathlib import Path

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.check_config import ROLES, check_config

ETC = Path(__file__).parents[2] / "etc"


class CheckConfigTests(SynchronousTestCase):
    """The command on files."""

    def check(self, *arguments: str, text: str | None = None, **environ: str) -> Result:
        """Run it; with ``text``, on a file comet.toml that holds it."""
        if text is not None:
            path = Path(self.mktemp()) / "comet.toml"
            path.parent.mkdir(parents=True)
            path.write_text(text)
            arguments = (str(path), *arguments)
        return CliRunner().invoke(check_config, list(arguments), env=environ)

    def test_shipped_files_are_good(self) -> None:
        """Every file of etc/ is taken for its role by its name."""
        for role in ROLES:
            result = self.check(str(ETC / f"{role}.toml"))
            self.assertEqual(result.exit_code, 0, result.output)
            plugin = "imd" if role == "imd" else f"imd-{role}"
            self.assertTrue(result.stdout.endswith(f"{role}.toml: good for twistd {plugin}\n"), result.stdout)

    def test_every_fault_is_a_line(self) -> None:
        """A misspelt key and a wrong section: exit status 1, both named, no traceback."""
        result = self.check(text="[comet]\ntpc = '127.0.0.1:1'\n[redi]\nurl = ''\n")
        self.assertEqual(result.exit_code, 1)
        self.assertEqual(result.stdout, "")
        self.assertIn("comet.tpc: no such key; did you mean comet.tcp?", result.stderr)
        self.assertIn("redi: no such section", result.stderr)
        self.assertNotIn("Traceback", result.stderr)

    def test_role_and_sets_count(self) -> None:
        """--role wins over the name, --set and the environment are looked at as at a start."""
        result = self.check("--role", "imd", text="")
        self.assertIn("good for twistd imd\n", result.stdout)
        result = self.check("--set", "comet.tcp=nowhere", text="")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("comet.tcp", result.stderr)
        result = self.check(text="", IMD_COMET_HANDSHAKE_SECONDS="soon")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("IMD_COMET_HANDSHAKE_SECONDS", result.stderr)

    def test_missing_file_is_said(self) -> None:
        """One line."""
        result = self.check("no-such-file.toml")
        self.assertEqual(result.exit_code, 1)
        self.assertEqual(result.stderr, "Error: no-such-file.toml: cannot be read: No such file or directory\n")
