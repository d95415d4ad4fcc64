"""Files that the configuration names."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.errors import ConfigError
from imd.service.named_file import read_named


class ReadNamedTests(SynchronousTestCase):
    """There, and not."""

    def test_there(self) -> None:
        """Its bytes."""
        path = Path(self.mktemp())
        path.write_bytes(b"\x00x")
        self.assertEqual(read_named("redis.password_file", str(path)), b"\x00x")

    def test_missing(self) -> None:
        """The key, the path, and why; a folder is no file either."""
        for path, why in (("/none/such", "no such file"), ("/", "is a directory")):
            refused = self.assertRaises(ConfigError, read_named, "auth.jwks", path)
            self.assertIn(f"auth.jwks = {path}: cannot be read: {why}", str(refused))
