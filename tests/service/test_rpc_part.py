"""An RPC server from a process's start to its stop."""

from twisted.internet.defer import Deferred

from imd.errors import ConfigError, PeerUnavailable
from imd.protocol import rpc
from imd.service.rpc_part import RpcPart
from imd.transport.rpc_client import RpcLogicClient
from imd.transport.rpc_server import RpcServer
from tests.support.rpc import QUICK, RpcTestCase, done, reactor

GONE = rpc.Disconnect("s1", 1, "k", 1)


class RpcPartTests(RpcTestCase):
    """On a free port."""

    def part(self, endpoint: str = "tcp://127.0.0.1:0") -> tuple[RpcPart, RpcServer]:
        server = RpcServer(
            context=self.context,
            reactor=reactor,
            endpoint=endpoint,
            handlers={rpc.Method.DISCONNECT: done},
            metrics=self.metrics,
            options=QUICK,
        )
        part = RpcPart(server)
        self.addCleanup(lambda: Deferred.fromCoroutine(part.close()))
        return part, server

    def test_open_to_close(self) -> Deferred[None]:
        """It answers between the two, and not after; then the endpoint is free again."""

        async def run() -> None:
            part, server = self.part()
            await part.open()
            link = RpcLogicClient(await self.link(server.endpoint))
            self.assertEqual(await link.disconnect(GONE), rpc.Done())
            await part.close()
            await part.close()
            with self.assertRaises(PeerUnavailable):
                await link.disconnect(GONE)

        return Deferred.fromCoroutine(run())

    def test_endpoint_in_use(self) -> Deferred[None]:
        """One line that names it."""

        async def run() -> None:
            first, server = self.part()
            await first.open()
            second, _ = self.part(server.endpoint)
            with self.assertRaisesRegex(ConfigError, f"{server.endpoint}: Address already in use"):
                await second.open()

        return Deferred.fromCoroutine(run())
