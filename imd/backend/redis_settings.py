"""How Redis is reached: an address or Sentinels, who we are there, and how long an answer may take."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Settings of a link. Its ``repr`` holds no password."""

    host: str = "127.0.0.1"  # a name or an IP; with TLS the certificate must be for it
    port: int = 6379
    path: str = ""  # a unix socket, used instead of host and port when not empty
    db: int = 0
    username: str = ""  # an ACL user; empty = the default user
    password: str = field(default="", repr=False)  # empty = none is sent
    tls: bool = False  # to Redis, and to the Sentinels
    ca_file: str = ""  # PEM; empty = the system's authorities
    cert_file: str = ""  # PEM, ours, for a Redis that asks clients for one (its default with TLS); empty = none
    key_file: str = ""  # PEM, of cert_file
    sentinels: tuple[tuple[str, int], ...] = ()  # (host, port); when not empty, they are asked where Redis is
    sentinel_master: str = ""  # the name that the Sentinels know it by
    sentinel_password: str = field(default="", repr=False)
    timeout_seconds: float = 3.0  # a call that takes longer has failed; so has a connection that is not ready by then
    connections: int = 4  # that calls share; each blocking read has one more of its own

    @property
    def label(self) -> str:
        """Which Redis this is, in logs and errors."""
        if self.sentinels:
            return f"redis {self.sentinel_master} (by Sentinel)"
        return f"redis at {self.path or f'{self.host}:{self.port}'}"
