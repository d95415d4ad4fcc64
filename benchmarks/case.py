"""What is measured: so many clients of one room, on one transport, sent to at one pace."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Transport = Literal["tcp", "websocket"]

TRANSPORTS: tuple[Transport, ...] = ("tcp", "websocket")
SUBJECTS = ("loop", "write", "imd")  # the limit; ``transport.write`` of Twisted; ours
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

    def __str__(self) -> str:
        pace = f"{self.rate:g} msg/s" if self.rate else "flat out"
        return pace if self.merged == 1 else f"{pace}, {self.merged} merged"


def audiences(transports: Sequence[Transport], connections: Sequence[int]) -> list[Audience]:
    """All pairs, those with few connections first."""
    return [Audience(transport, count) for count in connections for transport in transports]


def loads(connections: int, *, seconds: float, body_bytes: int, merged: int = 1) -> list[Load]:
    """Paced, then flat out, then, for more than one, flat out and merged.

    The pace is 20 messages a second up to 1,000 connections; beyond, 50,000 deliveries a second.
    """
    rate = PACES.get(connections, min(20.0, 50_000 / connections))
    found = [Load(rate, seconds, body_bytes), Load(0, seconds, body_bytes)]
    return [*found, Load(0, seconds, body_bytes, merged)] if merged > 1 else found
