"""A trial case with a real ZooKeeper server and as many sessions as a test wants."""

import socket
from typing import Any, ClassVar
from uuid import uuid4

from kazoo.client import KazooClient
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from imd.backend.zookeeper_session import ZookeeperSession
from imd.backend.zookeeper_settings import ZookeeperSettings
from tests.support.reactor import eventually, reactor
from tests.support.zookeeper import ZooKeeperServer

SESSION_SECONDS = 2.0


class ZooKeeperCase(TestCase):
    """One server for all tests of a class; each test has a prefix of its own in it."""

    server: ClassVar[ZooKeeperServer]

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = ZooKeeperServer().start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.stop()

    def setUp(self) -> None:
        self.prefix = f"/test-{uuid4().hex}"

    def settings(self, **changes: Any) -> ZookeeperSettings:
        """How this case's server is reached, with short times."""
        known: dict[str, Any] = {"hosts": self.server.hosts, "session_seconds": SESSION_SECONDS, "call_seconds": 2.0}
        return ZookeeperSettings(**(known | changes))

    async def make_session(self, *, wait: bool = True, **changes: Any) -> ZookeeperSession:
        """An open session, connected if ``wait``; closed when the test ends."""
        session = ZookeeperSession(settings=self.settings(**changes), reactor=reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(session.close()))
        await session.open()
        if wait:
            await eventually(lambda: session.connected)
        return session

    async def outage(self, *sessions: ZookeeperSession) -> bool:
        """The server dies and returns; whether it kept all these sessions. A starved machine may be too late for one."""
        ids = [session.id for session in sessions]
        self.server.kill()
        await eventually(lambda: not any(session.connected for session in sessions))
        self.server.start()
        await eventually(lambda: all(session.connected for session in sessions), 30)
        return [session.id for session in sessions] == ids

    def cut_off(self, session: ZookeeperSession) -> None:
        """The process of this session dies: it says no goodbye, hears of nothing more, and its session runs out."""
        client = session._client
        client.state_listeners.clear()
        client._stopped.set()  # kazoo must not dial again
        client._connection._socket.shutdown(socket.SHUT_RDWR)

    def expire(self, session: ZookeeperSession) -> None:
        """The server ends the session at once; the client hears of it and gets a new one."""
        other = KazooClient(self.server.hosts, client_id=session._client.client_id)
        other.start(10)
        other.stop()
        other.close()
