"""What became of traced pushes, in Redis."""

from collections.abc import Sequence
from itertools import chain

import msgspec

from imd.backend.redis import RedisLink
from imd.backend.redis_role import RedisRole
from imd.backend.redis_script import load_script
from imd.errors import Unavailable
from imd.interfaces import Clock
from imd.metrics import Metrics
from imd.protocol.rpc import Ack
from imd.protocol.trace import Hop, Step

MAX_HOPS = 1_000  # of one push: some 100 bytes each
MAX_INDEXED = 1_000  # traced messages of one timeline that acks are looked up among, the newest
CHUNK = 500  # hops, or acks, a script


class TracesRedis:
    """``<prefix>:trace:<id>`` lists a push's hops for ``keep_seconds`` after the last of them.

    ``<prefix>:traced:<timeline>`` says which messages of a timeline are traced, so that acks find them. While nothing that is
    kept is traced, :meth:`acked` asks Redis for one key a call and does no more. One Redis holds all traces, as with presence.

    Measured: 1,000 acks 50 to 80 us while nothing is traced, 2.5 to 5 ms while messages of other timelines are; a hop 11 to
    16 us; a push some 600 bytes.
    """

    __slots__ = ("_acked", "_keep_seconds", "_note", "_prefix", "_role")

    def __init__(
        self, *, link: RedisLink, clock: Clock, metrics: Metrics, prefix: str = "imd", keep_seconds: float = 3600.0
    ) -> None:
        self._role = RedisRole(link=link, clock=clock, metrics=metrics, name="traces", unavailable=Unavailable)
        self._prefix = prefix
        self._keep_seconds = max(1, round(keep_seconds))
        self._note = load_script("note_hops")
        self._acked = load_script("acked_hops")

    async def note(self, hops: Sequence[tuple[int, Hop]]) -> None:
        """See :class:`imd.interfaces.Traces`."""
        for start in range(0, len(hops), CHUNK):
            page = chain.from_iterable(_arguments(id, hop) for id, hop in hops[start : start + CHUNK])
            arguments = (self._prefix, self._keep_seconds, MAX_HOPS, MAX_INDEXED, *page)
            await self._role.run("note", self._note, arguments)

    async def acked(self, acks: Sequence[Ack], at_ms: int, process: str) -> None:
        """See :class:`imd.interfaces.Traces`. Of ``CHUNK`` acks the first ``MAX_INDEXED`` hops are noted, the others lost, and
        one when Redis goes away between finding and noting it."""
        if not acks or await self._role.command("traced", "GET", f"{self._prefix}:traced") is None:
            return
        for start in range(0, len(acks), CHUNK):
            page = acks[start : start + CHUNK]
            flat: chain[str | int] = chain.from_iterable((ack.timeline, ack.device, ack.seq, ack.epoch) for ack in page)
            arguments = (self._prefix, self._keep_seconds, MAX_INDEXED, *flat)
            found = await self._role.run("acked", self._acked, arguments)
            await self.note(
                [
                    (int(id), _acked(page[number], int(seq), at_ms, process))
                    for number, id, seq in zip(found[::3], found[1::3], found[2::3], strict=True)
                ]
            )

    async def read(self, id: int) -> list[Hop]:
        """See :class:`imd.interfaces.Traces`."""
        stored = await self._role.command("read", "LRANGE", f"{self._prefix}:trace:{id}", 0, -1)
        return [msgspec.msgpack.decode(hop, type=Hop) for hop in stored]


def _arguments(id: int, hop: Hop) -> tuple[str | int | bytes, ...]:
    """What the script wants of a hop; only what says where a push is kept can be found by acks."""
    timeline = hop.timeline if hop.step is Step.STORED else ""
    return id, timeline, hop.epoch, hop.seq, msgspec.msgpack.encode(hop)


def _acked(ack: Ack, seq: int, at_ms: int, process: str) -> Hop:
    mid, _, device = ack.device.partition(":")
    return Hop(Step.ACKED, at_ms, process, ack.timeline, seq, int(mid), device)
