"""Keeping presence alive."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.renewal import PAGE, RESENDS, RETRY_SECONDS
from imd.errors import AuthRefused, CloseReason, PeerUnavailable, PresenceUnavailable, ServerIdTaken
from imd.protocol.rpc import Connect, Disconnect, Host, Renew, Renewed
from tests.support.comet_fakes import BOOT, SERVER, Comet


class RenewalTests(SynchronousTestCase):
    """Every ten seconds."""

    def renewals(self, comet: Comet) -> list[Renew]:
        """Since the last look."""
        found = comet.logic.of(Renew)
        comet.logic.calls.clear()
        return found

    def test_lease_without_clients(self) -> None:
        """Each round says at least that this comet lives."""
        comet = Comet()
        comet.server.start()
        comet.clock.pump([1] * 20)
        self.assertEqual(self.renewals(comet), [Renew(SERVER, BOOT)] * 3)

    def test_every_entry_within_a_cycle(self) -> None:
        """A share each round, all of them in time; rooms each round."""
        comet = Comet(full_cycle_seconds=100)
        for number in range(55):
            comet.client(f"k{number}", mid=number, room_id="live://1")
        comet.server.start()
        comet.clock.pump([10] * 9)
        renewals = self.renewals(comet)
        self.assertEqual([len(call.entries) for call in renewals], [6] * 10)
        self.assertEqual({entry for call in renewals for entry in call.entries}, {(f"k{n}", n) for n in range(55)})
        self.assertEqual({call.rooms for call in renewals}, {(("live://1", 55),)})

    def test_pages(self) -> None:
        """Never more than a page's entries or rooms."""
        comet = Comet(full_cycle_seconds=10)
        for number in range(PAGE + 200):
            comet.client(f"k{number}", room_id=f"live://{number}")
        comet.server.start()
        renewals = self.renewals(comet)
        self.assertEqual([(len(call.entries), len(call.rooms)) for call in renewals], [(PAGE, PAGE), (200, 200)])

    def test_lapsed(self) -> None:
        """Everything at once, page after page; then the slow cycle goes on."""
        comet = Comet()
        for number in range(PAGE + 1):
            comet.client(f"k{number}")
        comet.server.start()
        self.renewals(comet)
        comet.logic.held.add(Renew)
        comet.logic.renewed = Renewed(lease_lapsed=True)
        comet.clock.advance(10)
        comet.logic.renewed = Renewed()
        for _ in range(3):
            self.assertEqual(comet.logic.waiting(Renew), 1)
            comet.logic.release(Renew)
        self.assertEqual(comet.logic.waiting(Renew), 0)
        self.assertEqual([len(call.entries) for call in self.renewals(comet)], [17, PAGE, 1])
        self.assertIsNone(comet.server.trouble())

    def test_lapsed_and_logic_goes(self) -> None:
        """A part of everything was sent when logic went: the next round sends everything again."""
        comet = Comet()
        for number in range(PAGE + 1):
            comet.client(f"k{number}")
        comet.server.start()
        self.renewals(comet)
        comet.logic.held.add(Renew)
        comet.logic.renewed = Renewed(lease_lapsed=True)
        comet.clock.advance(10)
        comet.logic.renewed = Renewed()
        for error in (None, None, PeerUnavailable("away")):
            comet.logic.release(Renew, error)
        comet.logic.held.clear()
        comet.clock.advance(RETRY_SECONDS)
        self.assertEqual([len(call.entries) for call in self.renewals(comet)], [17, PAGE, 1, PAGE, 1])

    def test_lapses_again_and_again(self) -> None:
        """Bounded in a round, and told as trouble."""
        comet = Comet()
        comet.logic.renewed = Renewed(lease_lapsed=True)
        comet.server.start()
        self.assertEqual(len(self.renewals(comet)), 1 + RESENDS)
        self.assertIn("forgetting", comet.server.trouble() or "")

    def test_lapsed_when_one_entry_is_checked(self) -> None:
        """The check renewed the lease: the round that resends everything must come all the same."""
        comet = Comet()
        channel = None
        for number in range(5):
            comet.client(f"k{number}")
        comet.server.start()
        self.renewals(comet)
        channel = comet.server._edge.directory.find("k0")
        assert channel is not None
        comet.logic.held.add(Renew)
        comet.logic.renewed = Renewed(lease_lapsed=True)
        comet.server._check(channel)
        comet.logic.renewed = Renewed()
        comet.logic.held.clear()
        comet.logic.release(Renew)
        self.assertEqual([len(call.entries) for call in self.renewals(comet)], [1, 5])

    def test_replaced(self) -> None:
        """A session whose key is elsewhere by now ends; a newer one here with that key does not."""
        comet = Comet(full_cycle_seconds=10)
        moved, older = comet.client("moved"), comet.client("back")
        comet.logic.held.add(Renew)
        comet.logic.renewed = Renewed(replaced=("moved", "back", "never here"))
        comet.server.start()
        comet.logic.renewed = Renewed()
        newer = comet.client("back")
        comet.logic.release(Renew)
        self.assertEqual(moved.closes, [CloseReason.REPLACED])
        self.assertEqual((older.closes, newer.closes), ([CloseReason.REPLACED], []))
        self.assertEqual(comet.closed(CloseReason.REPLACED), 2)

    def test_who_left_is_not_renewed(self) -> None:
        """Neither by a list made before, nor by a page under way: presence hears of the end after it."""
        comet = Comet(full_cycle_seconds=10)
        connection = comet.client("k")
        comet.logic.held.add(Renew)
        comet.server.start()
        connection.lose()
        self.assertEqual(comet.logic.of(Disconnect), [])
        comet.logic.release(Renew)
        self.assertEqual([call.key for call in comet.logic.of(Disconnect)], ["k"])

    def test_a_room_listed_is_not_released_meanwhile(self) -> None:
        """The renewal would host it again."""
        comet = Comet(linger_seconds=5, renew_seconds=1000, full_cycle_seconds=1000)
        comet.client("k", room_id="live://1").lose()
        comet.logic.held.add(Renew)
        comet.server.start()
        comet.clock.pump([1] * 8)
        self.assertEqual([call.wanted for call in comet.logic.of(Host)], [True])
        comet.logic.release(Renew)
        comet.clock.pump([1] * 8)
        self.assertEqual([call.wanted for call in comet.logic.of(Host)], [True, False])

    def test_online(self) -> None:
        """Elsewhere as of the last round, here as of now; never below what is here; forgotten with the room."""
        comet = Comet(linger_seconds=1)
        renewal = comet.server._edge.renewal
        comet.logic.elsewhere = {"live://1": 7, "live://2": -5}
        first = comet.client("a", room_id="live://1")
        comet.client("b", room_id="live://2")
        self.assertEqual(renewal.online("live://1"), 1)
        comet.server.start()
        self.assertEqual((renewal.online("live://1"), renewal.online("live://2")), (8, 1))
        comet.client("c", room_id="live://1")
        self.assertEqual(renewal.online("live://1"), 9)
        for connection in (first,):
            connection.lose()
        self.assertEqual(renewal.online("live://1"), 8)
        comet.client("c").lose()
        comet.clock.pump([1] * 20)
        self.assertEqual((renewal.online("live://1"), renewal.online("never")), (0, 0))

    def test_trouble(self) -> None:
        """Until presence has answered, and while it does not; the rounds go on."""
        comet = Comet()
        self.assertIsNotNone(comet.server.trouble())
        comet.server.start()
        self.assertIsNone(comet.server.trouble())
        for error in (PeerUnavailable("logic is away"), ServerIdTaken("a newer boot lives")):
            comet.logic.failing[Renew] = error
            comet.clock.advance(10)
            self.assertIn(str(error), comet.server.trouble() or "")
            comet.logic.failing.clear()
            comet.clock.advance(10)
            self.assertIsNone(comet.server.trouble())

    def test_says_that_it_is_public(self) -> None:
        """On every page, so that logic can refuse it whenever."""
        comet = Comet(public=True, full_cycle_seconds=10)
        for number in range(PAGE + 1):
            comet.client(f"k{number}")
        comet.server.start()
        self.assertEqual([call.public for call in self.renewals(comet)], [True, True])

    def test_refused(self) -> None:
        """A comet that must not serve, and one whose id is another's, are told so; other failures are not final."""
        for error in (AuthRefused("public"), ServerIdTaken("a newer boot lives")):
            comet = Comet()
            comet.logic.failing[Renew] = error
            comet.server.start()
            self.assertEqual(comet.refusals, [error])
            self.assertEqual(comet.server.trouble(), str(error))
        comet = Comet()
        comet.logic.failing[Renew] = PresenceUnavailable("Redis is away")
        comet.server.start()
        self.assertEqual(comet.refusals, [])

    def test_comes_back_soon(self) -> None:
        """After a round that failed the next one does not wait its ten seconds; after one that succeeded it does."""
        comet = Comet()
        comet.logic.failing[Renew] = PeerUnavailable("logic is away")
        comet.server.start()
        comet.clock.pump([RETRY_SECONDS] * 3)
        self.assertEqual(len(self.renewals(comet)), 4)
        comet.logic.failing.clear()
        comet.clock.advance(RETRY_SECONDS)
        self.assertIsNone(comet.server.trouble())
        comet.clock.pump([1] * 9)
        self.assertEqual(len(self.renewals(comet)), 1)
        comet.clock.advance(1)
        self.assertEqual(len(self.renewals(comet)), 1)

    def test_a_lost_answer(self) -> None:
        """It may have said that the lease had lapsed: the next round has everything, those after it their share."""
        comet = Comet(full_cycle_seconds=100)
        for number in range(20):
            comet.client(f"k{number}")
        comet.server.start()
        comet.logic.failing[Renew] = PresenceUnavailable("no answer within 3 s")
        comet.clock.advance(10)
        comet.logic.failing.clear()
        self.renewals(comet)
        comet.clock.advance(RETRY_SECONDS)
        comet.clock.advance(10)
        self.assertEqual([len(call.entries) for call in self.renewals(comet)], [20, 2])

    def test_a_round_that_fails_after_stop(self) -> None:
        """It schedules nothing."""
        comet = Comet()
        comet.logic.held.add(Renew)
        renewal = comet.server._edge.renewal
        renewal.start()
        renewal.stop()
        comet.logic.release(Renew, PeerUnavailable("logic is away"))
        self.assertEqual(comet.clock.getDelayedCalls(), [])

    def test_one_round_at_a_time(self) -> None:
        """A slow answer delays the next."""
        comet = Comet()
        comet.logic.held.add(Renew)
        comet.server.start()
        comet.clock.pump([10] * 5)
        self.assertEqual(len(comet.logic.of(Renew)), 1)
        comet.logic.release(Renew)
        comet.clock.advance(10)
        self.assertEqual(len(comet.logic.of(Renew)), 2)

    def test_a_handshake_and_a_renewal_of_one_key(self) -> None:
        """They wait for each other: whichever was done last, presence would name its member."""
        comet = Comet(full_cycle_seconds=10)
        comet.client("k", mid=1)
        comet.logic.held.add(Renew)
        comet.server.start()
        comet.client("k", mid=2)
        self.assertEqual([(call.key, call.mid) for call in comet.logic.of(Connect)], [("k", 1)])
        comet.logic.held.add(Connect)
        comet.logic.release(Renew)
        self.assertEqual([call.mid for call in comet.logic.of(Connect)], [1, 2])
        comet.clock.advance(7)
        comet.clock.advance(3)
        self.assertEqual([call.entries for call in comet.logic.of(Renew)], [(("k", 1),), ()])
