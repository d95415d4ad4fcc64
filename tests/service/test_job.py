"""A job put together: what reaches a comet, and what it leaves."""

from twisted.internet.defer import Deferred

from imd.backend.assignment_static import AssignmentStatic
from imd.backend.registry_static import RegistryStatic
from imd.interfaces import Instance, Location
from imd.protocol import rpc
from imd.protocol.push import Push, Target
from imd.service.discovery import Discovery
from imd.service.job import build, job_parts
from imd.service.storage import storage
from imd.transport.rpc_server import RpcServer
from tests.support.composition_case import CompositionCase
from tests.support.reactor import eventually, reactor


class JobPartsTests(CompositionCase):
    """Between a broker in memory and a comet that notes what comes."""

    def test_hands_over(self) -> Deferred[None]:
        """An accepted push reaches the comet where its key is, and is committed; stopped, all partitions are given up."""

        async def run() -> None:
            stored = storage(self.process("imd", "broker.backend=memory"))
            process = self.process("job")
            registry = RegistryStatic()
            batches: list[rpc.Batch] = []

            async def take(batch: rpc.Batch) -> rpc.Outcomes:
                batches.append(batch)
                return rpc.Outcomes(tuple(rpc.Outcome(delivered=1) for _ in batch.items))

            comet = RpcServer(
                context=process.context,
                reactor=reactor,
                endpoint="tcp://127.0.0.1:*",
                handlers={rpc.Method.PUSH: take},
                metrics=process.metrics,
            )
            comet.open()
            self.addCleanup(lambda: Deferred.fromCoroutine(comet.close(0)))
            await registry.register(Instance("comet", "c1", 1, comet.endpoint))
            await stored.leases.renew(Location("c1", 1))
            await stored.presence.attach(Location("c1", 1), "k", 5)
            found = Discovery(registry, AssignmentStatic(owned=range(stored.broker.partitions)), None, ())
            parts = [*process.parts(), *stored.parts, *job_parts(process, found, stored)]
            for part in parts:
                await part.resource.open()
            self.assertEqual(process.metrics.partitions.value(), stored.broker.partitions)
            await eventually(lambda: parts[-3].resource.trouble() is None)
            await stored.broker.publish([(3, Push(1, 1, Target.KEYS, operation=1000, body=b"x", keys=("k",)))])
            await eventually(lambda: process.metrics.settled.value("keys") == 1)
            self.assertEqual([(batch.server, batch.items[0].keys) for batch in batches], [("c1", ("k",))])
            self.assertEqual((await stored.broker.backlog()).entries, 0)
            await comet.close(0)
            for part in reversed(parts):
                await part.resource.close()
            self.assertEqual(process.metrics.partitions.value(), 0)

        return Deferred.fromCoroutine(run())

    def test_cluster(self) -> None:
        """Each part has a name of its own; an id is taken before a share of the partitions is."""
        names = [part.name for part in build(self.process("job"))]
        self.assertEqual(len(set(names)), len(names))
        self.assertLess(names.index("job registration"), names.index("partitions"))
        self.assertLess(names.index("broker"), names.index("dispatch"))
