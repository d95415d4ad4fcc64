"""The commands."""

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from benchmarks import machine
from benchmarks.__main__ import COMMANDS, DEFAULT, main


class MainTests(SynchronousTestCase):
    """``python -m benchmarks``."""

    def test_every_command_explains_itself(self) -> None:
        """It is listed with a whole sentence, and says what can be asked for."""
        listed = CliRunner().invoke(main, ["--help"]).output.partition("Commands:\n")[2]
        self.assertEqual([line.split()[0] for line in listed.splitlines()], list(COMMANDS))
        self.assertNotIn("...", listed)
        for name in COMMANDS:
            done = CliRunner().invoke(main, [name, "--help"])
            self.assertEqual(done.exit_code, 0, done.output)
            self.assertIn("--help", done.output)

    def test_without_a_command(self) -> None:
        """It is the short set, whose options may be given."""
        self.patch(machine, "cores", lambda: [0])  # it ends at once
        for words in ([], ["--runs", "3"], [DEFAULT, "--runs", "3"]):
            done = CliRunner().invoke(main, words)
            self.assertEqual((done.exit_code, "two cores" in done.output), (1, True), done.output)

    def test_no_such_command(self) -> None:
        """Said, with exit status 2."""
        done = CliRunner().invoke(main, ["fan-out"])
        self.assertEqual((done.exit_code, "No such command 'fan-out'" in done.output), (2, True))
