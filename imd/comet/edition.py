"""Edition: the pushes of a load as version-2 clients read them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from imd.comet.load import Load
from imd.comet.policy import SlowPolicy
from imd.errors import CloseReason, ProtocolError
from imd.protocol.packet import walk
from imd.protocol.push_header import encode_push
from imd.protocol.rpc import Page
from imd.protocol.timeline import Place, client_name, room_timeline
from imd.protocol.wire import Wire


class Run(NamedTuple):
    """Packets of an edition that stand in a timeline one behind the other."""

    start: int  # which packet is the first
    size: int  # packets
    first: int  # its seq
    epoch: str


class Edition:
    """Made when the first version-2 receiver asks. Bytes are built once for all who need the same.

    Live pushes have seq 0. Those of a kept room stand in its timeline, each in its place; those to keys each in the inbox of
    the key's member.
    """

    __slots__ = ("_inboxes", "_loads", "_marks", "_places", "_policy", "_room", "_source", "runs", "timeline")

    def __init__(
        self,
        packets: bytes,
        *,
        marks: Sequence[tuple[int, int]],
        policy: SlowPolicy,
        room: str = "",
        places: Sequence[Place] = (),
        inboxes: Mapping[str, Place] | None = None,
    ) -> None:
        """``packets`` are complete version-1 packets, ``marks`` the (push id, ms) of each, ``places`` that of each in the
        room's timeline (none = live), ``inboxes`` that in the inbox of each key's member. Raises
        :class:`imd.errors.ProtocolError` for what are no packets, or not as many as marks."""
        self._source = [(packet.operation, packet.body) for packet in walk(packets)]
        if len(self._source) != len(marks):
            raise ProtocolError(CloseReason.BAD_PACKET_LENGTH, f"{len(self._source)} packets with {len(marks)} marks")
        self._marks = marks
        self._policy = policy
        self._room = room  # empty = to keys, or to all
        self._places = places
        self._inboxes = inboxes or {}
        self._loads: dict[
            tuple[int, int, int], Load
        ] = {}  # (start, stop, seq of the first; 0 = live) -> what is offered
        self.timeline = (
            room_timeline(room) if places else ""
        )  # of the room, as positions know it; empty = live, or keys
        self.runs = tuple(_runs(places))  # nearly always one; none = live, or keys

    def inbox(self, key: str) -> Place | None:
        """Where its one packet stands in the inbox of the key's member; None = it is live."""
        return self._inboxes.get(key)

    def live(self) -> Load:
        """All of it, in no timeline."""
        return self._load(0, len(self._source), 0)

    def kept(self, run: Run, had: int = 0) -> Load:
        """The run's packets without the first ``had`` of them. Those for inboxes are nobody else's: they are not remembered,
        for there may be 10,000 of them."""
        key = (run.start + had, run.start + run.size, run.first + had)
        return self._load(*key) if self._room else self._make(*key)

    def _load(self, start: int, stop: int, first: int) -> Load:
        """Packets from ``start`` to before ``stop``; the first has the seq ``first``, and 0 means that none has one."""
        key = (start, stop, first)
        load = self._loads.get(key)
        if load is None:
            load = self._loads[key] = self._make(*key)
        return load

    def _make(self, start: int, stop: int, first: int) -> Load:
        packets = b"".join([self._packet(number, first and first + number - start) for number in range(start, stop)])
        return Load(Wire(packets), packets=stop - start, policy=self._policy, room=self._room)

    def _packet(self, number: int, seq: int) -> bytes:
        operation, body = self._source[number]
        id, at_ms = self._marks[number]
        return encode_push(operation, body, id=id, seq=seq, at_ms=at_ms, timeline=self._room)


def _runs(places: Sequence[Place]) -> list[Run]:
    runs: list[Run] = []
    for number, place in enumerate(places):
        last = runs[-1] if runs else None
        if last is not None and place == (last.first + last.size, last.epoch):
            runs[-1] = last._replace(size=last.size + 1)
        else:
            runs.append(Run(number, 1, place.seq, place.epoch))
    return runs


def replay(page: Page) -> Load:
    """The messages of a page, for a channel that reads its timeline."""
    name = client_name(page.timeline)
    packets = [
        encode_push(each.operation, each.body, id=each.id, seq=each.seq, at_ms=each.at_ms, timeline=name)
        for each in page.messages
    ]
    return Load(Wire(b"".join(packets)), packets=len(packets), policy=SlowPolicy.DISCONNECT)
