"""Listening sockets: bound early, accepting late."""

import os
import socket
import tempfile

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from imd.errors import ConfigError
from imd.service.listener import Listener


class Greeter(Protocol):
    """Says who answered."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"imd")
        self.transport.loseConnection()


class ListenerTests(TestCase):
    """What an address of the configuration becomes."""

    def listener(self, text: str, reuse_port: bool = False) -> Listener:
        """One that is not open."""
        made = Listener("comet.tcp", text, reactor=reactor, factory=Factory.forProtocol(Greeter), reuse_port=reuse_port)
        self.addCleanup(lambda: Deferred.fromCoroutine(made.close()))
        return made

    def refused(self, text: str) -> str:
        """The words of the refusal."""
        return str(self.assertRaises(ConfigError, self.listener, text))

    async def greeting(self, made: Listener) -> bytes:
        """What a client reads."""
        from twisted.internet.threads import deferToThread

        address = made.address

        def dial() -> bytes:
            family, target = (
                (socket.AF_UNIX, address.path) if address.path else (socket.AF_INET, (address.host, address.port))
            )
            with socket.socket(family, socket.SOCK_STREAM) as client:
                client.settimeout(10)
                client.connect(target)
                return client.recv(10)

        return await deferToThread(dial)

    def test_tcp(self) -> Deferred[None]:
        """Port 0 becomes a real one; clients are refused before it opens and served after."""

        async def run() -> None:
            made = self.listener("127.0.0.1:0")
            self.assertGreater(made.address.port, 0)
            self.assertEqual(str(made), f"127.0.0.1:{made.address.port}")
            try:
                await self.greeting(made)
            except ConnectionRefusedError:
                pass
            else:
                self.fail("it accepted before it was opened")
            await made.open()
            self.assertEqual(await self.greeting(made), b"imd")

        return Deferred.fromCoroutine(run())

    def test_unix(self) -> Deferred[None]:
        """A path; what a dead process left there is replaced, and the path is gone after."""

        async def run() -> None:
            path = os.path.join(tempfile.mkdtemp(), "imd.sock")
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(path)
            made = self.listener(f"unix:{path}")
            await made.open()
            self.assertEqual(await self.greeting(made), b"imd")
            self.assertIn("another process listens there", self.refused(f"unix:{path}"))
            await made.close()
            self.assertFalse(os.path.exists(path))

        return Deferred.fromCoroutine(run())

    def test_a_port_in_use(self) -> None:
        """One line with the key, the address and what to do."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            text = f"127.0.0.1:{other.getsockname()[1]}"
            words = self.refused(text)
        self.assertEqual(
            words,
            f"comet.tcp = {text}: cannot listen there: address already in use; "
            "another process listens there; stop it or choose another port",
        )

    def test_an_address_that_is_not_ours(self) -> None:
        """Said as such."""
        self.assertIn("no such address", self.refused("192.0.2.1:0"))

    def test_several_on_one_port(self) -> Deferred[None]:
        """With reuse_port both accept."""

        async def run() -> None:
            one = self.listener("127.0.0.1:0", reuse_port=True)
            two = self.listener(f"127.0.0.1:{one.address.port}", reuse_port=True)
            await one.open()
            await two.open()
            for _ in range(8):
                self.assertEqual(await self.greeting(one), b"imd")

        return Deferred.fromCoroutine(run())

    def test_lost_race(self) -> Deferred[None]:
        """Two bound the port; the one that listens second says so."""

        async def run() -> None:
            one = self.listener("127.0.0.1:0")
            two = self.listener(str(one))
            await one.open()
            try:
                await two.open()
            except ConfigError as error:
                self.assertIn("address already in use", str(error))
            else:
                self.fail("both listen")

        return Deferred.fromCoroutine(run())
