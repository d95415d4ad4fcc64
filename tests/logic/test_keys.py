"""The key ring: what it knows, when it asks for more, and what it does when nobody answers."""

import json
from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import PeerUnavailable
from imd.logic.keys import KeyRing
from imd.logic.verify_key import VerifyKey
from imd.metrics import Metrics
from tests.support.signers import SIGNERS

T = TypeVar("T")


def jwks(*kids: str) -> bytes:
    return json.dumps({"keys": [SIGNERS["ES256"].jwk(kid=kid) for kid in kids]}).encode()


class Url:
    """Answers when told."""

    def __init__(self) -> None:
        self.asked: list[Deferred[bytes]] = []

    def __call__(self) -> Deferred[bytes]:
        self.asked.append(Deferred())
        return self.asked[-1]


class KeyRingTests(SynchronousTestCase):
    """With a URL that answers when told, on a fake clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.metrics = Metrics()
        self.url = Url()
        self.ring = KeyRing(
            keys=[],
            clock=self.clock,
            metrics=self.metrics,
            fetch=self.url,
            refresh_seconds=300,
            again_seconds=10,
        )
        self.addCleanup(self.assert_clean)

    def assert_clean(self) -> None:
        """Closed, it leaves no call on the clock."""
        self.start(self.ring.close())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def start(self, coroutine: Coroutine[Any, Any, T]) -> "Deferred[T]":
        return Deferred.fromCoroutine(coroutine)

    def opened(self, *kids: str) -> None:
        opening = self.start(self.ring.open())
        self.url.asked[-1].callback(jwks(*kids))
        self.successResultOf(opening)

    def kids(self, kid: str = "") -> list[str]:
        return [key.kid for key in self.ring.candidates("ES256", kid)]

    def test_open(self) -> None:
        """It asks at once, and returns when it has been answered."""
        opening = self.start(self.ring.open())
        self.assertNoResult(opening)
        self.assertIsNotNone(self.ring.trouble())
        self.url.asked[0].callback(jwks("a"))
        self.successResultOf(opening)
        self.assertIsNone(self.ring.trouble())
        self.assertIsNone(self.ring.doubt)
        self.assertEqual(self.kids(), ["a"])

    def test_regular_refresh(self) -> None:
        """It asks again in time; the keys are those of the latest answer, and the generation tells that they changed."""
        self.opened("a", "b")
        before = self.ring.generation
        self.clock.advance(300)
        self.url.asked[1].callback(jwks("a", "b"))
        self.assertEqual(self.ring.generation, before)
        self.clock.advance(300)
        self.url.asked[2].callback(jwks("b", "c"))
        self.assertEqual(self.kids(), ["b", "c"])
        self.assertGreater(self.ring.generation, before)

    def test_away_at_the_start(self) -> None:
        """A URL that is away keeps nobody from starting; it is asked again soon, and the trouble is told."""
        opening = self.start(self.ring.open())
        self.url.asked[0].errback(PeerUnavailable("refused"))
        self.successResultOf(opening)
        self.assertEqual(self.ring.trouble(), "refused")
        self.clock.advance(10)
        self.url.asked[1].callback(jwks("a"))
        self.assertIsNone(self.ring.trouble())

    def test_stale_keys_go_on(self) -> None:
        """A URL that goes away, or answers nonsense or nothing usable, leaves the keys as they were."""
        self.opened("a")
        self.clock.advance(300)
        self.url.asked[1].errback(PeerUnavailable("refused"))
        for answer in (b"<html>", b'{"keys": []}'):
            self.assertIsNone(self.ring.trouble())
            self.assertIsNotNone(self.ring.doubt)
            self.assertEqual(self.kids(), ["a"])
            self.clock.advance(10)
            self.url.asked[-1].callback(answer)
        self.assertEqual(self.kids(), ["a"])
        self.assertEqual(sum(self.metrics.backend_seconds.values["jwks", "fetch", "error"][:-1]), 3)

    def test_unknown_kid_asks_at_once(self) -> None:
        """A key that was published a moment ago is found."""
        self.opened("a")
        self.clock.advance(10)
        learning = self.start(self.ring.learn("b"))
        self.assertNoResult(learning)
        self.url.asked[1].callback(jwks("a", "b"))
        self.successResultOf(learning)
        self.assertEqual(self.kids("b"), ["b"])

    def test_known_kid_does_not_ask(self) -> None:
        """Nothing to learn."""
        self.opened("a")
        self.clock.advance(100)
        self.successResultOf(self.start(self.ring.learn("a")))
        self.assertEqual(len(self.url.asked), 1)

    def test_made_up_kids_ask_seldom(self) -> None:
        """However many unknown kids come, the URL is asked once in ten seconds."""
        self.opened("a")
        for _ in range(100):
            self.clock.advance(0.25)
            learning = self.start(self.ring.learn("nobody's"))
            for asked in self.url.asked:
                if not asked.called:
                    asked.callback(jwks("a"))
            self.successResultOf(learning)
        self.assertEqual(len(self.url.asked), 1 + 2)

    def test_many_wait_for_one_answer(self) -> None:
        """Those who come while it is being asked share the answer; one who leaves takes it from nobody."""
        self.opened("a")
        self.clock.advance(10)
        first, second = self.start(self.ring.learn("b")), self.start(self.ring.learn("b"))
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(len(self.url.asked), 2)
        self.url.asked[1].callback(jwks("b"))
        self.successResultOf(second)

    def test_question_replaces_the_regular_one(self) -> None:
        """After an answer in between, the next regular one is a whole interval away."""
        self.opened("a")
        self.clock.advance(200)
        self.start(self.ring.learn("b"))
        self.url.asked[1].callback(jwks("b"))
        self.clock.advance(299)
        self.assertEqual(len(self.url.asked), 2)
        self.clock.advance(1)
        self.assertEqual(len(self.url.asked), 3)

    def test_close_while_asking(self) -> None:
        """Nobody waits for ever, and nothing is asked later."""
        opening = self.start(self.ring.open())
        self.successResultOf(self.start(self.ring.close()))
        self.successResultOf(opening)
        self.clock.advance(1000)
        self.assertEqual(len(self.url.asked), 1)

    def test_bug(self) -> None:
        """A bug while asking is logged, and it is asked again."""
        opening = self.start(self.ring.open())
        self.url.asked[0].errback(ZeroDivisionError())
        self.successResultOf(opening)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.clock.advance(10)
        self.url.asked[1].callback(jwks("a"))
        self.assertEqual(self.kids(), ["a"])


class CandidatesTests(SynchronousTestCase):
    """Which keys a token may meet."""

    def test_by_kid_and_algorithm(self) -> None:
        """The keys of its kid and those without a name, of its algorithm only; all of the algorithm without a kid."""

        def key(name: str, kid: str) -> VerifyKey:
            return VerifyKey.from_file(SIGNERS[name].file, algorithm=name, source="file", kid=kid)

        a, b, nameless, other = key("ES256", "a"), key("ES256", "b"), key("ES256", ""), key("HS256", "a")
        ring = KeyRing(keys=[a, b, nameless, other], clock=Clock(), metrics=Metrics())
        self.assertEqual(ring.candidates("ES256", "a"), [a, nameless])
        self.assertEqual(ring.candidates("ES256", "c"), [nameless])
        self.assertEqual(ring.candidates("ES256", ""), [a, b, nameless])
        self.assertEqual(ring.candidates("HS256", ""), [other])
        self.assertEqual(ring.candidates("RS256", "a"), [])
        self.assertIsNone(ring.trouble())

    def test_without_a_url(self) -> None:
        """Nothing to ask, nothing in doubt: opening, learning and closing return at once."""
        ring = KeyRing(keys=[], clock=Clock(), metrics=Metrics())
        for coroutine in (ring.open(), ring.learn("a"), ring.close()):
            self.successResultOf(Deferred.fromCoroutine(coroutine))
        self.assertIsNone(ring.doubt)
