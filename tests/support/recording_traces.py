"""Traces that note what they are told, and are slow or fail as told."""

from collections.abc import Sequence

from twisted.internet.defer import Deferred

from imd.errors import ImdError
from imd.protocol.rpc import Ack
from imd.protocol.trace import Hop


class RecordingTraces:
    """:class:`imd.interfaces.Traces`."""

    def __init__(self) -> None:
        self.hops: list[tuple[int, Hop]] = []
        self.acks: list[tuple[Sequence[Ack], int, str]] = []
        self.calls: list[str] = []  # in order
        self.failing: ImdError | None = None
        self.holding: Deferred[None] | None = None  # what the next calls wait for

    async def note(self, hops: Sequence[tuple[int, Hop]]) -> None:
        await self._answer("note")
        self.hops += hops

    async def acked(self, acks: Sequence[Ack], at_ms: int, process: str) -> None:
        await self._answer("acked")
        self.acks.append((acks, at_ms, process))

    async def read(self, id: int) -> list[Hop]:
        return [hop for noted, hop in self.hops if noted == id]

    async def _answer(self, call: str) -> None:
        self.calls.append(call)
        if self.holding is not None:
            await self.holding
        if self.failing is not None:
            raise self.failing
