"""A comet that waits for presence before it takes clients."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import PeerUnavailable
from imd.protocol.rpc import Renew
from imd.service.leased_server import LOOK_SECONDS, PATIENCE_SECONDS, LeasedServer
from tests.support.comet_fakes import Comet


class LeasedServerTests(SynchronousTestCase):
    """Over a logic that answers or not."""

    def setUp(self) -> None:
        self.comet = Comet()
        self.unnamed: str | None = None  # what the registry says
        self.part = LeasedServer(self.comet.server, clock=self.comet.clock, unnamed=lambda: self.unnamed)

    def test_waits_for_the_lease(self) -> None:
        """Open only once logic has granted it; closed, it is given back."""
        self.comet.logic.failing[Renew] = PeerUnavailable("logic is away")
        opening = Deferred.fromCoroutine(self.part.open())
        self.comet.clock.pump([LOOK_SECONDS] * 100)
        self.assertNoResult(opening)
        self.assertIn("logic is away", self.part.trouble() or "")
        self.comet.logic.failing.clear()
        self.comet.clock.pump([LOOK_SECONDS] * 25)
        self.successResultOf(opening)
        self.assertIsNone(self.part.trouble())
        self.successResultOf(Deferred.fromCoroutine(self.part.close()))
        self.assertTrue(self.comet.logic.of(Renew)[-1].leaving)
        self.assertEqual(self.comet.clock.getDelayedCalls(), [])

    def test_waits_for_the_name(self) -> None:
        """While its name may be a living comet's it does not ask for the lease, which would be that one's end."""
        self.unnamed = "comet1 is not registered yet"
        opening = Deferred.fromCoroutine(self.part.open())
        self.comet.clock.pump([LOOK_SECONDS] * 100)
        self.assertNoResult(opening)
        self.assertEqual(self.comet.logic.of(Renew), [])
        self.unnamed = None
        self.comet.clock.pump([LOOK_SECONDS] * 2)
        self.successResultOf(opening)
        self.successResultOf(Deferred.fromCoroutine(self.part.close()))

    def test_says_what_it_waits_for(self) -> None:
        """Once, after a while."""
        self.comet.logic.failing[Renew] = PeerUnavailable("logic is away")
        with capturedLogs() as events:
            opening = Deferred.fromCoroutine(self.part.open())
            self.comet.clock.pump([LOOK_SECONDS] * round(4 * PATIENCE_SECONDS / LOOK_SECONDS))
        said = [line for line in map(formatEvent, events) if line.startswith("no clients are accepted yet")]
        self.assertEqual(len(said), 1)
        self.assertIn("logic is away", said[0])
        opening.cancel()
        self.failureResultOf(opening, CancelledError)

    def test_stopped_while_it_waits(self) -> None:
        """The server is stopped, so that nothing of it goes on."""
        self.comet.logic.failing[Renew] = PeerUnavailable("logic is away")
        opening = Deferred.fromCoroutine(self.part.open())
        opening.cancel()
        self.failureResultOf(opening, CancelledError)
        self.assertEqual(self.comet.clock.getDelayedCalls(), [])
