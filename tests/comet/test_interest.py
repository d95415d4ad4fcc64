"""Rooms that this comet wants, and the races about them."""

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.comet.interest import Interest
from imd.comet.work import Work
from imd.errors import PeerUnavailable, Unavailable
from imd.protocol.rpc import Done, Host
from tests.support.comet_fakes import BOOT, SERVER, FakeLogic

ROOM = "live://1"


class InterestTests(SynchronousTestCase):
    """One room, a linger of ten seconds."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.logic = FakeLogic()
        self.work = Work(clock=self.clock)
        self.interest = Interest(
            server=SERVER, boot=BOOT, logic=self.logic, clock=self.clock, work=self.work, linger_seconds=10
        )

    def hold(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.interest.hold(ROOM))

    def linger(self, seconds: float = 10) -> None:
        self.clock.advance(seconds)
        self.interest.sweep(self.clock.seconds(), 100)

    def wanted(self) -> list[bool]:
        return [call.wanted for call in self.logic.of(Host)]

    def test_first_member_registers(self) -> None:
        """The join goes on when logic has answered, and names who asks."""
        self.logic.held.add(Host)
        held = self.hold()
        self.assertNoResult(held)
        self.assertEqual(self.interest.hosted(), [])
        self.logic.release(Host)
        self.successResultOf(held)
        self.assertEqual(self.logic.of(Host), [Host(SERVER, BOOT, ROOM, True)])
        self.assertEqual(self.interest.hosted(), [ROOM])

    def test_holders_share_one_call(self) -> None:
        """All wait for it; later ones need not."""
        self.logic.held.add(Host)
        holds = [self.hold() for _ in range(3)]
        self.assertFalse(self.interest.hold_hosted(ROOM))
        self.logic.release(Host)
        for held in holds:
            self.successResultOf(held)
        self.assertTrue(self.interest.hold_hosted(ROOM))
        self.successResultOf(self.hold())
        self.assertEqual(self.wanted(), [True])

    def test_last_member_lingers(self) -> None:
        """Only the last, only after the linger; then all is forgotten."""
        for _ in range(2):
            self.successResultOf(self.hold())
        self.interest.drop(ROOM)
        self.linger(100)
        self.interest.drop(ROOM)
        self.linger(9)
        self.assertEqual(self.wanted(), [True])
        self.linger(1)
        self.assertEqual(self.wanted(), [True, False])
        self.assertEqual(self.interest.hosted(), [])
        self.linger(100)
        self.assertEqual(self.wanted(), [True, False])

    def test_one_joins_while_it_lingers(self) -> None:
        """Nothing is asked, and nothing released."""
        self.successResultOf(self.hold())
        self.interest.drop(ROOM)
        self.clock.advance(5)
        self.successResultOf(self.hold())
        self.linger(100)
        self.assertEqual(self.wanted(), [True])

    def test_one_joins_while_it_is_released(self) -> None:
        """It waits for that, then the room is hosted again: the requests cannot overtake each other."""
        self.successResultOf(self.hold())
        self.interest.drop(ROOM)
        self.logic.held.add(Host)
        self.linger()
        held = self.hold()
        self.assertEqual((self.wanted(), self.logic.waiting(Host)), ([True, False], 1))
        self.logic.release(Host)
        self.assertEqual((self.wanted(), self.logic.waiting(Host)), ([True, False, True], 1))
        self.assertNoResult(held)
        self.logic.release(Host)
        self.successResultOf(held)

    def test_one_joins_and_leaves_while_it_is_released(self) -> None:
        """Then nobody is left, and the release stands."""
        self.successResultOf(self.hold())
        self.interest.drop(ROOM)
        self.logic.held.add(Host)
        self.linger()
        held = self.hold()
        held.cancel()
        self.failureResultOf(held, CancelledError)
        self.logic.release(Host)
        self.linger(100)
        self.assertEqual(self.wanted(), [True, False])

    def test_a_release_fails_while_one_joins(self) -> None:
        """Whether it was done is unknown: the room is hosted again before the join is answered."""
        self.successResultOf(self.hold())
        self.interest.drop(ROOM)
        self.logic.held.add(Host)
        self.linger()
        held = self.hold()
        self.logic.release(Host, PeerUnavailable("away"))
        self.assertNoResult(held)
        self.logic.release(Host)
        self.successResultOf(held)
        self.assertEqual(self.wanted(), [True, False, True])

    def test_leaves_while_it_is_hosted(self) -> None:
        """The request ends first, then the room lingers."""
        self.logic.held.add(Host)
        held = self.hold()
        held.cancel()
        self.failureResultOf(held, CancelledError)
        self.linger(100)
        self.assertEqual(self.wanted(), [True])
        self.logic.held.clear()
        self.logic.release(Host)
        self.linger()
        self.assertEqual(self.wanted(), [True, False])

    def test_a_failed_host_fails_all_who_wait(self) -> None:
        """Nobody holds it; as it may have been done, it is released later; the next asks anew."""
        self.logic.held.add(Host)
        holds = [self.hold(), self.hold()]
        self.logic.release(Host, PeerUnavailable("away"))
        for held in holds:
            self.failureResultOf(held, PeerUnavailable)
        self.assertEqual(self.interest.hosted(), [])
        again = self.hold()
        self.logic.release(Host)
        self.successResultOf(again)
        self.linger(100)
        self.assertEqual(self.wanted(), [True, True])

    def test_a_failed_host_is_released(self) -> None:
        """And again until logic answers."""
        self.logic.failing[Host] = PeerUnavailable("away")
        self.failureResultOf(self.hold(), PeerUnavailable)
        self.linger()
        self.linger()
        self.assertEqual(self.wanted(), [True, False, False])
        self.logic.failing.clear()
        self.linger()
        self.linger(100)
        self.assertEqual(self.wanted(), [True, False, False, False])

    def test_a_bug_in_the_link(self) -> None:
        """Who waits is not left waiting."""

        class Broken(FakeLogic):
            async def host(self, request: Host) -> Done:
                raise ZeroDivisionError

        self.interest._logic = Broken()
        self.failureResultOf(self.hold(), Unavailable)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_pinned_room_is_not_released(self) -> None:
        """A renewal that lists it would host it again; as soon as that has ended it is."""
        self.successResultOf(self.hold())
        self.interest.drop(ROOM)
        self.interest.pin([ROOM])
        self.linger()
        self.assertEqual(self.wanted(), [True])
        self.interest.unpin()
        self.assertEqual(self.wanted(), [True, False])

    def test_a_pinned_room_is_joined_again(self) -> None:
        """Then it stays, and lingers anew when it is left."""
        self.successResultOf(self.hold())
        self.interest.drop(ROOM)
        self.interest.pin([ROOM])
        self.linger()
        self.successResultOf(self.hold())
        self.interest.drop(ROOM)
        self.interest.unpin()
        self.assertEqual(self.wanted(), [True])
        self.linger()
        self.assertEqual(self.wanted(), [True, False])

    def test_only_hosted_rooms_are_pinned(self) -> None:
        """A renewal of several pages would host again what was released since it began."""
        self.successResultOf(self.hold())
        self.assertEqual(self.interest.pin([ROOM, "live://never"]), [ROOM])
        self.interest.unpin()
        self.interest.drop(ROOM)
        self.linger()
        self.assertEqual(self.interest.pin([ROOM]), [])
