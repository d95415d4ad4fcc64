"""Traces in memory keep the contract, and their memory is bounded."""

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from imd.backend.traces_memory import MAX_INDEXED, TracesMemory
from imd.protocol.rpc import Ack
from tests.contract import traces as contract
from tests.contract.traces import ACCEPTED, KEEP_SECONDS, ROOM, stored


class TracesMemoryTests(contract.TracesContract, TestCase):
    """The contract on a fake clock."""

    def setUp(self) -> None:
        self.clock = Clock()

    async def make_traces(self) -> TracesMemory:
        return TracesMemory(clock=self.clock, keep_seconds=KEEP_SECONDS)

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def test_all_hops_are_limited(self) -> None:
        """Beyond it the push that was touched longest ago goes, with what acks would have found."""
        traces = TracesMemory(clock=self.clock, max_hops=3)
        await traces.note([(1, stored(1)), (2, stored(2)), (1, ACCEPTED), (3, stored(3))])
        self.assertEqual([len(await traces.read(id)) for id in (1, 2, 3)], [2, 0, 1])
        await self.ack(traces, Ack(ROOM, "17:phone", 2, "e-0"))
        self.assertEqual([len(await traces.read(id)) for id in (1, 2, 3)], [3, 0, 0])

    async def test_nothing_is_left(self) -> None:
        """Of a push that is forgotten."""
        traces = await self.make_traces()
        await traces.note([(1, stored(1))])
        self.clock.advance(KEEP_SECONDS)
        self.assertEqual(await traces.read(1), [])
        self.assertEqual((traces._held, len(traces._indexed)), (0, 0))

    async def test_a_push_outlives_a_crowd(self) -> None:
        """One whose place gave way to many others', and that was touched after them, is forgotten like any other."""
        traces = await self.make_traces()
        await traces.note([(id, stored(id)) for id in range(1, MAX_INDEXED + 2)])
        self.clock.advance(KEEP_SECONDS / 2)
        await traces.note([(1, ACCEPTED)])
        for left in (2, 0):
            self.clock.advance(KEEP_SECONDS / 2)
            self.assertEqual(len(await traces.read(1)), left)
        self.assertEqual((traces._held, len(traces._indexed)), (0, 0))
