"""Connections to a Redis: authentication, TLS, Sentinel, and what goes wrong on the way."""

import os
import tempfile
from dataclasses import replace
from resource import RLIMIT_NOFILE, getrlimit, setrlimit
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from imd.backend.redis_connector import RedisConnector
from imd.backend.redis_settings import RedisSettings
from imd.errors import Unavailable
from tests.support.certificates import make_certificates
from tests.support.redis import RedisSentinel, RedisServer, free_port


class ConnectorCase(TestCase):
    """Connects once, and hangs up."""

    def start(self, **changes: Any) -> RedisServer:
        server = RedisServer(**changes).start()
        self.addCleanup(server.stop)
        return server

    async def answer(self, settings: RedisSettings) -> Any:
        """What a fresh connection answers to CLIENT INFO."""
        connection = await RedisConnector(settings=settings, reactor=reactor).connect()
        try:
            return await connection.call("CLIENT", "INFO", seconds=1)
        finally:
            connection.abort("tested")
            await connection.lost()

    async def refused(self, settings: RedisSettings, words: str) -> None:
        with self.assertRaisesRegex(Unavailable, words) as raised:
            await self.answer(settings)
        self.assertNotIn("hunter", str(raised.exception))


class AuthenticationTests(ConnectorCase):
    """Passwords, users, databases."""

    async def test_the_right_password(self) -> None:
        """Lets in."""
        server = self.start(password="hunter2")
        self.assertIn(b"user=default", await self.answer(server.settings()))

    async def test_a_wrong_password(self) -> None:
        """Is said, without the password."""
        server = self.start(password="hunter2")
        await self.refused(server.settings(password="hunter3"), "refuses the user name or password")

    async def test_a_missing_password(self) -> None:
        """Is said when connecting, not at the first call."""
        server = self.start(password="hunter2")
        await self.refused(server.settings(password=""), "wants a password")

    async def test_a_needless_password(self) -> None:
        """Is said: somebody forgot to protect that Redis."""
        await self.refused(self.start().settings(password="hunter2"), "it has none")

    async def test_a_user_of_its_own(self) -> None:
        """An ACL user, and one that does not exist."""
        server = self.start()
        server.command("ACL", "SETUSER", "imd", "on", ">hunter2", "~imd:*", "+@all")
        self.assertIn(b"user=imd", await self.answer(server.settings(username="imd", password="hunter2")))
        await self.refused(server.settings(username="imp", password="hunter2"), "user name or password")

    async def test_a_database(self) -> None:
        """By number, and one that does not exist."""
        server = self.start()
        self.assertIn(b" db=3 ", await self.answer(server.settings(db=3)))
        await self.refused(server.settings(db=99), "no such db")

    async def test_nobody_there(self) -> None:
        """A port without a listener, a path without a socket, a name without an address."""
        await self.refused(RedisSettings(port=free_port()), "the connection was refused")
        await self.refused(RedisSettings(path="/nonexistent/socket"), "/nonexistent/socket")
        await self.refused(RedisSettings(host="nowhere.invalid", timeout_seconds=5), "cannot be resolved|in time")

    async def test_too_many_open_files(self) -> None:
        """Is an absence like others: it passes."""
        server, (soft, hard) = self.start(), getrlimit(RLIMIT_NOFILE)
        next_file = os.dup(0)
        os.close(next_file)
        setrlimit(RLIMIT_NOFILE, (next_file, hard))
        try:
            await self.refused(RedisSettings(path=server.path), "Too many open files")
        finally:
            setrlimit(RLIMIT_NOFILE, (soft, hard))
        self.assertIn(b"user=default", await self.answer(server.settings()))

    async def test_cancelled(self) -> None:
        """Is no absence, after which one would try again: not while the name is looked up, nor while the server is silent."""
        server = self.start(tcp=True)
        server.pause()
        self.addCleanup(server.resume)
        for settings in (server.settings(), RedisSettings(path=server.path)):
            for seconds in (None, 0.2):
                attempt = Deferred.fromCoroutine(RedisConnector(settings=settings, reactor=reactor).connect())
                if seconds is not None:
                    await deferLater(reactor, seconds)
                attempt.cancel()
                await self.assertFailure(attempt, CancelledError)

    async def test_a_redis_that_does_not_answer(self) -> None:
        """Costs the deadline and no more."""
        server = self.start()
        server.pause()
        self.addCleanup(server.resume)
        await self.refused(server.settings(timeout_seconds=0.2), "no answer within 0.2 s")


class TLSTests(ConnectorCase):
    """Whose certificate is believed."""

    def setUp(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.files = make_certificates(self.folder.name)

    def start_tls(self, cert: str, key: str, **changes: Any) -> RedisServer:
        return self.start(tls=(cert, key, self.files.ca), password="hunter2", **changes)

    async def test_a_good_certificate(self) -> None:
        """By name and by address."""
        server = self.start_tls(self.files.cert, self.files.key)
        settings = server.settings(ca_file=self.files.ca)
        self.assertIn(b"user=default", await self.answer(settings))
        self.assertIn(b"user=default", await self.answer(replace(settings, host="127.0.0.1")))

    async def test_an_unknown_authority(self) -> None:
        """The system's authorities have not signed it."""
        server = self.start_tls(self.files.cert, self.files.key)
        await self.refused(server.settings(), "certificate verify failed")

    async def test_a_certificate_without_names(self) -> None:
        """Trusted, the common name fits, and still refused before the password is sent."""
        server = self.start_tls(self.files.nameless_cert, self.files.nameless_key)
        server.command("CONFIG", "RESETSTAT")
        await self.refused(server.settings(ca_file=self.files.ca), "certificate is not for localhost")
        await self.refused(server.settings(ca_file=self.files.ca, host="127.0.0.1"), "is not for 127.0.0.1")
        # Counted since: this command's own AUTH, and none of ours.
        self.assertIn(b"cmdstat_auth:calls=1,", server.command("INFO", "commandstats"))

    async def test_a_certificate_for_another_name(self) -> None:
        """Trusted, but somebody else's."""
        server = self.start_tls(self.files.other_cert, self.files.other_key)
        await self.refused(server.settings(ca_file=self.files.ca), "is not for localhost")

    async def test_a_certificate_of_ours(self) -> None:
        """A Redis that asks clients for one gets it, and lets nobody else in."""
        server = self.start_tls(self.files.cert, self.files.key, tls_clients=True)
        settings = server.settings(ca_file=self.files.ca)
        ours = replace(settings, cert_file=self.files.cert, key_file=self.files.key)
        self.assertIn(b"user=default", await self.answer(ours))
        await self.refused(settings, "TLS failed|lost|closed")

    async def test_files_that_are_no_certificates(self) -> None:
        """A missing one and garbage are named."""
        garbage = os.path.join(self.folder.name, "garbage")
        with open(garbage, "w") as file:
            file.write("no certificate")
        settings = RedisSettings(tls=True, port=free_port(), ca_file="/nonexistent/ca.pem")
        await self.refused(settings, "No such file or directory: /nonexistent/ca.pem")
        await self.refused(replace(settings, ca_file=garbage), "certificate file")
        await self.refused(replace(settings, ca_file="", cert_file=garbage, key_file=garbage), "certificate file")

    async def test_a_peer_without_tls(self) -> None:
        """A plain Redis is no TLS server: one line, no waiting for ever."""
        server = self.start(tcp=True)
        await self.refused(server.settings(tls=True, timeout_seconds=1), "TLS|lost|closed")


class SentinelTests(ConnectorCase):
    """Asking where the master is."""

    def start_pair(self, **changes: Any) -> tuple[RedisServer, RedisSentinel]:
        master = self.start(tcp=True, password="hunter2")
        sentinel = RedisSentinel(master=master, **changes)
        sentinel.start()
        self.addCleanup(sentinel.stop)
        return master, sentinel

    def by(self, *sentinels: tuple[str, int], **changes: Any) -> RedisSettings:
        settings = RedisSettings(
            sentinels=sentinels, sentinel_master="mymaster", password="hunter2", timeout_seconds=1.0
        )
        return replace(settings, **changes)

    async def test_the_master_is_found(self) -> None:
        """By a Sentinel that wants a password of its own, behind one that is away."""
        _, sentinel = self.start_pair(password="hunter4")
        settings = self.by(("127.0.0.1", free_port()), ("127.0.0.1", sentinel.port), sentinel_password="hunter4")
        self.assertIn(b"user=default", await self.answer(settings))

    async def test_no_sentinel_answers(self) -> None:
        """Each is named with its reason."""
        port = free_port()
        await self.refused(self.by(("127.0.0.1", port)), f"sentinel at 127.0.0.1:{port}: the connection was refused")

    async def test_a_name_that_no_sentinel_knows(self) -> None:
        """Is said."""
        _, sentinel = self.start_pair()
        settings = self.by(("127.0.0.1", sentinel.port), sentinel_master="other")
        await self.refused(settings, "knows no master other")

    async def test_a_wrong_sentinel_password(self) -> None:
        """Is said, without the password."""
        _, sentinel = self.start_pair(password="hunter4")
        settings = self.by(("127.0.0.1", sentinel.port), sentinel_password="hunter5")
        await self.refused(settings, "refuses the user name or password")

    async def test_a_server_that_is_no_master_yet(self) -> None:
        """Is not used, whatever the Sentinel says of it."""
        master, sentinel = self.start_pair()
        master.command("REPLICAOF", "127.0.0.1", str(free_port()))
        await self.refused(self.by(("127.0.0.1", sentinel.port)), "not a master yet")
