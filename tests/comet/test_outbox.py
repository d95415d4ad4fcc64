"""Slow consumers: what is held, in which order, and what gives way."""

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.comet.drop import Drop
from imd.comet.held import ENTRY_BYTES
from imd.comet.load import Load
from imd.comet.outbox import WRITE_BYTES, Outbox
from imd.comet.policy import SlowPolicy
from imd.comet.reservoir import Reservoir
from imd.metrics import Metrics
from imd.protocol.wire import Wire
from tests.support.comet_fakes import FakeConnection, FakeSink

DISCONNECT, OLDEST, LATEST = SlowPolicy


def load(body: bytes, policy: SlowPolicy = DISCONNECT, room: str = "", packets: int = 1) -> Load:
    return Load(Wire(body), packets=packets, policy=policy, room=room)


class OutboxTests(SynchronousTestCase):
    """An outbox for four entries of 10 bytes."""

    def setUp(self) -> None:
        self.connection = FakeConnection()
        self.clock = Clock()
        self.metrics = Metrics()
        limit_bytes = 4 * (10 + ENTRY_BYTES)
        self.reservoir = Reservoir(clock=self.clock, metrics=self.metrics, limit_bytes=limit_bytes)
        self.outbox = Outbox(connection=self.connection, reservoir=self.reservoir)
        session: Any = _Pauses(self.outbox)
        self.connection.session = session

    def offer(self, *bodies: bytes, policy: SlowPolicy = DISCONNECT, room: str = "") -> list[Drop | None]:
        return [self.outbox.offer(load(body, policy, room)) for body in bodies]

    def dropped(self, drop: Drop) -> float:
        return self.metrics.drops.value("comet", drop.value)

    def test_straight_to_the_connection(self) -> None:
        """While it takes more, each wire is one write and nothing is held."""
        self.assertEqual(self.offer(b"a", b"b"), [None, None])
        self.assertTrue(self.outbox.reply(b"c"))
        self.assertEqual(self.connection.writes, [b"a", b"b", b"c"])
        self.assertEqual((self.reservoir.size_bytes, self.outbox.packets_out), (0, 3))

    def test_held_in_order_and_joined(self) -> None:
        """Pushes and replies share one order; a client that reads again gets them in one write."""
        self.outbox.pause()
        self.offer(b"a")
        self.outbox.reply(b"b")
        self.offer(b"c", policy=OLDEST)
        self.assertEqual(self.connection.writes, [])
        self.outbox.resume()
        self.assertEqual(self.connection.writes, [b"abc"])
        self.offer(b"d")
        self.assertEqual(self.connection.writes, [b"abc", b"d"])

    def test_disconnect_when_full(self) -> None:
        """The fifth does not fit: all are lost, and nothing later slips through the hole."""
        self.outbox.pause()
        self.assertEqual(self.offer(*[b"x" * 10] * 5, b"y"), [None] * 4 + [Drop.SLOW_CONSUMER, Drop.CLOSING])
        self.assertFalse(self.outbox.reply(b"z"))
        self.outbox.resume()
        self.assertEqual(self.connection.writes, [])
        self.assertEqual(self.dropped(Drop.OUTBOX_LOST), 4)
        self.assertEqual((self.outbox.drops, self.outbox.packets_out, self.reservoir.size_bytes), (6, 0, 0))

    def test_drop_oldest(self) -> None:
        """The oldest push gives way to the newest, and to a reply; a reply never does."""
        self.outbox.pause()
        self.outbox.reply(b"r" * 10)
        self.offer(*(bytes([n]) * 10 for n in range(1, 5)), policy=OLDEST)
        self.outbox.reply(b"s" * 10)
        self.outbox.resume()
        self.assertEqual(self.connection.written, b"r" * 10 + b"\3" * 10 + b"\4" * 10 + b"s" * 10)
        self.assertEqual((self.dropped(Drop.OUTBOX_OLDEST), self.outbox.drops), (2, 2))

    def test_drop_oldest_takes_nothing_that_must_stay(self) -> None:
        """A room's push cannot push out an inbox's: it is dropped itself, and what it could evict in vain stays."""
        self.outbox.pause()
        self.offer(*[b"i" * 10] * 3)
        self.offer(b"o" * 10, policy=OLDEST)
        self.assertEqual(self.offer(b"x" * 300, policy=OLDEST), [Drop.FULL])
        self.assertEqual(self.dropped(Drop.OUTBOX_OLDEST), 0)
        self.outbox.resume()
        self.assertEqual(self.connection.written, b"i" * 30 + b"o" * 10)

    def test_latest_only(self) -> None:
        """One push per room is held, at the place of the newest."""
        self.outbox.pause()
        self.offer(b"a1", b"a2", policy=LATEST, room="a")
        self.offer(b"b1", policy=LATEST, room="b")
        self.outbox.reply(b"r")
        self.offer(b"a3", policy=LATEST, room="a")
        self.outbox.resume()
        self.assertEqual(self.connection.writes, [b"b1ra3"])
        self.assertEqual(self.dropped(Drop.OUTBOX_SUPERSEDED), 2)

    def test_too_large_for_any_outbox(self) -> None:
        """It is dropped alone; under DISCONNECT it ends the connection."""
        self.outbox.pause()
        self.assertEqual(self.offer(b"x" * 5000, policy=OLDEST), [Drop.FULL])
        self.assertEqual(self.offer(b"x" * 5000, policy=LATEST, room="a"), [Drop.FULL])
        self.assertEqual(self.offer(b"x" * 5000), [Drop.SLOW_CONSUMER])

    def test_too_large_takes_nothing_with_it(self) -> None:
        """The room's newest that fits stays, and the gauges go on reading."""
        self.outbox.pause()
        self.assertEqual(self.offer(b"a1", b"x" * 5000, policy=LATEST, room="a"), [None, Drop.FULL])
        self.clock.advance(3)
        self.assertEqual((self.reservoir.packets, self.reservoir.oldest_seconds), (1, 3))
        self.outbox.resume()
        self.assertEqual(self.connection.writes, [b"a1"])
        self.assertEqual(self.dropped(Drop.OUTBOX_SUPERSEDED), 0)

    def test_replies_are_bounded(self) -> None:
        """Of a client that asks and does not read."""
        self.outbox.pause()
        self.assertEqual([self.outbox.reply(b"x" * 10) for _ in range(5)], [True] * 4 + [False])

    def test_pause_in_the_middle_of_a_resume(self) -> None:
        """What the connection does not want yet stays, in order."""
        self.reservoir.limit_bytes = 10 * WRITE_BYTES
        self.outbox.pause()
        self.offer(b"a" * WRITE_BYTES, b"b" * WRITE_BYTES, b"c")
        self.connection.full_after = 1
        self.outbox.resume()
        self.offer(b"d")
        self.assertEqual([len(data) for data in self.connection.writes], [WRITE_BYTES])
        self.outbox.resume()
        self.assertEqual(self.connection.written, b"a" * WRITE_BYTES + b"b" * WRITE_BYTES + b"cd")

    def test_end_with_flush(self) -> None:
        """All that is held goes out, though the connection has enough; then nothing is taken."""
        self.reservoir.limit_bytes = 10 * WRITE_BYTES
        self.outbox.pause()
        self.offer(b"a" * WRITE_BYTES, b"b")
        self.connection.full_after = 1
        self.outbox.end(flush=True)
        self.assertEqual(self.connection.written, b"a" * WRITE_BYTES + b"b")
        self.assertEqual(self.offer(b"c"), [Drop.CLOSING])
        self.assertEqual(self.reservoir.size_bytes, 0)

    def test_end_over_a_faulty_connection(self) -> None:
        """A flush that fails still ends: nothing stays behind in what all outboxes share."""
        self.reservoir.limit_bytes = 10 * WRITE_BYTES
        self.outbox.pause()
        self.offer(b"a" * WRITE_BYTES, b"b")
        self.connection.faulty = True
        self.assertRaises(ZeroDivisionError, self.outbox.end, flush=True)
        self.assertEqual(self.offer(b"c"), [Drop.CLOSING])
        self.assertEqual((self.reservoir.holders, self.dropped(Drop.OUTBOX_LOST)), (set(), 1))

    def test_framed(self) -> None:
        """A WebSocket client gets frames, shared by all receivers."""
        connection = FakeConnection(framed=True)
        outbox = Outbox(connection=connection, reservoir=self.reservoir)
        wire = load(b"x")
        outbox.offer(wire)
        outbox.pause()
        outbox.offer(wire)
        outbox.resume()
        self.assertIs(connection.writes[0], wire.wire.frame)
        self.assertEqual(connection.writes[1], wire.wire.frame)

    def test_cork(self) -> None:
        """What comes under it is held, pushes and replies; what must go first goes first."""
        self.outbox.cork()
        self.offer(b"a")
        self.outbox.reply(b"b")
        self.assertEqual((self.connection.writes, self.outbox.idle), ([], False))
        self.outbox.uncork(b"first")
        self.offer(b"c")
        self.assertEqual(self.connection.writes, [b"first", b"ab", b"c"])
        self.assertEqual((self.outbox.packets_out, self.outbox.idle), (4, True))

    def test_a_pause_under_the_cork(self) -> None:
        """Is not lost, nor is its end: all orders of pause, resume and cork."""
        self.outbox.cork()
        self.outbox.pause()
        self.offer(b"a")
        self.outbox.uncork(b"1")
        self.assertEqual(self.connection.writes, [b"1"])
        self.outbox.cork()
        self.outbox.resume()
        self.assertEqual(self.connection.writes, [b"1"])
        self.outbox.uncork(b"2")
        self.assertEqual(self.connection.written, b"12a")
        self.outbox.pause()
        self.outbox.cork()
        self.outbox.resume()
        self.offer(b"b")
        self.outbox.uncork(b"3")
        self.assertEqual(self.connection.written, b"3b")

    def test_the_first_fills_the_kernel(self) -> None:
        """What was held stays until there is room."""
        self.outbox.cork()
        self.offer(b"a")
        self.connection.full_after = 1
        self.outbox.uncork(b"1")
        self.assertEqual(self.connection.written, b"1")
        self.outbox.resume()
        self.assertEqual(self.connection.written, b"a")

    def test_uncork_without_a_cork(self) -> None:
        """Writes nothing, nor after the end."""
        self.outbox.uncork(b"1")
        self.outbox.cork()
        self.outbox.end(flush=False)
        self.outbox.uncork(b"1")
        self.assertEqual(self.connection.writes, [])

    def test_end_under_the_cork(self) -> None:
        """What must go first will not, so nothing goes."""
        self.outbox.cork()
        self.offer(b"a")
        self.outbox.end(flush=True)
        self.assertEqual((self.connection.writes, self.dropped(Drop.OUTBOX_LOST)), ([], 1))

    def test_bounded_under_the_cork(self) -> None:
        """As when the client does not read."""
        self.outbox.cork()
        self.assertEqual(self.offer(*[b"x" * 10] * 5), [None] * 4 + [Drop.SLOW_CONSUMER])

    def test_when_idle(self) -> None:
        """Called once, when all has left; not while a write fills the kernel again."""
        self.reservoir.limit_bytes = 10 * WRITE_BYTES
        calls: list[str] = []
        self.outbox.pause()
        self.offer(b"a" * WRITE_BYTES, b"b")
        self.outbox.when_idle(lambda: calls.append("one"))
        self.outbox.when_idle(lambda: calls.append("two"))
        self.connection.full_after = 1
        self.outbox.resume()
        self.assertEqual(calls, [])
        self.outbox.resume()
        self.outbox.pause()
        self.outbox.resume()
        self.assertEqual((calls, self.reservoir.waiting), (["one", "two"], {}))

    def test_when_idle_after_a_cork_or_an_end(self) -> None:
        """Who waits hears of both; after the end at once."""
        calls: list[bool] = []
        self.outbox.cork()
        self.outbox.when_idle(lambda: calls.append(self.outbox.ended))
        self.outbox.uncork(b"1")
        self.outbox.pause()
        self.outbox.when_idle(lambda: calls.append(self.outbox.ended))
        self.outbox.end(flush=False)
        self.outbox.when_idle(lambda: calls.append(self.outbox.ended))
        self.assertEqual((calls, self.reservoir.waiting), ([False, True, True], {}))

    def test_ledger(self) -> None:
        """Whatever happens: offered = dropped at once + written + held + dropped later; what was held has its own account."""
        policies = [DISCONNECT, OLDEST, LATEST]
        for steps in range(200):
            outbox = Outbox(connection=self.connection, reservoir=self.reservoir)
            before = sum(self.metrics.drops.values.values())
            refused = written = 0
            self.connection.writes.clear()
            for step in range(steps % 23):
                match (steps * 7 + step * 5) % 11:
                    case 0 | 1:
                        outbox.resume()
                    case 2 | 3 | 4:
                        outbox.pause()
                policy = policies[(steps + step) % (3 if steps % 2 else 2)]
                drop = outbox.offer(load(b"w", policy, "r"))
                refused += drop is not None
            outbox.end(flush=bool(steps % 3))
            written = len(b"".join(self.connection.writes))
            later = sum(self.metrics.drops.values.values()) - before
            self.assertEqual(steps % 23, refused + written + later)
            self.assertEqual((outbox.packets_out, outbox.drops), (written, refused + later))
            held, out = self.metrics.outbox_held.value(), self.metrics.outbox_written.value()
            self.assertEqual(held, out + sum(self.metrics.drops.values.values()))


class SinkTests(SynchronousTestCase):
    """A connection whose socket may be sent to."""

    def setUp(self) -> None:
        self.sink = FakeSink()
        self.connection = FakeConnection()
        self.connection.sink = self.sink
        reservoir = Reservoir(clock=Clock(), metrics=Metrics(), limit_bytes=10_000)
        self.outbox = Outbox(connection=self.connection, reservoir=reservoir)
        session: Any = _Pauses(self.outbox)
        self.connection.session = session

    def offer(self, *bodies: bytes) -> None:
        for body in bodies:
            self.assertIsNone(self.outbox.offer(load(body)))

    def test_past_the_transport(self) -> None:
        """What the kernel takes needs nobody else; replies go by the transport, which has nothing that waits."""
        self.offer(b"a", b"b")
        self.outbox.reply(b"c")
        self.assertEqual((self.sink.taken, self.connection.writes), ([b"a", b"b"], [b"c"]))
        self.assertEqual(self.outbox.packets_out, 3)

    def test_rest(self) -> None:
        """The transport gets what the kernel did not take; what comes behind it is held until it is gone."""
        self.sink.room = 3
        self.connection.full_after = 1
        self.offer(b"abcde", b"f", b"g")
        self.assertEqual((self.sink.taken, self.connection.writes), ([b"abc"], [b"de"]))
        self.assertEqual(self.outbox.held_packets, 2)
        self.sink.room = 1000
        self.outbox.resume()
        self.offer(b"h")
        self.assertEqual((self.sink.taken, self.connection.writes), ([b"abc", b"h"], [b"de", b"fg"]))
        self.assertEqual(self.outbox.packets_out, 4)

    def test_errors(self) -> None:
        """Full, or broken for good: the transport gets all of it, and says what that means."""
        self.sink.error = BlockingIOError()
        self.offer(b"a")
        self.sink.error = ConnectionResetError()
        self.offer(b"b")
        self.assertEqual(self.connection.writes, [b"a", b"b"])

    def test_only_while_it_flows(self) -> None:
        """Not under a cork, in a pause, or after the end."""
        self.outbox.cork()
        self.offer(b"b")
        self.outbox.uncork(b"a")
        self.outbox.pause()
        self.outbox.cork()
        self.outbox.resume()
        self.offer(b"d")
        self.outbox.uncork(b"c")
        self.assertEqual((self.sink.taken, self.connection.writes), ([], [b"a", b"b", b"c", b"d"]))
        self.offer(b"e")
        self.assertEqual(self.sink.taken, [b"e"])
        self.outbox.end(flush=True)
        self.assertIs(self.outbox.offer(load(b"f")), Drop.CLOSING)
        self.assertEqual(self.sink.taken, [b"e"])

    def test_framed(self) -> None:
        """A WebSocket client's socket gets the frame."""
        self.connection.framed = True
        outbox = Outbox(connection=self.connection, reservoir=self.outbox._reservoir)
        wire = Wire(b"x")
        outbox.offer(Load(wire, packets=1, policy=DISCONNECT))
        self.assertEqual(self.sink.taken, [wire.frame])


class _Pauses:
    """The part of a session that a connection's back-pressure reaches."""

    def __init__(self, outbox: Outbox) -> None:
        self.pause_writing = outbox.pause
