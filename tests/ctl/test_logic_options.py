"""What every command that asks logic takes."""

from pathlib import Path

import click
from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.logic_options import logic_options, push_key


@click.command()
@click.option("--first", is_flag=True)
@logic_options
def command(**options: object) -> None:
    """Prints the key, where, and for how long."""
    file = options["key_file"]
    assert file is None or isinstance(file, Path)
    click.echo(f"{push_key(file)} {options['url']} {options['timeout']:g} {options['ca_file']}")


class LogicOptionsTests(SynchronousTestCase):
    """A command that has them."""

    def run_command(self, *arguments: str, **environ: str) -> Result:
        return CliRunner().invoke(command, list(arguments), env=environ)

    def assert_refused(self, *arguments: str, words: str, status: int = 2, **environ: str) -> None:
        """It ends before a reactor is needed, with one line that says what would be right."""
        result = self.run_command(*arguments, **environ)
        self.assertEqual(result.exit_code, status, result.output)
        self.assertIn(words, result.stderr)
        self.assertIsInstance(result.exception, SystemExit)

    def test_defaults(self) -> None:
        """The imd of this machine, without a key; elsewhere by the environment or the command line."""
        self.assertEqual(self.run_command().stdout, " http://127.0.0.1:3111 10 None\n")
        self.assertIn("http://b:1", self.run_command("--url", "http://b:1", IMDCTL_URL="http://a:1").stdout)
        self.assertIn("http://a:1", self.run_command(IMDCTL_URL="http://a:1").stdout)

    def test_wrong_url(self) -> None:
        """An address without a scheme is the usual slip."""
        for url in ("127.0.0.1:3111", "ftp://a", "http://", "http://a:x", "http://a?b=c"):
            self.assert_refused("--url", url, words="is not like http://127.0.0.1:3111")

    def test_the_key(self) -> None:
        """From the environment, or from a file, which wins."""
        self.assertTrue(self.run_command(IMDCTL_PUSH_KEY="imd_env\n").stdout.startswith("imd_env "))
        file = Path(self.mktemp())
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("imd_file\n")
        shown = self.run_command("--key-file", str(file), IMDCTL_PUSH_KEY="imd_env").stdout
        self.assertTrue(shown.startswith("imd_file "))

    def test_unusable_key(self) -> None:
        """A file that is not there, and one that holds something else."""
        self.assert_refused("--key-file", "nowhere", words="nowhere: cannot be read", status=1)
        file = Path(self.mktemp())
        file.parent.mkdir(parents=True, exist_ok=True)
        for content in (b"", b"two words", b"a\r\nb: c", b"\xff"):
            file.write_bytes(content)
            self.assert_refused("--key-file", str(file), words="holds no push key", status=1)
        self.assert_refused(words="holds no push key", status=1, IMDCTL_PUSH_KEY="two words")
