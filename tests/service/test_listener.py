"""Listening sockets: bound early, accepting late."""

import os
import socket
import tempfile
from typing import ClassVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.tcp import Server
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from imd.errors import ConfigError
from imd.service.bound_socket import BoundSocket
from imd.service.listener import Listener
from imd.transport.direct import DirectServer


class Greeter(Protocol):
    """Says who answered."""

    seen: ClassVar[list[type]] = []  # of transports

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.seen.append(type(self.transport))
        self.transport.write(b"imd")
        self.transport.loseConnection()


class ListenerTests(TestCase):
    """What an address of the configuration becomes."""

    def listener(self, text: str, *, reuse_port: bool = False, direct: bool = False) -> Listener:
        """One that is not open."""
        self.bound = BoundSocket("comet.tcp", text, reuse_port=reuse_port)
        self.addCleanup(self.bound.socket.close)
        made = Listener(self.bound, reactor=reactor, factory=Factory.forProtocol(Greeter), direct=direct)
        self.addCleanup(lambda: Deferred.fromCoroutine(made.close()))
        return made

    async def greeting(self) -> bytes:
        """What a client of the listener made last reads."""
        address = self.bound.address

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
        """Clients are refused before it opens and served after."""

        async def run() -> None:
            made = self.listener("127.0.0.1:0")
            try:
                await self.greeting()
            except ConnectionRefusedError:
                pass
            else:
                self.fail("it accepted before it was opened")
            await made.open()
            self.assertEqual(await self.greeting(), b"imd")

        return Deferred.fromCoroutine(run())

    def test_direct(self) -> Deferred[None]:
        """Connections send at once where that was asked for."""

        async def run() -> None:
            for direct, kind in ((True, DirectServer), (False, Server)):
                made = self.listener("127.0.0.1:0", direct=direct)
                await made.open()
                self.assertEqual(await self.greeting(), b"imd")
                self.assertIs(Greeter.seen.pop(), kind)

        return Deferred.fromCoroutine(run())

    def test_unix(self) -> Deferred[None]:
        """A path serves too, is kept from others while it does, and is gone after."""

        async def run() -> None:
            path = os.path.join(tempfile.mkdtemp(), "imd.sock")
            made = self.listener(f"unix:{path}")
            await made.open()
            self.assertEqual(await self.greeting(), b"imd")
            self.assertRaises(ConfigError, BoundSocket, "comet.tcp", f"unix:{path}")
            await made.close()
            self.assertFalse(os.path.exists(path))

        return Deferred.fromCoroutine(run())

    def test_several_on_one_port(self) -> Deferred[None]:
        """With reuse_port both accept."""

        async def run() -> None:
            one = self.listener("127.0.0.1:0", reuse_port=True)
            two = self.listener(str(self.bound), reuse_port=True)
            await one.open()
            await two.open()
            for _ in range(8):
                self.assertEqual(await self.greeting(), b"imd")

        return Deferred.fromCoroutine(run())

    def test_lost_race(self) -> Deferred[None]:
        """Two bound the port; the one that listens second says so."""

        async def run() -> None:
            one = self.listener("127.0.0.1:0")
            two = self.listener(str(self.bound))
            await one.open()
            try:
                await two.open()
            except ConfigError as error:
                self.assertIn("address already in use", str(error))
            else:
                self.fail("both listen")

        return Deferred.fromCoroutine(run())

    def test_drain(self) -> Deferred[None]:
        """Closing waits for what was accepted, where that was asked for."""

        async def run() -> None:
            drained: Deferred[None] = Deferred()
            bound = BoundSocket("logic.http", "127.0.0.1:0")

            async def drain() -> None:
                await drained

            made = Listener(bound, reactor=reactor, factory=Factory.forProtocol(Greeter), drain=drain)
            await made.open()
            closed = Deferred.fromCoroutine(made.close())
            await deferLater(reactor, 0.01)
            self.assertNoResult(closed)
            drained.callback(None)
            await closed

        return Deferred.fromCoroutine(run())
