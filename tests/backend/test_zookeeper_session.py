"""A session with a real ZooKeeper: it opens whenever there is one, comes back for ever, and never holds anybody up."""

import time
from pathlib import Path
from typing import Any

from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, capturedLogs, globalLogPublisher
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from imd.backend.zookeeper_session import Link, ZookeeperSession
from imd.backend.zookeeper_settings import ZookeeperSettings
from imd.errors import RegistryUnavailable
from tests.support.certificates import make_certificates
from tests.support.reactor import eventually, reactor
from tests.support.zookeeper import ZooKeeperServer, free_port
from tests.support.zookeeper_case import ZooKeeperCase


class CallTests(ZooKeeperCase):
    """What can be asked of it."""

    async def test_nodes_come_and_go(self) -> None:
        """Create, get, set, children and delete do what ZooKeeper's do."""
        session = await self.make_session()
        await session.create(f"{self.prefix}/a/b", b"1")
        self.assertEqual(await session.get(f"{self.prefix}/a/b"), (b"1", 0, session.id))
        await session.set(f"{self.prefix}/a/b", b"2")
        self.assertEqual(await session.get(f"{self.prefix}/a/b"), (b"2", 1, session.id))
        self.assertEqual(await session.children(f"{self.prefix}/a"), ["b"])
        with self.assertRaises(BadVersionError):
            await session.delete(f"{self.prefix}/a/b", 0)
        await session.delete(f"{self.prefix}/a/b", 1)
        self.assertEqual(await session.children(f"{self.prefix}/a"), [])

    async def test_its_own_errors_go_through(self) -> None:
        """What ZooKeeper says about nodes is for the caller."""
        session = await self.make_session()
        with self.assertRaises(NoNodeError):
            await session.get(f"{self.prefix}/a")
        await session.create(f"{self.prefix}/a", b"")
        with self.assertRaises(NodeExistsError):
            await session.create(f"{self.prefix}/a", b"")

    async def test_a_folder_that_is_missing(self) -> None:
        """Who makes a node where none can be is to try again, as when ZooKeeper is away; ``trouble`` and the log name it."""
        session = await self.make_session(hosts=f"{self.server.hosts}{self.prefix}/deep")
        with capturedLogs() as logs:
            for make in (session.make_folder("/a"), session.create("/a", b"")):
                with self.assertRaises(RegistryUnavailable) as raised:
                    await make
                self.assertIn(f"{self.prefix}/deep has no folder to make /a in", str(raised.exception))
                self.assertEqual(session.trouble(), str(raised.exception))
        self.assertEqual([event["log_format"] for event in logs], ["zookeeper: {trouble}"])
        await (await self.make_session()).make_folder(self.prefix)
        await session.create("/a", b"1")
        self.assertEqual((await session.get("/a"))[0], b"1")

    async def test_close_removes_its_nodes(self) -> None:
        """At once, not when the session would have run out."""
        one, two = await self.make_session(), await self.make_session()
        await one.create(f"{self.prefix}/a", b"")
        await one.close()
        with self.assertRaises(NoNodeError):
            await two.get(f"{self.prefix}/a")

    async def test_a_watch_fires_once_in_the_reactors_thread(self) -> None:
        """When the node changes; not for the next change."""
        one, two = await self.make_session(), await self.make_session()
        await one.create(f"{self.prefix}/a", b"")
        heard: list[int] = []
        await two.get(f"{self.prefix}/a", lambda: heard.append(1))
        await one.set(f"{self.prefix}/a", b"1")
        await eventually(lambda: heard == [1])
        await one.set(f"{self.prefix}/a", b"2")
        await two.get(f"{self.prefix}/a")
        self.assertEqual(heard, [1])

    async def test_remove_own_leaves_what_is_anothers(self) -> None:
        """``ephemeralOwner`` decides."""
        one, two = await self.make_session(), await self.make_session()
        await one.create(f"{self.prefix}/a", b"")
        self.assertFalse(await two.remove_own(f"{self.prefix}/a"))
        self.assertTrue(await one.remove_own(f"{self.prefix}/a"))
        self.assertTrue(await two.remove_own(f"{self.prefix}/a"))

    async def test_with_a_digest_others_are_kept_out(self) -> None:
        """What was made with credentials can be read with them only; they are in no text of ours."""
        one = await self.make_session(digest="imd:s3cret")
        two = await self.make_session(digest="imd:s3cret")
        stranger = await self.make_session()
        await one.create(f"{self.prefix}/a", b"1")
        self.assertEqual((await two.get(f"{self.prefix}/a"))[0], b"1")
        with self.assertRaises(RegistryUnavailable) as raised:
            await stranger.get(f"{self.prefix}/a")
        self.assertIn(f"does not allow us {self.prefix}/a", str(raised.exception))
        self.assertEqual(stranger.trouble(), str(raised.exception))
        self.assertIsNone(one.trouble())
        self.assertNotIn("s3cret", repr(self.settings(digest="imd:s3cret")))


class TLSTests(TestCase):
    """A server with certificates."""

    async def test_both_sides_are_verified(self) -> None:
        """With the authority that signed the server's certificate, a certificate of ours, and the right name; not otherwise."""
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        files = make_certificates(folder)
        server = ZooKeeperServer(certificates=files).start()
        self.addCleanup(server.stop)

        async def session(**changes: Any) -> ZookeeperSession:
            known: dict[str, Any] = {"tls": True, "ca_file": files.ca, "cert_file": files.cert, "key_file": files.key}
            settings = ZookeeperSettings(hosts=f"127.0.0.1:{server.tls_port}", session_seconds=4.0, **(known | changes))
            made = ZookeeperSession(settings=settings, reactor=reactor)
            self.addCleanup(lambda: Deferred.fromCoroutine(made.close()))
            await made.open()
            return made

        strangers = [await session(ca_file=""), await session(cert_file="", key_file="")]
        good = await session()
        await eventually(lambda: good.connected)
        await good.create("/a", b"1" * 100_000)
        self.assertEqual((await good.get("/a"))[0], b"1" * 100_000)
        self.assertEqual([stranger.connected for stranger in strangers], [False, False])


class FaultTests(ZooKeeperCase):
    """A server of their own: it is killed, paused and restarted."""

    async def test_a_server_that_dies_and_returns(self) -> None:
        """The session outlives it: AWAY, then CONNECTED under the same id, its nodes still there; calls between raise."""
        session = await self.make_session(session_seconds=10.0)
        links: list[Link] = []
        session.listen(links.append)
        for name in ("a", "b", "c"):
            links.clear()
            before = session.id
            await session.create(f"{self.prefix}/{name}", b"")
            self.server.kill()
            await eventually(lambda: not session.connected)
            self.assertIn("is away", str(session.trouble()))
            with self.assertRaises(RegistryUnavailable):
                await session.get(f"{self.prefix}/{name}")
            self.server.start()
            await eventually(lambda: session.connected, 30)
            if session.id == before:  # else a starved machine was too late for it
                break
        self.assertEqual((links, session.id), ([Link.AWAY, Link.CONNECTED], before))
        self.assertEqual(await session.children(self.prefix), [name])
        self.assertIsNone(session.trouble())

    async def test_a_session_that_ends(self) -> None:
        """LOST is told, then CONNECTED under another id; nodes of both are known as ours."""
        session = await self.make_session()
        links: list[Link] = []
        session.listen(links.append)
        before = session.id
        self.expire(session)
        await eventually(lambda: session.connected and session.id != before)
        self.assertEqual(links[-2:], [Link.LOST, Link.CONNECTED])
        self.assertTrue(session.was_ours(before) and session.was_ours(session.id))
        self.assertFalse(session.was_ours(1))

    async def test_a_call_has_a_deadline(self) -> None:
        """A server that hangs is an error in time, before the connection is given up."""
        session = await self.make_session(session_seconds=10.0, call_seconds=0.3)
        self.server.pause()
        self.addCleanup(self.server.resume)
        with self.assertRaises(RegistryUnavailable) as raised:
            await session.children("/")
        self.assertIn("did not answer", str(raised.exception))

    async def test_an_ended_listener_is_silent(self) -> None:
        """It is not told any more; ending it twice is fine."""
        session = await self.make_session()
        links: list[Link] = []
        end = session.listen(links.append)
        end()
        end()
        self.expire(session)
        other: list[Link] = []
        session.listen(other.append)
        await eventually(lambda: Link.CONNECTED in other)
        self.assertEqual(links, [])


@implementer(ILogObserver)
class Lines:
    """What is logged about ZooKeeper."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        line = str(event.get("log_format"))
        if "ookeeper" in line or "azoo" in line:
            self.seen.append(line)


class AwayTests(TestCase):
    """There is no server."""

    def setUp(self) -> None:
        self.lines = Lines()
        globalLogPublisher.addObserver(self.lines)
        self.addCleanup(globalLogPublisher.removeObserver, self.lines)

    def make(self, hosts: str, call_seconds: float = 0.2) -> ZookeeperSession:
        settings = ZookeeperSettings(hosts=hosts, session_seconds=2.0, call_seconds=call_seconds)
        return ZookeeperSession(settings=settings, reactor=reactor)

    async def test_open_and_close_without_a_server(self) -> None:
        """Both return soon; between them ``trouble`` says what is missing, in the log there is one line and no traceback."""
        session = self.make(f"127.0.0.1:{free_port()}")
        self.assertIn("not open", str(session.trouble()))
        started = time.monotonic()
        await session.open()
        self.assertLess(time.monotonic() - started, 0.5)
        self.assertIn("127.0.0.1", str(session.trouble()))
        with self.assertRaises(RegistryUnavailable):
            await session.children("/")
        await eventually(lambda: bool(self.lines.seen))
        started = time.monotonic()
        await session.close()
        self.assertLess(time.monotonic() - started, 6)
        self.assertEqual(self.lines.seen, ["zookeeper: {hosts} is away"])
        self.assertIn("not open", str(session.trouble()))

    async def test_a_host_that_does_not_resolve(self) -> None:
        """It is away like any other."""
        session = self.make("no-such-host.invalid:2181", call_seconds=5.0)
        await session.open()
        self.assertIn("no-such-host.invalid", str(session.trouble()))
        await session.close()

    async def test_closing_what_was_never_opened(self) -> None:
        """Nothing to do."""
        await self.make("127.0.0.1:1").close()
