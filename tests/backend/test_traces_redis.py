"""Traces in Redis keep the contract, and nothing stays for ever."""

from twisted.internet.task import Clock

from imd.backend.traces_redis import TracesRedis
from imd.errors import Unavailable
from imd.metrics import Metrics
from imd.protocol.rpc import Ack
from tests.contract import traces as contract
from tests.contract.traces import ACCEPTED, KEEP_SECONDS, ROOM, stored
from tests.support.redis_case import RedisCase


class TracesRedisTests(contract.TracesContract, RedisCase):
    """The contract on a real Redis."""

    async def make_traces(self) -> TracesRedis:
        return TracesRedis(link=await self.make_link(), clock=Clock(), metrics=Metrics(), keep_seconds=KEEP_SECONDS)

    async def pass_time(self, seconds: float) -> None:
        await RedisCase.pass_time(self, seconds)

    async def test_everything_expires(self) -> None:
        """Traces, what acks look up, and who has acked."""
        traces = await self.make_traces()
        await traces.note([(1, ACCEPTED), (1, stored(1))])
        await self.ack(traces, Ack(ROOM, "17:phone", 1, "e-0"))
        keys = self.server.command("KEYS", "*")
        self.assertEqual(sorted(keys), [b"imd:trace:1", b"imd:trace:1:acked", b"imd:traced", b"imd:traced:r:live://1"])
        for key in keys:
            self.assertGreater(self.server.command("TTL", key), 0, key)

    async def test_acks_cost_nothing_when_nothing_is_traced(self) -> None:
        """However many, one key is asked for; pushes that are traced and not kept do not matter."""
        traces = await self.make_traces()
        await traces.note([(1, ACCEPTED)])
        self.server.command("CONFIG", "RESETSTAT")
        await self.ack(traces, *(Ack(ROOM, f"{mid}:phone", 1, "e-0") for mid in range(1000)))
        stats = self.server.command("INFO", "commandstats").decode()
        self.assertIn("cmdstat_get:calls=1,", stats)
        self.assertNotIn("cmdstat_eval", stats)

    async def test_redis_away(self) -> None:
        """Every call says so."""
        link = await self.make_link(path="/nonexistent/socket")
        traces = TracesRedis(link=link, clock=Clock(), metrics=Metrics())
        for call in (
            traces.note([(1, ACCEPTED)]),
            traces.read(1),
            traces.acked([Ack(ROOM, "17:a", 1, "e")], 1, "logic/l"),
        ):
            with self.assertRaises(Unavailable):
                await call
