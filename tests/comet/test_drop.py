"""The labels of drops."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.drop import Drop
from imd.comet.fanout import ENDS


class DropTests(SynchronousTestCase):
    """The ledger reads them."""

    def test_labels_are_their_names(self) -> None:
        """So that a reader of metrics finds the line that says why."""
        for drop in Drop:
            self.assertEqual(drop.value, drop.name.lower())

    def test_what_an_outbox_had_taken_ends_nobody(self) -> None:
        """Those are counted late, when no delivery looks any more."""
        self.assertFalse([drop for drop in ENDS if drop.value.startswith("outbox_")])
