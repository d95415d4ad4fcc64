"""Finding what never came."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.inspection import AGAIN_SECONDS, GRACE_SECONDS, TICKS
from imd.comet.position import Stage
from imd.errors import CloseReason, DeadlineExceeded
from imd.protocol.rpc import Follow, Read
from imd.protocol.timeline import Place
from tests.support.comet_fakes import channel
from tests.support.following import TIMELINE, Member, Scene


class InspectionTests(SynchronousTestCase):
    """A round in 30 seconds."""

    def setUp(self) -> None:
        self.scene = Scene(check_seconds=30)
        self.scene.follower.start()
        self.addCleanup(self.scene.follower.stop)
        self.seen = 0

    def wait(self, seconds: float) -> None:
        for _ in range(int(seconds * 4)):
            self.scene.clock.advance(0.25)
            self.scene.turns(4)

    def reads(self) -> list[Follow]:
        """Those asked since the last look."""
        follows = [follow for read in self.scene.logic.of(Read) for follow in read.follows]
        new, self.seen = follows[self.seen :], len(follows)
        return new

    def test_a_message_that_never_came(self) -> None:
        """Is written within a round and two seconds."""
        members = [self.scene.join(key) for key in "abc"]
        self.scene.push(b"lost")
        self.wait(30 + 30 / TICKS + 2 * GRACE_SECONDS + 1)
        self.assertEqual([member.seqs() for member in members], [[1]] * 3)
        self.assertEqual([member.stage() for member in members], [Stage.LIVE] * 3)
        self.assertEqual(self.scene.metrics.catch_ups.value("check"), 3)

    def test_one_that_is_on_its_way(self) -> None:
        """Is waited for: nobody reads."""
        member = self.scene.join("k")
        for _ in range(100):
            item = self.scene.push(b"x")
            self.wait(0.5)
            self.scene.deliver(item)
        self.assertEqual(member.seqs(), list(range(1, 101)))
        self.assertEqual(dict(self.scene.metrics.catch_ups.values), {})

    def test_each_timeline_once_a_round(self) -> None:
        """A room with many members is one question, which names the farthest of them; it is asked once a round."""
        for key in "abc":
            self.scene.join(key)
        self.scene.deliver(self.scene.push(b"x"))
        self.reads()
        self.wait(30)
        self.assertEqual(self.reads(), [Follow(TIMELINE, 1, "e", witnessed=True)])
        self.wait(60)
        self.assertEqual(len(self.reads()), 2)

    def test_spread_over_the_round(self) -> None:
        """Inboxes are not all asked for in one burst."""
        for number in range(1, 61):
            member = Member(self.scene, f"k{number}", number)
            self.scene.begin(member, None, f"m:{number}")
            self.scene.follower.release(member.channel, (f"m:{number}",))
        self.reads()
        counts = []
        for _ in range(60):
            self.wait(1)
            counts.append(len(self.reads()))
        self.assertLessEqual(max(counts), 3)
        self.assertIn(sum(counts), range(118, 123))

    def test_who_follows_nothing(self) -> None:
        """Is not asked for: version 1, anonymous ones, live rooms, those who are read for anyway."""
        self.scene.directory.put(channel("one"))
        anonymous = Member(self.scene, "two", 0)
        self.scene.directory.join(anonymous.channel, "live://1")
        self.scene.directory.join(channel("three"), "kept://2")
        opening = Member(self.scene, "four", 0)
        self.scene.directory.join(opening.channel, "kept://3")
        self.scene.begin(opening, Place(0, "e"), "r:kept://3")
        self.reads()
        self.wait(70)
        self.assertEqual(self.reads(), [])

    def test_in_a_hurry(self) -> None:
        """All are looked at in the next turns; the pace is as before then."""
        member = self.scene.join("k")
        self.wait(5)
        self.scene.push(b"lost")
        self.scene.follower.check_all()
        self.wait(2 * GRACE_SECONDS + 0.5)
        self.assertEqual(member.seqs(), [1])
        self.reads()
        self.wait(60)
        self.assertEqual(len(self.reads()), 2)

    def test_in_a_hurry_while_logic_is_away(self) -> None:
        """All are looked at again every few seconds, until logic answers; the pace is as before then."""
        member = self.scene.join("k")
        self.wait(1)
        self.scene.push(b"lost")
        self.scene.logic.failing[Read] = DeadlineExceeded("late")
        self.scene.follower.check_all()
        self.reads()
        self.wait(12)
        self.assertIn(len(self.reads()), range(3, 8))
        self.scene.logic.failing.clear()
        self.wait(AGAIN_SECONDS + 30 / TICKS + 2 * GRACE_SECONDS + 0.5)
        self.assertEqual(member.seqs(), [1])
        self.reads()
        self.wait(60)
        self.assertEqual(len(self.reads()), 2)

    def test_the_store_was_emptied(self) -> None:
        """The question names a place that it does not know: another epoch, and the session ends."""
        member = self.scene.join("k")
        self.scene.deliver(self.scene.push(b"x"))
        self.scene.logic.epoch = "f"
        self.scene.logic.timelines.clear()
        self.wait(35)
        self.assertEqual(member.end.closes, [CloseReason.TIMELINE_RESET])

    def test_logic_is_away(self) -> None:
        """The next round asks again."""
        member = self.scene.join("k")
        self.scene.push(b"lost")
        self.scene.logic.failing[Read] = DeadlineExceeded("late")
        self.wait(35)
        self.scene.logic.failing.clear()
        self.wait(35)
        self.assertEqual(member.seqs(), [1])

    def test_nobody_is_left(self) -> None:
        """Whoever went before the answer is not looked at."""
        member = self.scene.join("k")
        self.scene.push(b"lost")
        self.scene.logic.held.add(Read)
        self.wait(35)
        member.end.close(CloseReason.PEER_CLOSED)
        self.scene.logic.release(Read)
        self.wait(5)
        self.assertEqual(member.seqs(), [])
