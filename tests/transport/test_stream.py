"""What a stream says about its peer."""

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.trial.unittest import SynchronousTestCase

from imd.transport.stream import address_of
from tests.support.memory_stream import MemoryStream


class AddressTests(SynchronousTestCase):
    """The peer's address, as limits and logs want it."""

    def test_addresses(self) -> None:
        """An IPv4 peer looks the same through a dual-stack socket."""
        stream = MemoryStream()
        for peer, expected in (
            (IPv4Address("TCP", "192.0.2.1", 1), "192.0.2.1"),
            (IPv6Address("TCP", "::ffff:192.0.2.1", 1), "192.0.2.1"),
            (IPv6Address("TCP", "2001:db8::1", 1), "2001:db8::1"),
        ):
            stream.peerAddr = peer
            self.assertEqual(address_of(stream), expected)
