"""A logic put together: who may push, who may sign, what is refused."""

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from imd.backend.registry_static import RegistryStatic
from imd.errors import ConfigError, NotAllowed
from imd.interfaces import Instance
from imd.logic.ids import IdMaker
from imd.protocol import rpc
from imd.service.daemon import Part
from imd.service.links import LogicLinks
from imd.service.logic import build, logic_parts
from imd.service.process import Process
from imd.service.storage import storage
from tests.support.composition_case import CompositionCase
from tests.support.http_call import http
from tests.support.reactor import eventually, reactor

KEY_SECRET = b"0123456789abcdef0123456789abcdef"


class LogicPartsTests(CompositionCase):
    """On storage in memory."""

    def setUp(self) -> None:
        super().setUp()
        self.registry = RegistryStatic()
        self.secret = self.folder / "token.key"
        self.secret.write_bytes(KEY_SECRET)
        self.jwks = self.folder / "jwks.json"

    def token_mode(self) -> tuple[str, ...]:
        return ("auth.mode=token", f'auth.keys=[{{file="{self.secret}",algorithm="HS256"}}]')

    def parts(self, process: Process, ids: IdMaker | None = None) -> list[Part]:
        stored = storage(self.process("imd", "broker.backend=memory"))
        ids = ids or IdMaker(now=lambda: 1_800_000_000)
        endpoint = "tcp://127.0.0.1:*"
        return [*process.parts(), *stored.parts, *logic_parts(process, self.registry, stored, ids, endpoint)]

    async def pushed(self, *sets: str) -> int:
        """What a push without a key is answered, by a logic of its own."""
        self.registry = RegistryStatic()
        process = self.process("logic", *sets)
        await self.opened(self.parts(process))
        port = process.sockets["logic.http"].address.port
        target = "/goim/push/room?operation=1000&type=live&room=1"
        return (await http("POST", f"http://127.0.0.1:{port}", target, b"x")).status

    def test_trust_on_loopback(self) -> Deferred[None]:
        """The first try needs no key: nobody else can reach it."""

        async def run() -> None:
            self.assertEqual(await self.pushed(), 200)

        return Deferred.fromCoroutine(run())

    def test_a_key_is_needed_otherwise(self) -> Deferred[None]:
        """Outside trust, on a public address, or when told: without one a push is refused."""

        async def run() -> None:
            public = ("logic.http=0.0.0.0:0", "auth.allow_trust_on_public_address=true")
            for sets in (self.token_mode(), public, ("push.require_key=always",)):
                self.assertEqual(await self.pushed(*sets), 401, sets)

        return Deferred.fromCoroutine(run())

    def test_nobody_can_push(self) -> None:
        """A key is required and none is configured: said at the start, once; not when there is one, or none is needed."""
        key = f'push.keys=[{{name="shop",sha256="{"0" * 64}"}}]'
        for sets, times in ((self.token_mode(), 1), ((*self.token_mode(), key), 0), ((), 0)):
            with capturedLogs() as events:
                self.parts(self.process("logic", *sets))
            lines = [event for event in events if "nobody can push" in (event["log_format"] or "")]
            self.assertEqual(len(lines), times, sets)

    def test_comets_are_answered(self) -> Deferred[None]:
        """Whatever comets ask, there is somebody who answers: no method is unknown."""

        async def run() -> None:
            process = self.process("logic")
            parts = self.parts(process)
            await self.opened(parts)
            links = LogicLinks(
                registry=self.registry, context=process.context, reactor=reactor, metrics=process.metrics
            )
            await self.opened([Part("links", links)])
            await eventually(lambda: links.trouble() is None)
            (page,) = (await links.read(rpc.Read("c1", (rpc.Follow("m:7"),)))).pages
            self.assertEqual(page.head.seq, 0)
            await links.ack(rpc.Acks("c1", (rpc.Ack("m:7", "7:phone", 0, page.head.epoch),)))
            await links.attend(rpc.Attendances("c1", ()))
            await self.assertFailure(
                Deferred.fromCoroutine(links.send(rpc.Send("c1", "k", 7, 1000, b"hi", to=8))), NotAllowed
            )
            self.assertEqual(await links.refresh(rpc.Refresh("c1", "k", 7, "")), rpc.Refreshed())

        return Deferred.fromCoroutine(run())

    def test_registered_last(self) -> Deferred[None]:
        """Comets are sent here when everything answers, at an endpoint that can be dialled, and no more before it stops."""

        async def run() -> None:
            process = self.process("logic", "server.id=l1")
            parts = self.parts(process)
            self.assertEqual(parts[-1].name, "logic registration")
            seen: list[Instance] = []
            self.registry.watch("logic", seen.extend)
            await self.opened(parts[:-1])
            self.assertEqual(seen, [])
            await self.opened(parts[-1:])
            self.assertRegex(seen[0].rpc, r"^tcp://127\.0\.0\.1:[1-9]\d*$")
            self.assertEqual([part.name for part in parts if part.resource.trouble()], [])

        return Deferred.fromCoroutine(run())

    def test_a_worker_id_makes_ids(self) -> Deferred[None]:
        """The registry's number is in every id."""

        async def run() -> None:
            self.registry = RegistryStatic(worker_id=77)
            ids = IdMaker(now=lambda: 1_800_000_000)
            await self.opened(self.parts(self.process("logic"), ids))
            one, two = ids.make(), ids.make()
            self.assertLess(one, two)
            self.assertEqual(one >> 12 & 1023, 77)

        return Deferred.fromCoroutine(run())

    def test_without_http(self) -> None:
        """An empty address is off: such a logic only answers comets."""
        names = [part.name for part in self.parts(self.process("logic", "logic.http="))]
        self.assertNotIn("logic.http", names)
        self.assertIn("logic rpc", names)

    def test_keys_that_cannot_be_used(self) -> None:
        """One line that names the key of the configuration or the file, and nothing that is in it."""
        process = self.process("logic", *self.token_mode())
        self.secret.write_bytes(b"too short")
        refused = self.assertRaises(ConfigError, self.parts, process)
        self.assertIn(str(self.secret), str(refused))
        self.assertNotIn("too short", str(refused))
        self.secret.unlink()
        refused = self.assertRaises(ConfigError, self.parts, process)
        self.assertTrue(str(refused).startswith(f"auth.keys[0].file = {self.secret}: cannot be read"), refused)

    def test_jwks_in_a_file(self) -> None:
        """Read at the start, by the same rules."""
        self.jwks.write_text("{}")
        process = self.process("logic", "auth.mode=token", f"auth.jwks={self.jwks}")
        self.assertRaises(ConfigError, self.parts, process)
        Path(self.jwks).unlink()
        refused = self.assertRaises(ConfigError, self.parts, process)
        self.assertIn("auth.jwks", str(refused))

    def test_cluster(self) -> None:
        """Each part has a name of its own; products come before who asks them."""
        names = [part.name for part in build(self.process("logic"))]
        self.assertEqual(len(set(names)), len(names))
        self.assertLess(max(map(names.index, ("redis", "broker", "zookeeper"))), names.index("logic rpc"))
