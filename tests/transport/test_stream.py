"""What a stream says about its peer."""

from twisted.trial.unittest import SynchronousTestCase

from imd.transport.stream import address_of
from tests.support.memory_stream import MemoryStream


class AddressTests(SynchronousTestCase):
    """The peer's address, as limits and logs want it."""

    def test_addresses(self) -> None:
        """An IPv4 peer looks the same through a dual-stack socket."""
        for peer, expected in (
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
        ):
            self.assertEqual(address_of(MemoryStream(peer)), expected)
