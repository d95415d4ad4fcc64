"""What presence is told of ends, and in which order."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.comet.channel import Channel
from imd.comet.departures import AT_ONCE, RETRY_SECONDS, Departures
from imd.comet.directory import Directory
from imd.comet.work import Work
from imd.errors import PeerUnavailable
from imd.protocol.rpc import Disconnect
from tests.support.comet_fakes import BOOT, SERVER, FakeLogic, channel


class DeparturesTests(SynchronousTestCase):
    """At most three hundred under way."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.logic = FakeLogic()
        self.directory = Directory(buckets=2, squad_size=512)
        self.reasserted: list[Channel] = []
        self.kicked: list[tuple[Channel, int]] = []
        self.departures = Departures(
            server=SERVER,
            boot=BOOT,
            logic=self.logic,
            directory=self.directory,
            work=Work(clock=self.clock),
            limit=300,
            reassert=self.reasserted.append,
            kick=lambda channel, code: self.kicked.append((channel, code)),
        )

    def told(self) -> list[tuple[str, int]]:
        return [(call.key, call.mid) for call in self.logic.of(Disconnect)]

    def test_told(self) -> None:
        """With this server's name and boot."""
        self.departures.leave("k", 3)
        self.assertEqual(self.logic.calls, [Disconnect(SERVER, BOOT, "k", 3)])
        self.assertEqual(len(self.departures), 0)

    def test_tried_again(self) -> None:
        """With growing pauses, so many times; then it is left to expire."""
        self.logic.failing[Disconnect] = PeerUnavailable("away")
        self.departures.leave("k", 3)
        self.clock.pump(RETRY_SECONDS)
        self.clock.advance(100)
        self.assertEqual(len(self.told()), 1 + len(RETRY_SECONDS))
        self.assertEqual((len(self.departures), self.clock.getDelayedCalls()), (0, []))

    def test_logic_is_back(self) -> None:
        """The next try is the last."""
        self.logic.failing[Disconnect] = PeerUnavailable("away")
        self.departures.leave("k", 3)
        self.logic.failing.clear()
        self.clock.advance(1)
        self.assertEqual((len(self.told()), self.clock.getDelayedCalls()), (2, []))

    def test_the_key_is_here_again(self) -> None:
        """Nothing is told, at once or at the next try."""
        self.directory.put(channel("k"))
        self.departures.leave("k", 3)
        self.assertEqual(self.told(), [])
        self.logic.failing[Disconnect] = PeerUnavailable("away")
        self.departures.leave("l", 3)
        self.directory.put(channel("l"))
        self.clock.advance(100)
        self.assertEqual(self.told(), [("l", 3)])

    def test_a_handshake_comes_to_nothing(self) -> None:
        """What ended meanwhile is told then, each member once."""
        self.departures.enter("k")
        self.departures.enter("k")
        self.departures.leave("k", 3)
        self.departures.left("k", 4)
        self.assertEqual(self.told(), [])
        self.departures.left("k", None)
        self.assertEqual(sorted(self.told()), [("k", 3), ("k", 4)])

    def test_a_handshake_succeeds(self) -> None:
        """The older's end is nobody's business any more."""
        self.departures.enter("k")
        self.departures.leave("k", 3)
        self.directory.put(channel("k"))
        self.departures.left("k", None)
        self.assertEqual(self.told(), [])

    def test_a_handshake_begins_during_a_pause(self) -> None:
        """It need not wait; the next try sees it."""
        self.logic.failing[Disconnect] = PeerUnavailable("away")
        self.departures.leave("k", 3)
        self.departures.enter("k")
        self.assertIsNone(self.successResultOf(Deferred.fromCoroutine(self.departures.settle("k"))))
        self.clock.advance(1)
        self.assertEqual((len(self.told()), len(self.departures)), (1, 0))
        self.logic.failing.clear()
        self.departures.left("k", None)
        self.assertEqual(len(self.told()), 2)

    def test_settle_waits_for_a_request(self) -> None:
        """For that key only."""
        self.logic.held.add(Disconnect)
        self.departures.leave("k", 3)
        other = Deferred.fromCoroutine(self.departures.settle("other"))
        self.assertIsNone(self.successResultOf(other))
        settled = [Deferred.fromCoroutine(self.departures.settle("k")) for _ in range(2)]
        self.assertNoResult(settled[0])
        self.logic.release(Disconnect)
        for deferred in settled:
            self.assertIsNone(self.successResultOf(deferred))

    def test_reassert(self) -> None:
        """A channel that came under the key while it was told as gone is entered again."""
        self.logic.held.add(Disconnect)
        self.departures.leave("k", 3)
        newcomer = channel("k")
        self.directory.put(newcomer)
        self.logic.release(Disconnect)
        self.assertEqual(self.reasserted, [newcomer])

    def test_kicked_before_it_is_in(self) -> None:
        """The kick is for whoever gets in with the key, once; it is forgotten when nobody does, or no handshake runs."""
        self.departures.kick("k", 7)
        for gets_in in (False, True, True):
            self.departures.enter("k")
            self.departures.kick("k", 8 if gets_in else 6)
            newcomer = channel("k")
            if gets_in:
                self.directory.put(newcomer)
            self.departures.left("k", None)
            self.assertEqual(self.kicked, [(newcomer, 8)] if gets_in else [])
            self.departures.enter("k")
            self.departures.left("k", None)
            self.assertEqual(len(self.kicked), int(gets_in))
            self.kicked.clear()
            self.directory.remove(newcomer)

    def test_pinned(self) -> None:
        """A renewal that lists the key would enter it again: the end is told after it."""
        self.departures.pin(["k"])
        self.departures.pin(["k"])
        self.departures.leave("k", 3)
        self.departures.unpin(["k"])
        self.assertEqual(self.told(), [])
        self.departures.unpin(["k"])
        self.assertEqual(self.told(), [("k", 3)])

    def test_a_handshake_waits_for_a_renewal(self) -> None:
        """That lists its key: done after the ``connect``, it would put the older connection's member in its place."""
        self.departures.pin(["k"])
        self.departures.enter("k")
        self.assertTrue(self.departures.entering("k"))
        settled = [Deferred.fromCoroutine(self.departures.settle("k")) for _ in range(2)]
        for each in settled:
            self.assertNoResult(each)
        self.departures.unpin(["k"])
        for each in settled:
            self.successResultOf(each)
        self.departures.left("k", None)
        self.assertFalse(self.departures.entering("k"))

    def test_bounded(self) -> None:
        """So many requests at once, and so many departures in all."""
        self.logic.held.add(Disconnect)
        for number in range(400):
            self.departures.leave(f"k{number}", 1)
        self.assertEqual((self.logic.waiting(Disconnect), len(self.departures)), (AT_ONCE, 300))
        for _ in range(300):
            self.logic.release(Disconnect)
        self.assertEqual((len(self.told()), len(self.departures)), (300, 0))
