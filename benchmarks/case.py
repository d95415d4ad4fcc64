"""What is measured: so many clients of one room, on one transport, sent to in one way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Transport = Literal["tcp", "websocket", "tls"]
Kind = Literal["paced", "flat", "merged", "broadcast"]
Target = Literal["room", "all"]

TRANSPORTS: tuple[Transport, ...] = ("tcp", "websocket")  # that the load client in C speaks
EVERY_TRANSPORT: tuple[Transport, ...] = (*TRANSPORTS, "tls")
KINDS: tuple[Kind, ...] = ("paced", "flat", "merged", "broadcast")
LIMIT = "loop"  # the subject that ratios are of
WHOLE = "imd-http"  # all of imd in one process, pushed to over HTTP
COMETS: Mapping[str, Mapping[str, str]] = {  # subject -> settings of its comet
    "imd": {},
    "imd-python": {"comet.sender": "python"},
    "imd-send": {"comet.sender": "send"},
    "imd-io_uring": {"comet.sender": "io_uring"},
}
SUBJECTS = (LIMIT, "write", *COMETS, WHOLE)
USUAL = (LIMIT, "write", "imd", "imd-python", WHOLE)  # imd itself is one of the others
MAX_TLS = 2_000  # connections: their clients are in Python
PACES = {1_000: 20.0, 10_000: 5.0}  # connections -> messages a second that every subject can keep up with


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is connected. Each subject meets each audience once a run."""

    transport: Transport
    connections: int

    def __str__(self) -> str:
        return f"{self.transport} × {self.connections:,}"


@dataclass(frozen=True, slots=True)
class Load:
    """What it is sent."""

    rate: float  # messages a second; 0 = flat out
    seconds: float  # of one window
    body_bytes: int
    # Messages that a write may hold. The other subjects join so many; imd joins what has gathered when it comes to it.
    merged: int = 1
    to: Target = "room"  # imd's way to them; the others know no rooms

    @property
    def pace(self) -> str:
        """How it is sent, in words."""
        pace = f"{self.rate:g} msg/s" if self.rate else "flat out"
        if self.to == "all":
            pace += ", broadcast"
        return pace if self.merged == 1 else f"{pace}, {self.merged} merged"

    def __str__(self) -> str:
        return f"{self.pace}, {self.body_bytes} bytes"


def audiences(transports: Sequence[Transport], connections: Sequence[int]) -> list[Audience]:
    """All pairs, those with few connections first; of TLS no more than :data:`MAX_TLS`."""
    found = [Audience(transport, count) for count in connections for transport in transports]
    return [each for each in found if each.transport != "tls" or each.connections <= MAX_TLS]


def loads(
    connections: int, *, kinds: Sequence[Kind], seconds: float, body_bytes: Sequence[int], merged: int
) -> list[Load]:
    """Of each kind, with bodies of each size.

    The pace is 20 messages a second up to 1,000 connections; beyond, 50,000 deliveries a second. A broadcast is flat out.
    """
    rate = PACES.get(connections, min(20.0, 50_000 / connections))
    return [
        Load(
            rate if kind == "paced" else 0,
            seconds,
            size,
            merged if kind == "merged" else 1,
            "all" if kind == "broadcast" else "room",
        )
        for size in body_bytes
        for kind in kinds
    ]


def meets(subject: str, audience: Audience, load: Load) -> bool:
    """Whether a subject is measured with this. The loop has no TLS, whose clients cannot read what is merged as fast as it is
    sent; over HTTP is for how long a message takes to all."""
    if audience.transport == "tls" and load.merged > 1:
        return False
    if subject == LIMIT:
        return audience.transport != "tls"
    return subject != WHOLE or (audience.transport == "tcp" and bool(load.rate))


def limit_of(audience: Audience) -> Audience:
    """Before whom the loop is measured that this audience's figures are ratios of. For TLS: without it."""
    return Audience("tcp", audience.connections) if audience.transport == "tls" else audience
