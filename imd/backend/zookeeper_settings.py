"""How ZooKeeper is reached."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ZookeeperSettings:
    """``hosts`` is ``host:port,host:port``. With ``digest`` (``user:password``) what is made is this user's alone."""

    hosts: str = "127.0.0.1:2181"
    session_seconds: float = (
        10.0  # a process that is not heard of for so long is gone; the server has limits of its own
    )
    call_seconds: float = 5.0  # deadline of every call
    digest: str = ""
    tls: bool = False
    ca_file: str = ""  # an authority besides the system's, in PEM; empty = theirs only
    cert_file: str = ""  # with key_file: who we are
    key_file: str = ""

    def __repr__(self) -> str:
        """Without the password."""
        return f"ZookeeperSettings({self.hosts!r})"
