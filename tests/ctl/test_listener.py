"""A listener comes back after losses, ever more slowly, and ends when it should."""

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.client.core import Pushed
from imd.ctl.listener import STEADY_SECONDS, Listener
from imd.errors import AuthRefused, ImdError, PeerUnavailable

HI = Pushed(1000, b"hi")


class Connection:
    """A connection that the test ends."""

    def __init__(self, on_push: Callable[[Pushed], None]) -> None:
        self.push = on_push
        self.trouble: ImdError | None = None
        self.hung_up = False
        self._gone: Deferred[None] = Deferred()

    async def close(self) -> None:
        self.hung_up = True

    async def closed(self) -> None:
        await self._gone

    def lose(self, trouble: ImdError) -> None:
        self.trouble = trouble
        self._gone.callback(None)


class ListenerTests(SynchronousTestCase):
    """On a clock, with connections of the test's own."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.connections: list[Connection] = []
        self.refusals: list[ImdError] = []  # what the next tries fail with
        self.looking_up: Deferred[None] | None = None  # what they wait for first
        self.shown: list[Pushed] = []
        self.said: list[str] = []

    async def connect(self, on_push: Callable[[Pushed], None]) -> Connection:
        if self.looking_up is not None:
            await self.looking_up
        if self.refusals:
            raise self.refusals.pop(0)
        self.connections.append(Connection(on_push))
        return self.connections[-1]

    def start(self, count: int = 0) -> "Deferred[None]":
        self.listener = Listener(
            clock=self.clock,
            connect=self.connect,
            show=self.shown.append,
            say=self.said.append,
            count=count,
            jitter=lambda: 0.5,
        )
        return Deferred.fromCoroutine(self.listener.run())

    def lose(self, seconds: float = 0) -> float:
        """The connection is lost after it held for ``seconds``; how long the next one was waited for."""
        self.clock.advance(seconds)
        before = len(self.connections)
        self.connections[-1].lose(PeerUnavailable("the connection ended"))
        (call,) = self.clock.getDelayedCalls()
        waited = call.getTime() - self.clock.seconds()
        self.assertIn(f"the connection ended; again in {waited:.1f} s", self.said[-1])
        self.clock.advance(waited)
        self.assertEqual(len(self.connections), before + 1)
        return waited

    def test_pushes_are_shown(self) -> None:
        """And counted."""
        done = self.start()
        self.connections[0].push(HI)
        self.assertEqual((self.shown, self.listener.received), ([HI], 1))
        self.assertNoResult(done)

    def test_count_ends_it(self) -> None:
        """After exactly as many, even when more came in the same read; the connection is hung up."""
        done = self.start(count=2)
        self.connections[0].push(HI)
        self.assertFalse(self.listener.complete)
        self.connections[0].push(HI)
        self.connections[0].push(HI)
        self.successResultOf(done)
        self.assertEqual(self.shown, [HI, HI])
        self.assertTrue(self.listener.complete)
        self.assertTrue(self.connections[0].hung_up)

    def test_losses_are_mended_ever_more_slowly(self) -> None:
        """Each wait is about half as long again."""
        self.start()
        waits = [self.lose() for _ in range(6)]
        self.assertEqual(self.listener.losses, 6)
        self.assertTrue(all(connection.hung_up for connection in self.connections[:-1]))
        self.assertLess(waits[0], 2)
        self.assertGreater(waits[5], 3 * waits[0])

    def test_steady_connection_starts_anew(self) -> None:
        """A loss after a long time is mended soon."""
        self.start()
        waits = [self.lose() for _ in range(8)]
        self.assertLess(self.lose(STEADY_SECONDS), waits[-1] / 3)

    def test_away_server_is_tried_again(self) -> None:
        """Once a connection stood, a refusal is no end."""
        done = self.start()
        self.refusals = [PeerUnavailable("refused")] * 3
        self.connections[0].lose(PeerUnavailable("the connection ended"))
        for _ in range(4):
            self.clock.advance(60)
        self.assertEqual(len(self.connections), 2)
        self.assertEqual([line.partition(";")[0] for line in self.said], ["the connection ended", *["refused"] * 3])
        self.assertNoResult(done)

    def test_first_refusal_is_the_end(self) -> None:
        """Nobody there, or a slip in the address."""
        self.refusals = [PeerUnavailable("refused")]
        self.failureResultOf(self.start(), PeerUnavailable)

    def test_bad_credentials_are_the_end(self) -> None:
        """At a new connection, and when they turn bad during one."""
        done = self.start()
        self.connections[0].lose(AuthRefused("expired"))
        self.failureResultOf(done, AuthRefused)
        done = self.start()
        self.refusals = [AuthRefused("expired")]
        self.lose_without_return()
        self.failureResultOf(done, AuthRefused)

    def lose_without_return(self) -> None:
        """The connection is lost, and the next try made."""
        self.connections[-1].lose(PeerUnavailable("the connection ended"))
        self.clock.advance(60)

    def test_stop_ends_a_connection(self) -> None:
        """It is hung up first."""
        done = self.start()
        self.listener.stop()
        self.successResultOf(done)
        self.assertTrue(self.connections[0].hung_up)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_ends_a_wait(self) -> None:
        """No timer is left."""
        done = self.start()
        self.connections[0].lose(PeerUnavailable("the connection ended"))
        self.listener.stop()
        self.successResultOf(done)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_ends_a_try(self) -> None:
        """Even one that fails for it with a word of its own, as the look-up of a name does."""
        done = self.start()
        self.looking_up = Deferred(lambda result: result.errback(PeerUnavailable("no such name")))
        self.lose_without_return()
        self.listener.stop()
        self.successResultOf(done)
        self.assertEqual(self.clock.getDelayedCalls(), [])
