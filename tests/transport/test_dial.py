"""Dialling on real sockets: the Python client against our own listeners, over all four transports."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from OpenSSL.SSL import Error as TlsError
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from imd.client.client import Client
from imd.client.client_v2 import ClientV2
from imd.client.core import Pushed
from imd.client.steady_client import SteadyClient
from imd.client.timeline import Missed
from imd.comet.limits import Limits
from imd.errors import AuthRefused, CloseReason, ConfigError, DeadlineExceeded, ImdError, PeerUnavailable
from imd.interfaces import Connection
from imd.protocol.auth_reply import AuthReply
from imd.protocol.body import Auth
from imd.protocol.packet import Packet, encode
from imd.protocol.presence_event import PresenceEvent
from imd.protocol.rpc import Item, Kind
from imd.protocol.timeline import Place
from imd.transport.dial import dial
from imd.transport.server_certificate import ServerCertificate
from imd.transport.tcp import TcpFactory
from imd.transport.websocket import WebSocketFactory
from tests.support.certificates import make_certificates
from tests.support.listening_comet import ListeningComet
from tests.support.ports import reserve_port
from tests.support.reactor import eventually
from tests.support.scripted_session import ScriptedSession

reactor: Any = global_reactor
TRANSPORTS = ("tcp", "tls", "ws", "wss")


class DialTests(TestCase):
    """One listener for each transport, with scripted sessions behind them."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.files = make_certificates(folder)
        self.sessions: list[ScriptedSession] = []
        self.gone: list[Deferred[None]] = []
        certificate = ServerCertificate(cert_file=self.files.cert, key_file=self.files.key)
        nameless = ServerCertificate(cert_file=self.files.nameless_cert, key_file=self.files.nameless_key)
        common: dict[str, Any] = {"accept": self.accept, "clock": reactor}
        tls, wss = TcpFactory(tls=True, **common), WebSocketFactory(tls=True, origins=["*"], **common)
        self.ports = {
            "tcp": reactor.listenTCP(0, TcpFactory(**common), interface="127.0.0.1"),
            "tls": reactor.listenSSL(0, tls, certificate, interface="127.0.0.1"),
            "ws": reactor.listenTCP(0, WebSocketFactory(origins=["*"], **common), interface="127.0.0.1"),
            "wss": reactor.listenSSL(0, wss, certificate, interface="127.0.0.1"),
            "nameless tls": reactor.listenSSL(0, tls, nameless, interface="127.0.0.1"),
            "nameless wss": reactor.listenSSL(0, wss, nameless, interface="127.0.0.1"),
        }
        for port in self.ports.values():
            self.addCleanup(port.stopListening)

    def accept(self, connection: Connection) -> ScriptedSession:
        session = ScriptedSession(connection)
        gone: Deferred[None] = Deferred()
        lost = session.lost

        def note(reason: CloseReason) -> None:
            lost(reason)
            gone.callback(None)

        session.lost = note  # type: ignore[method-assign]  # the test must wait for it
        self.sessions.append(session)
        self.gone.append(gone)
        return session

    def url(self, transport: str, port: str = "") -> str:
        return f"{transport}://localhost:{self.ports[port or transport].getHost().port}"

    def run_to_end(self, work: Coroutine[Deferred[Any], Any, None]) -> Deferred[None]:
        """Run ``work``; the test is over when every session has ended, too."""

        async def run() -> None:
            await work
            for gone in self.gone:
                await gone

        return Deferred.fromCoroutine(run())

    def test_cancelled(self) -> Deferred[None]:
        """Between two tries to connect it ends as what it is: Twisted has a word of its own for it then."""

        async def work() -> None:
            closed = f"tcp://127.0.0.1:{reserve_port()}"
            dialling = Deferred.fromCoroutine(dial(Client, closed, reactor=reactor))
            reactor.callLater(0.05, dialling.cancel)  # Twisted waits 0.3 seconds for another address of the same name
            await self.assertFailure(dialling, CancelledError)

        return self.run_to_end(work())

    def test_every_transport(self) -> Deferred[None]:
        """Authenticate, ask, receive merged pushes, close: the same over each."""

        async def work() -> None:
            for transport in TRANSPORTS:
                client = await dial(Client, self.url(transport), reactor=reactor, ca_file=self.files.ca)
                await client.authenticate(mid=1)
                self.assertEqual(await client.heartbeat(), 5)
                await client.change_room("live://1")
                await client.subscribe([1000])
                await client.send(b"x", 1234)
                session = self.sessions[-1]
                self.assertEqual((session.connection.transport, session.connection.address), (transport, "127.0.0.1"))
                session.push(Packet(1000, b"1"), Packet(1001, b"2" * 70000))
                pushes = client.pushes()
                self.assertEqual(await anext(pushes), Pushed(1000, b"1"))
                self.assertEqual(await anext(pushes), Pushed(1001, b"2" * 70000))
                await client.close()
                await self.gone[-1]
                self.assertEqual(session.losses, [CloseReason.PEER_CLOSED], transport)

        return self.run_to_end(work())

    def test_refused(self) -> Deferred[None]:
        """The end by the server ends the request; WebSocket says that it was the credentials."""

        async def work() -> None:
            for transport in TRANSPORTS:
                client = await dial(Client, self.url(transport), reactor=reactor, ca_file=self.files.ca)
                kind = AuthRefused if transport in ("ws", "wss") else PeerUnavailable
                with self.assertRaises(kind):
                    await client.authenticate(key="refuse")
                await client.closed()
                await self.gone[-1]
                self.assertEqual(self.sessions[-1].losses, [CloseReason.AUTH_REFUSED], transport)

        return self.run_to_end(work())

    def test_untrusted_servers(self) -> Deferred[None]:
        """A certificate without names, or by an unknown authority, is refused, unless nobody is to be verified."""

        async def work() -> None:
            for transport in ("tls", "wss"):
                with self.assertRaises(PeerUnavailable) as caught:
                    await dial(
                        Client, self.url(transport, f"nameless {transport}"), reactor=reactor, ca_file=self.files.ca
                    )
                url = self.url(transport, f"nameless {transport}")
                self.assertIn("the connection was not opened: TLS: certificate verify failed", str(caught.exception))
                self.assertTrue(str(caught.exception).startswith(url), caught.exception)
                with self.assertRaises(PeerUnavailable):
                    await dial(Client, self.url(transport), reactor=reactor)
                client = await dial(Client, url, reactor=reactor, verify_server=False)
                await client.authenticate()
                await client.close()
            for session in self.sessions:
                self.assertLessEqual(len(session.packets), 1)

        return self.run_to_end(work())

    def test_nobody_there(self) -> Deferred[None]:
        """A refused connection, a name that is none, an HTTP status, and wrong settings each have their error."""

        async def work() -> None:
            closed = self.url("tcp")
            await self.ports["tcp"].stopListening()
            nowhere, other = "tcp://does-not-exist.invalid:3101", self.url("ws") + "/other"
            for url, words in (
                (closed, f"{closed}: cannot connect: the connection was refused; is imd running there?"),
                (nowhere, f"{nowhere}: cannot connect: the name cannot be looked up; is imd running there?"),
                (
                    other,
                    f"{other}: the connection was not opened: WebSocket connection upgrade failed [404]: Not Found",
                ),
            ):
                with self.assertRaises(PeerUnavailable) as caught:
                    await dial(Client, url, reactor=reactor)
                self.assertEqual(str(caught.exception), words)
            for url in ("http://localhost", "tcp://a..b", f"ws://{'a' * 64}.b"):
                with self.assertRaises(ConfigError):
                    await dial(Client, url, reactor=reactor)
            with self.assertRaises(ConfigError):
                await dial(Client, self.url("tls"), reactor=reactor, ca_file="/missing.pem")

        return self.run_to_end(work())

    def test_silent_server(self) -> Deferred[None]:
        """A server that accepts and says nothing is given up at the deadline, and let go of."""
        ends: list[Deferred[None]] = []

        class Silent(Protocol):
            def connectionMade(self) -> None:
                ends.append(Deferred())

            def connectionLost(self, reason: object = None) -> None:
                ends[-1].callback(None)

        factory = Factory.forProtocol(Silent)
        factory.noisy = False
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)

        async def work() -> None:
            for transport in ("tls", "ws", "wss"):
                url = f"{transport}://localhost:{port.getHost().port}"
                with self.assertRaises(DeadlineExceeded):
                    await dial(Client, url, reactor=reactor, connect_seconds=0.2)
                await ends[-1]

        return self.run_to_end(work())

    def test_garbage_for_tls(self) -> Deferred[None]:
        """Plain bytes on a TLS port end as the network's fault, with nothing in the log."""

        async def work() -> None:
            for transport, port in (("tcp", "tls"), ("ws", "wss")):
                with self.assertRaises(PeerUnavailable):
                    client = await dial(Client, self.url(transport, port), reactor=reactor)
                    await client.authenticate()
                await self.gone[-1]
                self.assertEqual(self.sessions[-1].losses, [CloseReason.PEER_LOST])
            self.assertEqual(self.flushLoggedErrors(TlsError), [])

        return self.run_to_end(work())


class Notes:
    """An application that notes where each push stands, and its body."""

    def __init__(self) -> None:
        self.pushes: list[tuple[str, int, bytes]] = []
        self.entries = 0

    def pushed(self, push: Pushed) -> None:
        assert push.header is not None
        self.pushes.append((push.header.timeline, push.header.seq, push.body))

    def missed(self, missed: Missed) -> None:
        raise AssertionError(missed)

    def attended(self, event: PresenceEvent) -> None:
        raise AssertionError(event)

    def entered(self, reply: AuthReply) -> None:
        self.entries += 1

    def left(self, trouble: ImdError, wait_seconds: float) -> None:
        """It comes back."""


class SteadyTests(TestCase):
    """A client that stays, against a real comet, over all four transports."""

    def test_kept_and_live_pushes(self) -> Deferred[None]:
        """Both come, also after the connection was cut."""
        comet = ListeningComet(reactor=reactor, folder=Path(self.mktemp()), limits=Limits())

        async def run() -> None:
            try:
                for transport in TRANSPORTS:
                    await self.follow(comet, transport)
            finally:
                await comet.stop()

        return Deferred.fromCoroutine(run())

    async def follow(self, comet: ListeningComet, transport: str) -> None:
        notes = Notes()
        cut = Item(Kind.KICK, keys=("k",), reason=CloseReason.SERVER_STOPPING.code)
        comet.logic.head = 0

        async def connect(on_push: Callable[[Pushed], None]) -> ClientV2:
            url = f"{transport}://localhost:{comet.port(transport)}"
            return await dial(ClientV2, url, reactor=reactor, ca_file=str(comet.files.ca), on_push=on_push)

        steady = SteadyClient(
            connect=connect,
            clock=reactor,
            application=notes,
            jitter=lambda: 0.0,
            auth=Auth(mid=7, key="k", accepts=(1000,)),
            rooms=["live://1"],
        )
        running = Deferred.fromCoroutine(steady.run())
        live = Item(Kind.ROOM, encode(Packet(1000, b"live")), room="live://1", marks=((1, 1),))
        kept = encode(Packet(1000, b"kept"))
        await eventually(lambda: notes.entries == 1)
        await comet.push(live)
        await comet.push(Item(Kind.KEYS, kept, keys=("k",), operation=1000, marks=((2, 1),), places=(Place(1, "e"),)))
        await eventually(lambda: len(notes.pushes) == 2)
        comet.logic.head = 1
        await comet.push(cut)
        await eventually(lambda: notes.entries == 2)
        await comet.push(live)
        await eventually(lambda: len(notes.pushes) == 3)
        steady.stop()
        await running
        self.assertEqual(notes.pushes, [("live://1", 0, b"live"), ("", 1, b"kept"), ("live://1", 0, b"live")])
        self.assertEqual((steady.places[""], steady.losses), (Place(1, "e"), 1))
