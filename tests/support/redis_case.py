"""A test case with a Redis of its own class, and links to it."""

from collections.abc import Callable, Coroutine
from secrets import token_hex
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from imd.backend.redis import RedisLink
from imd.backend.redis_partitions import RedisPartitions
from imd.metrics import Metrics
from imd.transport.direct import send_now
from tests.support.redis import RedisServer


class RedisCase(TestCase):
    """One server a class, emptied before each test; what a test makes is closed after it."""

    server: RedisServer

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = RedisServer().start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.stop()

    def setUp(self) -> None:
        self.server.command("FLUSHALL")

    async def make_link(self, server: RedisServer | None = None, **changes: Any) -> RedisLink:
        """An open link, by default to the class' server; it sends as in production."""
        link = RedisLink(settings=(server or self.server).settings(**changes), reactor=reactor, send=send_now)
        await link.open()
        self.addCleanup(self.later, link.close)
        return link

    def later(self, call: Callable[[], Coroutine[Any, Any, None]]) -> Deferred[None]:
        """Start a coroutine as a clean-up that is waited for."""
        return Deferred.fromCoroutine(call())

    async def pass_time(self, seconds: float) -> None:
        """Really wait."""
        await deferLater(reactor, seconds)


def redis_store(
    link: RedisLink, partitions: int, metrics: Metrics | None = None, *, prefix: str = "imd", **settings: Any
) -> RedisPartitions:
    """What a broker, and timelines, stand on; not open, so that it does nothing by itself."""
    return RedisPartitions(
        link=link,
        clock=reactor,
        metrics=metrics or Metrics(),
        partitions=partitions,
        prefix=prefix,
        make_token=lambda: token_hex(6),
        **settings,
    )
