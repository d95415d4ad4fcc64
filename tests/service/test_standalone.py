"""All of imd in one process, put together."""

from twisted.internet.defer import Deferred

from imd.service.standalone import build
from tests.support.composition_case import CompositionCase
from tests.support.http_call import http
from tests.support.reactor import eventually
from tests.support.redis import RedisServer


class StandaloneTests(CompositionCase):
    """On the embedded backends."""

    def test_names(self) -> None:
        """/readyz names each part: none hides another."""
        names = [part.name for part in build(self.process("imd"))]
        self.assertEqual(len(set(names)), len(names))

    def test_ready(self) -> Deferred[None]:
        """Once all parts are open nothing is in trouble, and a push is taken off the broker again; then all ends."""

        async def run() -> None:
            process = self.process("imd")
            parts = build(process)
            for part in parts:
                await part.resource.open()
            troubled = {part.name: part.resource.trouble() for part in parts}
            self.assertEqual({name: trouble for name, trouble in troubled.items() if trouble}, {})
            base = f"http://127.0.0.1:{process.sockets['logic.http'].address.port}"
            target = "/goim/push/room?operation=1000&type=live&room=1"
            self.assertEqual((await http("POST", base, target, b"x")).status, 200)
            await eventually(lambda: process.metrics.settled.value("room") == 1)
            for part in reversed(parts):
                await part.resource.close()
            self.assertTrue(process.context.closed)

        return Deferred.fromCoroutine(run())

    def test_presence_in_redis(self) -> Deferred[None]:
        """A backend by its key: the same parts, and the comet's lease is in Redis."""
        server = RedisServer().start()
        self.addCleanup(server.stop)

        async def run() -> None:
            await self.opened(build(self.process("imd", "presence.backend=redis", f"redis.address=unix:{server.path}")))
            self.assertTrue([key for key in server.command("KEYS", "*") if b"lease" in key])

        return Deferred.fromCoroutine(run())
