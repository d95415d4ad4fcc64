"""docs/flows.md names what crosses a process boundary."""

import re

from twisted.trial.unittest import SynchronousTestCase

from imd.protocol.rpc import SIGNATURES
from tests.docs.page import Page


class BoundaryTests(SynchronousTestCase):
    """The table against the wire between the processes."""

    def test_requests(self) -> None:
        """Every request of the RPC stands in it, and no other."""
        rows = Page("docs/flows.md").rows("What crosses a process boundary")
        named = {
            name for row in rows if "ZeroMQ" in row[2] or row[2] == "the same" for name in re.findall("`(.+?)`", row[1])
        }
        self.assertEqual(named, {signature.request.__name__ for signature in SIGNATURES.values()})
