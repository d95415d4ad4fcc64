"""What sessions share."""

from dataclasses import FrozenInstanceError

from twisted.trial.unittest import SynchronousTestCase

from tests.support.comet_fakes import BOOT, SERVER, Comet


class EdgeTests(SynchronousTestCase):
    """One for all."""

    def test_frozen(self) -> None:
        """No session changes it for the others."""
        edge = Comet().server._edge
        self.assertEqual((edge.server, edge.boot), (SERVER, BOOT))
        with self.assertRaises(FrozenInstanceError):
            edge.boot = 1  # type: ignore[misc]  # that is the test
