"""A link to Redis through its whole life."""

import time
from hashlib import sha1
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from imd.backend.redis import RedisLink
from imd.backend.redis_refusal import RedisRefusal
from imd.backend.redis_script import RedisScript, load_script
from imd.backend.redis_settings import RedisSettings
from imd.errors import DeadlineExceeded, Unavailable
from tests.support.reactor import eventually, reactor
from tests.support.redis import RedisSentinel, RedisServer, free_port
from tests.support.redis_case import RedisCase


@implementer(ILogObserver)
class LinkLog:
    """Keeps what links say."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def __call__(self, event: LogEvent) -> None:
        if event.get("log_namespace") == "imd.backend.redis":
            assert "log_failure" not in event, event
            self.said.append((event["log_level"].name, event["log_format"].format(**event)))


class LinkCase(RedisCase):
    """Hears what links say in the log."""

    def setUp(self) -> None:
        super().setUp()
        log = LinkLog()
        self.said = log.said  # (level, words)
        globalLogPublisher.addObserver(log)
        self.addCleanup(globalLogPublisher.removeObserver, log)

    def own(self, **changes: Any) -> RedisServer:
        server = RedisServer(**changes).start()
        self.addCleanup(server.stop)
        return server

    async def until_there(self, link: RedisLink, seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while link.trouble() is not None:
            if time.monotonic() > deadline:
                self.fail(link.trouble())
            await self.pass_time(0.02)


class NonsenseTests(TestCase):
    """What answers is no Redis."""

    async def test_a_peer_that_answers_nonsense(self) -> None:
        """It is asked again and again, and trouble says so: nothing it says ends the trying."""
        asked: list[bytes] = []

        class Nonsense(Protocol):
            def dataReceived(self, data: bytes) -> None:
                asked.append(data)
                assert self.transport is not None
                self.transport.write(b"*0\r\n")  # a Sentinel that knows the master, but not where it is

        port = reactor.listenTCP(0, Factory.forProtocol(Nonsense), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        sentinels = (("127.0.0.1", port.getHost().port),)
        link = RedisLink(
            settings=RedisSettings(sentinels=sentinels, sentinel_master="m", connections=1), reactor=reactor
        )
        await link.open()
        self.addCleanup(lambda: Deferred.fromCoroutine(link.close()))
        await eventually(lambda: len(asked) > 1)
        self.assertIn("IndexError while connecting", str(link.trouble()))
        self.assertTrue(self.flushLoggedErrors(IndexError))


class RedisLinkTests(LinkCase):
    """Calls and states."""

    async def test_ready_when_open_returns(self) -> None:
        """Beside a living Redis there is no trouble from the start, and one line in the log."""
        link = await self.make_link()
        self.assertIsNone(link.trouble())
        self.assertEqual(self.said, [("info", f"redis at {self.server.path}: connected")])

    async def test_bytes_go_and_come_as_they_are(self) -> None:
        """Every byte, and digits are no numbers."""
        link = await self.make_link()
        for value in (bytes(range(256)), b"007", b"", b"QUEUED"):
            await link.call("SET", "k", value)
            self.assertEqual(await link.call("GET", "k"), value)

    async def test_calls_before_open_fail(self) -> None:
        """At once."""
        link = RedisLink(settings=self.server.settings(), reactor=reactor)
        with self.assertRaisesRegex(Unavailable, "not opened"):
            await link.call("PING")
        self.assertIn("not opened", link.trouble() or "")

    async def test_start_without_redis(self) -> None:
        """Opening neither waits nor fails; trouble says why; when Redis comes, all is well by itself."""
        server = self.own(tcp=True)
        server.kill()
        started = time.monotonic()
        link = await self.make_link(server)
        self.assertLess(time.monotonic() - started, 0.9)
        self.assertIn("the connection was refused", link.trouble() or "")
        await self.pass_time(0.5)
        server.start()
        await self.until_there(link)
        self.assertEqual(await link.call("PING"), b"PONG")
        self.assertEqual([level for level, _ in self.said], ["warn", "info"])

    async def test_start_beside_a_redis_that_stands_still(self) -> None:
        """Opening waits a second, not for ever."""
        server = self.own()
        server.pause()
        self.addCleanup(server.resume)
        started = time.monotonic()
        link = await self.make_link(server)
        self.assertLess(time.monotonic() - started, 1.8)
        self.assertIsNotNone(link.trouble())

    async def test_killed_and_back(self) -> None:
        """One line when it goes, one when it is back; calls between fail at once."""
        server = self.own()
        link = await self.make_link(server)
        calling = Deferred.fromCoroutine(link.call("BLPOP", "never", "0"))
        await self.pass_time(0.05)
        server.kill()
        with self.assertRaises(Unavailable):
            await calling
        await self.pass_time(0.1)
        with self.assertRaises(Unavailable):
            await link.call("PING")
        server.start()
        await self.until_there(link)
        self.assertEqual([level for level, _ in self.said], ["info", "warn", "info"])

    async def test_a_wrong_password_is_said_once(self) -> None:
        """However often it is tried; and setting it right on the other side is enough."""
        server = self.own(password="hunter2")
        link = await self.make_link(server, password="hunter3")
        await self.pass_time(1)
        self.assertEqual([level for level, _ in self.said], ["warn"])
        self.assertNotIn("hunter", self.said[0][1] + (link.trouble() or ""))
        self.assertIn("refuses the user name or password", link.trouble() or "")
        server.command("CONFIG", "SET", "requirepass", "hunter3")
        await self.until_there(link)

    async def test_a_password_that_became_wrong(self) -> None:
        """While it is away, a new reason for operators gets its own line."""
        server = self.own(tcp=True)
        link = await self.make_link(server, password="")
        server.kill()
        server.password = "hunter2"
        await self.pass_time(0.2)
        server.start()
        for _ in range(200):
            if len(self.said) == 3:
                break
            await self.pass_time(0.02)
        self.assertIn("wants a password", self.said[-1][1])
        self.assertIn("wants a password", link.trouble() or "")

    async def test_a_redis_that_stands_still(self) -> None:
        """A call costs its deadline, and the link is in trouble until Redis answers again."""
        server = self.own()
        link = await self.make_link(server, timeout_seconds=0.3, connections=1)
        server.pause()
        self.addCleanup(server.resume)
        with self.assertRaises(DeadlineExceeded):
            await link.call("PING")
        self.assertIn("no answer within 0.3 s", link.trouble() or "")
        server.resume()
        await self.until_there(link)

    async def test_a_script_is_brought_along(self) -> None:
        """The first time, and after Redis forgot it; a script's own error comes through."""
        link = await self.make_link()
        script = load_script("lease_renew")
        for expected in (0, 1):
            self.server.command("SCRIPT", "FLUSH")
            self.assertEqual(await link.run(script, ["k"], [5, 1000]), expected)
        self.assertEqual(await link.run(script, ["k"], [5, 1000]), 1)
        self.server.command("LPUSH", "list", "x")
        with self.assertRaisesRegex(RedisRefusal, "another prefix"):
            await link.run(script, ["list"], [5, 1000])

    async def test_another_run_is_told(self) -> None:
        """Once for each start of Redis, however many connections find it; never to one who has stopped listening."""
        server = self.own()
        link = await self.make_link(server, connections=3)
        heard: list[int] = []
        end = link.listen(lambda: heard.append(1))
        for times in (1, 2):
            server.kill()
            await self.pass_time(0.05)
            server.start()
            await self.until_there(link)
            await eventually(lambda: len(link._connections) == 3)
            self.assertEqual(len(heard), times)
        end()
        server.kill()
        await self.pass_time(0.05)
        server.start()
        await self.until_there(link)
        self.assertEqual(len(heard), 2)

    async def test_scripts_are_told_where_they_run(self) -> None:
        """The run id of the server comes before the arguments, whichever connection is taken."""
        server = self.own()
        link = await self.make_link(server, connections=2)
        script = RedisScript(text := b"return ARGV", sha1(text, usedforsecurity=False).hexdigest())
        info = server.command("INFO", "server").decode()
        (run,) = [line.partition(":")[2].encode() for line in info.split() if line.startswith("run_id:")]
        for _ in range(3):
            self.assertEqual(await link.run(script, [], ["a"], tell_run=True), [run, b"a"])
        self.assertEqual(await link.run(script, [], ["a"]), [b"a"])

    async def test_a_replica_is_left(self) -> None:
        """READONLY ends the connection: the master may be elsewhere by now."""
        server = self.own()
        link = await self.make_link(server, connections=1)
        server.command("REPLICAOF", "127.0.0.1", str(free_port()))
        with self.assertRaisesRegex(RedisRefusal, "read-only replica"):
            await link.call("SET", "k", "v")
        self.assertIn("read-only replica", link.trouble() or "")
        server.command("REPLICAOF", "NO", "ONE")
        await self.until_there(link)
        await link.call("SET", "k", "v")

    async def test_close_lets_calls_finish(self) -> None:
        """What is under way is answered; what comes later is refused; no connection stays."""
        link = await self.make_link()
        calls = [Deferred.fromCoroutine(link.call("INCR", "n")) for _ in range(100)]
        await link.close()
        answers = [answer for _, answer in await DeferredList(calls)]
        self.assertEqual(sorted(answers), list(range(1, 101)))
        with self.assertRaisesRegex(Unavailable, "closed"):
            await link.call("PING")
        self.assertIn("closed", link.trouble() or "")
        await link.close()

    async def test_close_while_redis_stands_still(self) -> None:
        """Takes the deadline, and does not raise."""
        server = self.own()
        link = await self.make_link(server, timeout_seconds=0.3)
        server.pause()
        self.addCleanup(server.resume)
        await link.close()

    async def test_close_while_connecting(self) -> None:
        """A Redis that is away keeps nobody."""
        server = self.own()
        server.pause()
        self.addCleanup(server.resume)
        link = await self.make_link(server, timeout_seconds=5)
        started = time.monotonic()
        await link.close()
        self.assertLess(time.monotonic() - started, 0.5)

    async def test_connections_of_ones_own(self) -> None:
        """Are cut by close, refused after it, and refused at once while Redis is away."""
        link = await self.make_link()
        connection = await link.connect()
        calling = Deferred.fromCoroutine(connection.call("BLPOP", "never", "0", seconds=30))
        await link.close()
        with self.assertRaises(Unavailable):
            await calling
        with self.assertRaises(Unavailable):
            await link.connect()


class SentinelFailoverTests(LinkCase):
    """A master dies, and another takes over."""

    async def test_failover(self) -> None:
        """Within seconds the link is back, on the other server, without being told."""
        master, replica = self.own(tcp=True, password="hunter2"), self.own(tcp=True, password="hunter2")
        replica.command("REPLICAOF", "127.0.0.1", str(master.port))
        sentinel = RedisSentinel(master=master)
        sentinel.start()
        self.addCleanup(sentinel.stop)
        link = RedisLink(
            settings=RedisSettings(
                sentinels=(("127.0.0.1", sentinel.port),),
                sentinel_master="mymaster",
                password="hunter2",
                timeout_seconds=1.0,
                connections=2,
            ),
            reactor=reactor,
        )
        await link.open()
        self.addCleanup(self.later, link.close)
        await self.until_there(link)
        await link.call("SET", "k", "v")
        await self.until_failover_is_possible(sentinel)
        master.kill()
        started = time.monotonic()
        await self.pass_time(0.1)
        self.assertIsNotNone(link.trouble())
        await self.until_there(link, 30)
        self.assertEqual(await link.call("GET", "k"), b"v")
        await link.call("SET", "k", "w")
        self.assertEqual(replica.command("GET", "k"), b"w")
        self.assertLess(time.monotonic() - started, 20)
        self.assertEqual([level for level, _ in self.said], ["info", "warn", "info"])

    async def until_failover_is_possible(self, sentinel: RedisSentinel) -> None:
        """The Sentinel learns of replicas by asking the master every ten seconds (or at its start)."""
        for _ in range(1500):
            if any(b"master-link-status" in each and b"ok" in each for each in self.replicas(sentinel)):
                return
            await self.pass_time(0.02)
        self.fail("the Sentinel knows of no replica")

    def replicas(self, sentinel: RedisSentinel) -> Any:
        return sentinel.command("SENTINEL", "replicas", "mymaster")
