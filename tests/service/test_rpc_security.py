"""CURVE, as the configuration asks for it."""

from pathlib import Path

import msgspec
import zmq
import zmq.auth
from twisted.internet.defer import Deferred

from imd.config.settings import Rpc
from imd.errors import ConfigError, PeerDown
from imd.protocol import rpc
from imd.service.rpc_security import PLAINTEXT, RpcSecurity, rpc_security
from imd.transport.rpc_client import RpcLogicClient
from tests.support.rpc import RpcTestCase, done, pause, reactor

GONE = rpc.Disconnect("s1", 1, "k", 1)


class RpcSecurityTests(RpcTestCase):
    """With key files as zmq.auth makes them."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)

    def keys(self, name: str) -> tuple[str, str]:
        """(public key, path of the secret one)."""
        public, secret = zmq.auth.create_certificates(self.folder, name)
        Path(secret).chmod(0o600)
        return zmq.auth.load_certificate(public)[0].decode(), secret

    def allowed(self, *keys: str) -> str:
        path = self.folder / "allowed"
        path.write_text("\n".join(keys) + "\n")
        return str(path)

    def made(self, settings: Rpc) -> RpcSecurity:
        return rpc_security(settings, context=self.context, reactor=reactor)

    def test_plaintext(self) -> Deferred[None]:
        """Without a key nothing is guarded, and the registry is told none."""

        async def run() -> None:
            security = self.made(Rpc())
            self.assertEqual((security, security.public_key), (PLAINTEXT, ""))
            await security.open()
            await security.close()

        return Deferred.fromCoroutine(run())

    def test_guarded(self) -> Deferred[None]:
        """Who is on the list is answered; a plaintext peer is not, nor one whose key is not on it."""

        async def run() -> None:
            public, secret = self.keys("us")
            settings = Rpc(curve_secret_key_file=secret, curve_allowed_keys_file=self.allowed(public))
            security = self.made(settings)
            await security.open()
            self.addCleanup(lambda: Deferred.fromCoroutine(security.close()))
            server = self.serve({rpc.Method.DISCONNECT: done}, curve=security.guard)
            self.assertEqual(security.public_key, public)
            good = await self.link(server.endpoint, curve=security.dialer, server_key=public.encode())
            self.assertEqual(await RpcLogicClient(good).disconnect(GONE), rpc.Done())
            _, other = self.keys("stranger")
            stranger = self.made(msgspec.structs.replace(settings, curve_secret_key_file=other))
            for bad in (
                self.dial(server.endpoint),
                self.dial(server.endpoint, curve=stranger.dialer, server_key=public.encode()),
            ):
                await pause(0.3)
                with self.assertRaises(PeerDown):
                    await RpcLogicClient(bad).disconnect(GONE)

        return Deferred.fromCoroutine(run())

    def test_job_only_dials(self) -> None:
        """Without a list nobody is answered: there is a key to dial with, and no guard."""
        security = self.made(Rpc(curve_secret_key_file=self.keys("job")[1]))
        self.assertIsNone(security.guard)
        self.assertIsNotNone(security.dialer)

    def test_bad_file(self) -> None:
        """One line with the path, and without what is in it."""
        path = self.folder / "secret"
        path.write_text("hush")
        path.chmod(0o600)
        refused = self.assertRaises(ConfigError, self.made, Rpc(curve_secret_key_file=str(path)))
        self.assertIn(str(path), str(refused))
        self.assertNotIn("hush", str(refused))
