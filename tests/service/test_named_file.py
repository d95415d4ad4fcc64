"""Files that the configuration names."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.errors import ConfigError
from imd.service.named_file import read_named, read_secret


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


class ReadSecretTests(SynchronousTestCase):
    """What is in a file of one line."""

    def test_without_its_end_of_line(self) -> None:
        """Editors add one."""
        path = Path(self.mktemp())
        path.write_text("p w\n")
        self.assertEqual(read_secret("registry.digest_file", str(path)), "p w")
        self.assertEqual(read_secret("registry.digest_file", ""), "")

    def test_no_text(self) -> None:
        """The key and the path, nothing of what is in it."""
        path = Path(self.mktemp())
        path.write_bytes(b"hush\xff")
        refused = self.assertRaises(ConfigError, read_secret, "registry.digest_file", str(path))
        self.assertEqual(str(refused), f"registry.digest_file = {path}: is not UTF-8 text")
