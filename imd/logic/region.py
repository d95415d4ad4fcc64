"""Where a client is: the region of its address, by a table of networks."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from imd.errors import ConfigError


class Regions:
    """Region names by network; the longest prefix wins. A look-up costs one dict access per prefix length in use."""

    __slots__ = ("_tables",)

    def __init__(self, regions: Mapping[str, Sequence[str]]) -> None:
        """``regions``: region -> networks, as in ``[regions]``. Raises :class:`imd.errors.ConfigError` naming the key."""
        # (IP version, bits to shift an address by) -> network's prefix -> region; longest prefixes first
        self._tables: dict[tuple[int, int], dict[int, str]] = {}
        for region, networks in regions.items():
            for index, text in enumerate(networks):
                self._add(region, _network(text, f"regions.{region}[{index}]"), f"regions.{region}[{index}]")
        self._tables = dict(sorted(self._tables.items()))

    def find(self, address: str) -> str:
        """The region of an IP address; empty when it is in no network, or is no address."""
        try:
            ip = _plain(ip_address(address))
        except ValueError:
            return ""
        number = int(ip)
        for (version, shift), table in self._tables.items():
            if version == ip.version and (region := table.get(number >> shift)):
                return region
        return ""

    def _add(self, region: str, network: IPv4Network | IPv6Network, key_path: str) -> None:
        shift = network.max_prefixlen - network.prefixlen
        table = self._tables.setdefault((network.version, shift), {})
        other = table.setdefault(int(network.network_address) >> shift, region)
        if other != region:
            raise ConfigError(f"{key_path}: {network} is in regions.{other} too")


def _plain(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that a dual-stack socket shows as ``::ffff:192.0.2.1``; others as they are."""
    return (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip


def _network(text: str, key_path: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ConfigError(f"{key_path}: {error}; write a network as 192.0.2.0/24 or 2001:db8::/32") from None
