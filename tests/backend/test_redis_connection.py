"""One connection to a Redis, with the bytes in a test's hand."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.redis_connection import MAX_WAITING, Argument, RedisConnection
from imd.backend.redis_refusal import RedisRefusal
from imd.errors import DeadlineExceeded, Unavailable


class RedisConnectionTests(SynchronousTestCase):
    """A connection without TLS."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.transport = StringTransport()
        self.connection = RedisConnection(label="redis", clock=self.clock, verify=None)
        self.connection.makeConnection(self.transport)

    def tearDown(self) -> None:
        if self.connection.connected:
            self.connection.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def call(self, *arguments: Argument) -> Deferred[object]:
        return Deferred.fromCoroutine(self.connection.call(*arguments, seconds=2))

    def test_golden_bytes(self) -> None:
        """Bytes go out as they are, a str as UTF-8, an int in decimal."""
        calling = self.call("SET", b"\x00\xff\r\n", "ü", -7)
        self.assertEqual(
            self.transport.value(),
            b"*4\r\n$3\r\nSET\r\n$4\r\n\x00\xff\r\n\r\n$2\r\n\xc3\xbc\r\n$2\r\n-7\r\n",
        )
        self.connection.dataReceived(b"+OK\r\n")
        self.assertEqual(self.successResultOf(calling), b"OK")

    def test_every_kind_of_reply_at_every_cut(self) -> None:
        """Bytes stay bytes, whatever they look like; replies come in order."""
        replies = b"$3\r\n007\r\n:7\r\n$-1\r\n*3\r\n$1\r\n\xff\r\n*1\r\n:1\r\n*-1\r\n*0\r\n"
        for cut in range(len(replies)):
            calls = [self.call("X") for _ in range(5)]
            self.connection.dataReceived(replies[:cut])
            self.connection.dataReceived(replies[cut:])
            answers = [self.successResultOf(each) for each in calls]
            self.assertEqual(answers, [b"007", 7, None, [b"\xff", [1], None], []], cut)

    def test_an_error_is_a_refusal(self) -> None:
        """And the next reply is the next call's."""
        refused, answered = self.call("A"), self.call("B")
        self.connection.dataReceived(b"-NOSCRIPT No matching script.\r\n:1\r\n")
        failure = self.failureResultOf(refused, RedisRefusal)
        self.assertEqual(failure.value.word, "NOSCRIPT")
        self.assertEqual(self.successResultOf(answered), 1)

    def test_a_deadline_ends_the_connection(self) -> None:
        """The call that waited too long says so; those behind it fail with it; no command may lie in wait."""
        first, second = self.call("A"), self.call("B")
        self.clock.advance(2)
        self.failureResultOf(first, DeadlineExceeded)
        self.assertTrue(self.transport.disconnected or self.transport.disconnecting)
        self.connection.connectionLost(Failure(ConnectionLost()))
        self.assertIsInstance(self.failureResultOf(second).value, Unavailable)

    def test_a_deadline_of_its_own(self) -> None:
        """Each call has its whole time: the one timer is early for those behind, and goes on."""
        first = self.call("A")
        self.clock.advance(1.5)
        second = self.call("B")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.connection.dataReceived(b":1\r\n")
        self.assertEqual(self.successResultOf(first), 1)
        self.clock.advance(1.9)
        self.assertNoResult(second)
        self.clock.advance(0.1)
        self.assertEqual(str(self.failureResultOf(second, DeadlineExceeded).value), "redis: no answer within 2 s")

    def test_a_cancelled_call_keeps_the_order(self) -> None:
        """Its reply comes all the same, and is nobody else's."""
        cancelled, answered = self.call("A"), self.call("B")
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.connection.dataReceived(b":1\r\n:2\r\n")
        self.assertEqual(self.successResultOf(answered), 2)

    def test_a_lost_connection(self) -> None:
        """Fails what is under way and what comes, with the reason, and tells who waits for it."""
        calling = self.call("A")
        losing = Deferred.fromCoroutine(self.connection.lost())
        self.assertNoResult(losing)
        self.connection.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.successResultOf(losing), "it closed the connection")
        failure = self.failureResultOf(calling, Unavailable)
        self.assertEqual(str(failure.value), "redis: it closed the connection")
        self.failureResultOf(self.call("B"), Unavailable)
        self.failureResultOf(Deferred.fromCoroutine(self.connection.opened()), Unavailable)

    def test_a_lost_connection_leaves_no_timer(self) -> None:
        """However many calls were under way, each with a deadline of its own."""
        calls = []
        for _ in range(4):
            calls.append(self.call("A"))
            self.clock.advance(0.1)
        self.connection.connectionLost(Failure(ConnectionLost()))
        for calling in calls:
            self.failureResultOf(calling, Unavailable)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_garbage_ends_it(self) -> None:
        """Something else listens there."""
        calling = self.call("A")
        self.connection.dataReceived(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.connection.connectionLost(Failure(ConnectionDone()))
        failure = self.failureResultOf(calling, Unavailable)
        self.assertIn("does not speak Redis' protocol", str(failure.value))

    def test_an_answer_that_nobody_asked_for(self) -> None:
        """It would be taken for the next call's."""
        self.connection.dataReceived(b":1\r\n")
        self.assertTrue(self.transport.disconnected or self.transport.disconnecting)
        self.failureResultOf(self.call("X"), Unavailable)

    def test_a_late_answer(self) -> None:
        """Nor is it the next call's when it comes after its own has given up."""
        first, second = self.call("A"), self.call("B")
        self.clock.advance(2)
        self.connection.dataReceived(b":1\r\n")
        self.failureResultOf(first, DeadlineExceeded)
        self.assertNoResult(second)
        self.connection.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(second, Unavailable)

    def test_calls_are_bounded(self) -> None:
        """Past the limit a call fails at once."""
        for _ in range(MAX_WAITING):
            self.call("X")
        self.failureResultOf(self.call("X"), Unavailable)
        self.connection.dataReceived(b":1\r\n" * MAX_WAITING)
        calling = self.call("X")
        self.connection.dataReceived(b":2\r\n")
        self.assertEqual(self.successResultOf(calling), 2)
