"""Promises of CURVE: only allowed keys speak."""

import os
from pathlib import Path

import zmq
from twisted.trial.unittest import SynchronousTestCase
from zmq.auth.certs import create_certificates

from imd.errors import ConfigError
from imd.protocol import rpc
from imd.protocol.rpc import Method
from imd.transport.zmq_curve import CurveDialer, CurveGuard, CurveKeys, load_allowed, load_keys
from tests.support.rpc import RpcTestCase, done, pause, reactor

HOST = rpc.Host("s1", 1, "live://1")


def new_keys() -> CurveKeys:
    """A fresh pair."""
    return CurveKeys(*zmq.curve_keypair())


class GuardTests(RpcTestCase):
    """Who is let in."""

    def setUp(self) -> None:
        """A guarded server that allows one key."""
        super().setUp()
        self.keys, self.allowed = new_keys(), new_keys()
        guard = CurveGuard(context=self.context, reactor=reactor, keys=self.keys, allowed=[self.allowed.public])
        guard.open()
        self.addCleanup(guard.close)
        self.server = self.serve({Method.HOST: done}, curve=guard)

    async def test_an_allowed_key_is_served(self) -> None:
        """Calls work as without CURVE."""
        link = await self.link(self.server.endpoint, curve=CurveDialer(self.allowed), server_key=self.keys.public)
        self.assertEqual(await link.call(Method.HOST, HOST), rpc.Done())

    async def test_any_other_key_is_refused(self) -> None:
        """A good pair that is not on the list never comes up."""
        link = self.dial(self.server.endpoint, curve=CurveDialer(new_keys()), server_key=self.keys.public)
        await pause(0.4)
        self.assertFalse(link.up)

    async def test_plaintext_is_refused(self) -> None:
        """A peer without CURVE never comes up, and its requests are never seen."""
        link = self.dial(self.server.endpoint)
        self.raw(self.server.endpoint).send_multipart([bytes(8), b"host", bytes([0, 0, 1, 0]), rpc.dump(HOST)])
        await pause(0.4)
        self.assertFalse(link.up)
        self.assertEqual(dict(self.metrics.rpc_served.values), {})

    async def test_a_false_server_is_refused(self) -> None:
        """A link that expects another server key never comes up."""
        link = self.dial(self.server.endpoint, curve=CurveDialer(self.allowed), server_key=new_keys().public)
        await pause(0.4)
        self.assertFalse(link.up)


class KeyFileTests(SynchronousTestCase):
    """Keys in files."""

    def setUp(self) -> None:
        """A folder with a pair."""
        self.folder = self.mktemp()
        os.mkdir(self.folder)
        self.public_path, self.secret_path = create_certificates(self.folder, "node")
        os.chmod(self.secret_path, 0o600)

    def test_a_pair_is_read(self) -> None:
        """As zmq.auth writes it."""
        keys = load_keys(self.secret_path)
        self.assertEqual((len(keys.public), len(keys.secret)), (40, 40))

    def test_a_secret_has_no_repr(self) -> None:
        """What is logged by mistake holds no secret."""
        keys = load_keys(self.secret_path)
        self.assertNotIn(keys.secret.decode(), f"{keys} {keys!r}")

    def test_a_secret_for_everybody_is_refused(self) -> None:
        """A file mode that gives it away is one clear error."""
        os.chmod(self.secret_path, 0o644)
        self.assertIn("chmod", str(self.assertRaises(ConfigError, load_keys, self.secret_path)))

    def test_missing_and_wrong_files(self) -> None:
        """Each is a clear error with the path."""
        garbage = Path(self.folder, "garbage")
        garbage.write_bytes(b"\xff\xfe")
        for path in ("/nowhere", self.public_path, str(garbage)):
            self.assertIn(path, str(self.assertRaises(ConfigError, load_keys, path)))

    def test_a_list_of_allowed_keys(self) -> None:
        """One key a line; remarks and blank lines are skipped; an empty list or a wrong key is refused."""
        key = new_keys().public
        path = Path(self.folder, "allowed")
        path.write_bytes(b"# job 1\n" + key + b"\n\n")
        self.assertEqual(load_allowed(str(path)), {key})
        for content in (b"", b"# nobody\n", b"short\n", b"~" * 40, b"#" * 40):
            path.write_bytes(content)
            self.assertRaises(ConfigError, load_allowed, str(path))
        self.assertRaises(ConfigError, load_allowed, "/nowhere")
