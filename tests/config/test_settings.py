"""Settings as values."""

from twisted.trial.unittest import SynchronousTestCase

from imd.config import load


class SecretTests(SynchronousTestCase):
    """The tables with secrets."""

    def test_passwords_are_not_shown(self) -> None:
        """Wherever settings come into a log or a traceback, the whole file's too."""
        hushed = ["redis.password=hush1", "redis.sentinel_password=hush2", "registry.digest=imd:hush3"]
        sets = [*hushed, "redis.address=127.0.0.1:7000"]
        shown = repr(load("logic", sets=sets))
        self.assertIn("127.0.0.1:7000", shown)
        self.assertNotIn("hush", shown)
