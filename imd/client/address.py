"""A server's address as people write it: ``tcp://host``, ``tls://host:3104``, ``ws://host:3102/sub``, ``wss://host``."""

from typing import NamedTuple
from urllib.parse import urlsplit

from imd.errors import ConfigError

DEFAULT_PORTS = {"tcp": 3101, "tls": 3104, "ws": 3102, "wss": 3103}
DEFAULT_PATH = "/sub"


class Address(NamedTuple):
    """Where to connect, and how."""

    scheme: str  # "tcp", "tls", "ws" or "wss"
    host: str
    port: int
    path: str  # WebSocket only; else empty

    @property
    def framed(self) -> bool:
        """Over WebSocket."""
        return self.scheme in ("ws", "wss")

    @property
    def secure(self) -> bool:
        """Over TLS."""
        return self.scheme in ("tls", "wss")

    @property
    def url(self) -> str:
        """In full."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def parse_address(url: str) -> Address:
    """Raises :class:`ConfigError` that says what would be right."""
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{url}: {error}") from None
    if scheme not in DEFAULT_PORTS or not host:
        raise ConfigError(
            f"{url}: an address is {', '.join(f'{name}://host:{n}' for name, n in DEFAULT_PORTS.items())}"
        )
    framed = scheme in ("ws", "wss")
    if not framed and parts.path not in ("", "/"):
        raise ConfigError(f"{url}: only WebSocket addresses have a path")
    path = (parts.path if parts.path not in ("", "/") else DEFAULT_PATH) if framed else ""
    return Address(scheme, host, DEFAULT_PORTS[scheme] if port is None else port, path)
