"""A job that stands still for longer than its session, and goes on while another one has its partitions."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.support.cluster import SESSION_SECONDS, Cluster
from tests.support.following_client import follow
from tests.support.listening_client import listen
from tests.support.push_load import PushLoad, in_order
from tests.support.reactor import eventually, reactor
from tests.support.system_case import SystemCase
from tests.system.test_ledger import ledger

TARGETS: dict[str, object] = {
    **{f"live{number}": {"room": f"live://{number}"} for number in range(4)},
    **{f"chat{number}": {"room": f"chat://{number}"} for number in range(4)},
    "member": {"mids": [7]},
}


class PausedJobTests(SystemCase):
    """Two jobs; each is the one that stands still once."""

    def test_order(self) -> Deferred[None]:
        """What it still had in its hands changes no order, of kept pushes nor of live ones: comets refuse it. Clients of
        version 2 have each kept one once; nothing is missing, and the ledger is at zero."""

        async def run() -> None:
            cluster = Cluster(rooms={"chat": "{ keep = true }"})
            self.addCleanup(cluster.end)
            cluster.start_products()
            await cluster.start("comet1", "comet2", "logic1", "job1", "job2")
            old, newer = await self.clients(cluster)
            load = PushLoad(logics=[cluster["logic1"].urls["http"]], targets=TARGETS, rate=150).start()
            self.addCleanup(load.cancel)
            for id in ("job1", "job2"):
                await deferLater(reactor, 1)
                cluster[id].pause()
                await deferLater(reactor, 2 * SESSION_SECONDS + 1)
                cluster[id].resume()
                await deferLater(reactor, 3)
            await load.stop()
            for name, accepted in load.accepted.items():
                for client in old[name]:
                    await client.got(accepted[-1])
                    self.assertEqual(in_order(client.bodies, accepted), "", name)
            for client in newer:
                for name in filter(lambda name: not name.startswith("live"), TARGETS):
                    last = load.accepted[name][-1]
                    await eventually(lambda client=client, last=last: last in client.bodies)  # type: ignore[misc]
                    found = [body for body in client.bodies if body.startswith(name.encode() + b" ")]
                    self.assertEqual(found, load.accepted[name])
                self.assertEqual((client.gone, client.troubles), ([], []))
            balance = await ledger(*cluster.processes.values())
            self.assertEqual([each for each in balance["accounts"] if each["difference"]], [])
            self.assertGreater(await self.fenced(cluster), 0)

        return self.later(run)

    async def clients(self, cluster: Cluster) -> tuple[dict[str, list[Any]], list[Any]]:
        """Of version 1 by target, of version 2 in all kept rooms; on both comets."""
        urls = [cluster["comet1"].urls["tcp"], cluster["comet2"].urls["ws"]]
        old: dict[str, list[Any]] = {}
        for number, name in enumerate(TARGETS):
            who: dict[str, Any] = {"room": f"{name[:4]}://{name[4:]}"} if name != "member" else {"mid": 7}
            old[name] = [await listen(self, url, key=f"{name}-{number}-{at}", **who) for at, url in enumerate(urls)]
        rooms = [f"chat://{number}" for number in range(4)]
        newer = [await follow(self, [url], mid=7, key=f"v2-{at}", rooms=rooms) for at, url in enumerate(urls)]
        return old, newer

    async def fenced(self, cluster: Cluster) -> float:
        """Batches that comets refused. What its read brings when it goes on is of another's partition by now."""
        name = 'imd_rpc_served_total{method="push",result="fenced"}'
        return sum([(await cluster[id].metrics()).get(name, 0) for id in ("comet1", "comet2")])
