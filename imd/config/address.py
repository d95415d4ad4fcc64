"""An address to listen on, as the configuration spells it: ``host:port``, ``[v6]:port`` or ``unix:/path``."""

from typing import NamedTuple


class Address(NamedTuple):
    """Where a listener binds: a host and port, or a path."""

    host: str  # an IP or a name; empty for a path
    port: int  # 0 = a free one
    path: str = ""  # a unix socket; empty for TCP


def parse_address(text: str) -> Address:
    """Read one. Raises :class:`ValueError` whose words say what would be right."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path.startswith("/"):
            raise ValueError(f"{text}: a unix socket is unix:/absolute/path")
        return Address("", 0, path)
    host, _, digits = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    port = int(digits) if digits.isascii() and digits.isdecimal() else -1
    if not host or not 0 <= port <= 65535 or (":" in host and not bracketed):
        raise ValueError(f"{text}: an address is host:port, [v6]:port or unix:/path; 127.0.0.1:3101 for example")
    return Address(host.strip("[]"), port)
