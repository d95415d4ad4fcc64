"""imdctl new-push-key: the key works with the lines that come with it."""

import tomllib

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.new_push_key import new_push_key
from imd.logic.access import PushKey, PushKeys


class NewPushKeyTests(SynchronousTestCase):
    """The command."""

    def make(self, *arguments: str) -> Result:
        """Run it."""
        return CliRunner().invoke(new_push_key, list(arguments))

    def test_key_fits_its_lines(self) -> None:
        """stdout is the key alone; the lines on stderr are TOML that lets it in, with its name and scopes."""
        result = self.make("--name", 'the "shop"', "--scope", "push:room:live", "--scope", "read")
        self.assertEqual(result.exit_code, 0, result.output)
        key = result.stdout.strip()
        lines = result.stderr.partition("\n\n")[2].rpartition("\n\n")[0]
        (table,) = tomllib.loads(lines)["push"]["keys"]
        self.assertNotIn(key, result.stderr)
        keys = PushKeys(keys=[PushKey(table["name"], table["sha256"], tuple(table["scopes"]))])
        self.assertEqual(keys.authorize(f"Bearer {key}", ["push:room:live", "read"]), 'the "shop"')

    def test_keys_differ(self) -> None:
        """Every run makes another."""
        self.assertNotEqual(self.make().stdout, self.make().stdout)

    def test_unknown_scope_is_refused(self) -> None:
        """With the list of those that there are."""
        for scope in ("push:rooms", "push:room:", ""):
            result = self.make("--scope", scope)
            self.assertEqual((result.exit_code, result.stdout), (2, ""))
            self.assertIn("push:members", result.stderr)
