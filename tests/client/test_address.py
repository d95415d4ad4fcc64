"""Addresses as people write them."""

from twisted.trial.unittest import SynchronousTestCase

from imd.client.address import Address, parse_address
from imd.errors import ConfigError


class AddressTests(SynchronousTestCase):
    """Text to address."""

    def test_addresses(self) -> None:
        """Ports and the path have defaults; IPv6 stands in brackets."""
        cases = {
            "tcp://example.com": Address("tcp", "example.com", 3101, ""),
            "tls://example.com:4000/": Address("tls", "example.com", 4000, ""),
            "ws://localhost": Address("ws", "localhost", 3102, "/sub"),
            "wss://[::1]:1/other": Address("wss", "::1", 1, "/other"),
        }
        for text, address in cases.items():
            self.assertEqual(parse_address(text), address)
            self.assertEqual(parse_address(address.url), address)
        self.assertEqual(parse_address("wss://[::1]:1/x").url, "wss://[::1]:1/x")

    def test_kinds(self) -> None:
        """What each scheme means."""
        kinds = {scheme: parse_address(f"{scheme}://h") for scheme in ("tcp", "tls", "ws", "wss")}
        self.assertEqual([kinds[name].framed for name in kinds], [False, False, True, True])
        self.assertEqual([kinds[name].secure for name in kinds], [False, True, False, True])

    def test_wrong_addresses(self) -> None:
        """Each is refused with the text and what would be right."""
        for text in ("", "example.com", "http://x", "tcp://", "tcp://x:y", "tcp://x:99999", "tcp://x/path", "ws://["):
            error = self.assertRaises(ConfigError, parse_address, text)
            self.assertTrue(str(error).startswith(f"{text}: "), str(error))
