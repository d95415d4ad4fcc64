"""imdctl teaches: every command explains itself, with an example."""

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from imd import __version__
from imd.ctl.main import main


class HelpTests(SynchronousTestCase):
    """What --help says."""

    def test_every_command_has_an_example(self) -> None:
        """At least one line that can be pasted."""
        self.assertGreaterEqual(set(main.commands), {"push", "check-config", "new-push-key", "new-curve-keys"})
        for name in main.commands:
            result = CliRunner().invoke(main, [name, "--help"])
            self.assertEqual(result.exit_code, 0)
            self.assertRegex(result.stdout, rf"\n  (IMDCTL_\S+ )?imdctl {name} ")

    def test_top_lists_every_command(self) -> None:
        """With a whole sentence each: none is cut."""
        result = CliRunner().invoke(main, ["--help"])
        listed = result.stdout.partition("Commands:\n")[2]
        self.assertEqual([line.split()[0] for line in listed.splitlines()], sorted(main.commands))
        self.assertNotIn("...", listed)

    def test_version(self) -> None:
        """The package's."""
        self.assertEqual(CliRunner().invoke(main, ["--version"]).stdout, f"imdctl {__version__}\n")

    def test_unknown_command_is_a_usage_error(self) -> None:
        """Exit status 2, one line."""
        result = CliRunner().invoke(main, ["pish"])
        self.assertEqual(result.exit_code, 2)
        self.assertIn("No such command 'pish'", result.stderr)
