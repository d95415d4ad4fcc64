"""A client's region is that of the longest network that holds its address."""

from ipaddress import ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import ConfigError
from imd.logic.region import Regions

TABLE = {
    "eu": ["192.0.2.0/24", "2001:db8::/32", "10.0.0.0/8"],
    "lab": ["10.1.2.0/24", "2001:db8:1::/48", "192.0.2.7/32"],
    "rest": ["0.0.0.0/0"],
}


class RegionsTests(SynchronousTestCase):
    """Look-ups, and tables that cannot be used."""

    def test_longest_prefix_wins(self) -> None:
        """A network inside another one goes its own way, down to a single address."""
        regions = Regions(TABLE)
        for address, region in {
            "192.0.2.1": "eu",
            "192.0.2.7": "lab",
            "10.1.2.3": "lab",
            "10.1.3.3": "eu",
            "198.51.100.1": "rest",
            "2001:db8::1": "eu",
            "2001:db8:1::1": "lab",
            "2001:db9::1": "",
            "::ffff:10.1.2.3": "lab",
        }.items():
            self.assertEqual(regions.find(address), region, address)

    def test_no_address(self) -> None:
        """What is no address (a unix socket's peer) is nowhere."""
        for address in ("", "localhost", "1.2.3", "1.2.3.4:5"):
            self.assertEqual(Regions(TABLE).find(address), "")
        self.assertEqual(Regions({}).find("192.0.2.1"), "")

    def test_bad_network(self) -> None:
        """A network that is none is refused with its place in the configuration."""
        for text in ("192.0.2.0/33", "192.0.2.1/24", "example", ""):
            with self.assertRaisesRegex(ConfigError, r"^regions\.eu\[1\]: "):
                Regions({"eu": ["10.0.0.0/8", text]})

    def test_network_in_two_regions(self) -> None:
        """A network belongs to one region; named twice for the same one is no harm."""
        with self.assertRaisesRegex(ConfigError, r"^regions\.us\[0\]: 10\.0\.0\.0/8 is in regions\.eu too"):
            Regions({"eu": ["10.0.0.0/8"], "us": ["10.0.0.0/8"]})
        Regions({"eu": ["10.0.0.0/8", "10.0.0.0/8"]})

    @given(
        st.dictionaries(
            st.tuples(st.ip_addresses(v=4), st.integers(0, 32)).map(
                lambda pair: str(ip_network((int(pair[0]), pair[1]), strict=False))
            ),
            st.sampled_from(["a", "b", "c"]),
            max_size=12,
        ),
        st.ip_addresses(v=4),
    )
    def test_like_a_plain_search(self, table: dict[str, str], address: object) -> None:
        """The same answer as looking at every network."""
        found = [ip_network(network) for network in table if ip_address(str(address)) in ip_network(network)]
        longest = max(found, key=lambda network: network.prefixlen, default=None)
        expected = "" if longest is None else table[str(longest)]
        regions: dict[str, list[str]] = {}
        for network, region in table.items():
            regions.setdefault(region, []).append(network)
        self.assertEqual(Regions(regions).find(str(address)), expected)
