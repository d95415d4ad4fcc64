"""Version-2 channels and what is written to them."""

from collections.abc import Iterator
from typing import Any

from twisted.internet.task import Clock

from imd.comet.channel import Channel
from imd.comet.outbox import Outbox
from imd.comet.position import Position, Stage
from imd.comet.reservoir import Reservoir
from imd.comet.room import Room
from imd.metrics import Metrics
from imd.protocol.packet import Packet, walk
from imd.protocol.push_header import decode_push_header
from imd.protocol.rpc import Item, Kind
from imd.protocol.timeline import Place, inbox_timeline, room_timeline
from tests.support.comet_fakes import FakeConnection, FakeSession, pushed


def live_position(last: int = 0, epoch: str = "e") -> Position:
    """Of a channel that has everything up to ``last``."""
    position = Position()
    position.opened(last, last, epoch)
    position.stage = Stage.LIVE
    return position


def following(
    *,
    key: str = "k",
    mid: int = 0,
    room: str = "",
    last: int = 0,
    accepts: frozenset[int] = frozenset({1000}),
    connection: FakeConnection | None = None,
    metrics: Metrics | None = None,
) -> Channel:
    """A channel without a server that is live in its room's timeline, if it has one, and in its member's inbox."""
    reservoir = Reservoir(clock=Clock(), metrics=metrics or Metrics(), limit_bytes=10_000)
    outbox = Outbox(connection=connection or FakeConnection(), reservoir=reservoir)
    session: Any = FakeSession()
    made = Channel(session=session, outbox=outbox, key=key, mid=mid, accepts=accepts, version=2)
    assert made.positions is not None
    if room:
        Room(room, squad_size=1).enter(made)
        made.positions[room_timeline(room)] = live_position(last)
    if mid:
        made.positions[inbox_timeline(mid)] = live_position(last)
    return made


def newer_packets(data: bytes) -> Iterator[Packet]:
    """The packets of either version in what was written to a TCP client."""
    return walk(data, extensions=True)


def seqs(data: bytes) -> list[tuple[str, int]]:
    """(timeline as clients call it, seq) of each version-2 push in what was written."""
    headers = [decode_push_header(packet.extension) for packet in newer_packets(data) if packet.extension]
    return [(header.timeline, header.seq) for header in headers]


def kept_in_room(seq: int, *bodies: bytes, room: str = "kept://1", epoch: str = "e", traced: bool = False) -> Item:
    """An item of pushes that stand in the room's timeline from ``seq`` on."""
    return Item(
        Kind.ROOM,
        b"".join(map(pushed, bodies)),
        count=len(bodies),
        room=room,
        marks=tuple((100 + seq + number, 5) for number in range(len(bodies))),
        places=tuple(Place(seq + number, epoch) for number in range(len(bodies))),
        traced=traced,
    )


def kept_for_keys(body: bytes, places: dict[str, int], *, epoch: str = "e", traced: bool = False) -> Item:
    """An item of one push to keys, each with the seq in the inbox of its member."""
    return Item(
        Kind.KEYS,
        pushed(body),
        operation=1000,
        keys=tuple(places),
        marks=((9, 5),),
        places=tuple(Place(seq, epoch) for seq in places.values()),
        traced=traced,
    )
