"""Addresses to listen on."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.config.address import Address, parse_address


class ParseAddressTests(SynchronousTestCase):
    """What ``parse_address`` takes, and what it says to the rest."""

    def test_forms(self) -> None:
        """A host and a port, a v6 address in brackets, a path."""
        self.assertEqual(parse_address("127.0.0.1:3101"), Address("127.0.0.1", 3101))
        self.assertEqual(parse_address("localhost:0"), Address("localhost", 0))
        self.assertEqual(parse_address("[::1]:80"), Address("::1", 80))
        self.assertEqual(parse_address("unix:/run/imd.sock"), Address("", 0, "/run/imd.sock"))

    def test_others_are_refused_with_an_example(self) -> None:
        """Each of these gets words that hold what would be right."""
        for text in ("", "3101", ":3101", "host:", "host:x", "host:65536", "::1:80", "host:-1", "host:٣"):
            with self.subTest(text=text):
                error = self.assertRaises(ValueError, parse_address, text)
                self.assertIn("127.0.0.1:3101", str(error))
        self.assertIn("unix:/absolute/path", str(self.assertRaises(ValueError, parse_address, "unix:run")))

    @given(st.text())
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        """Nothing but ValueError leaves it."""
        try:
            address = parse_address(text)
        except ValueError:
            return
        self.assertTrue(address.path or address.host)
