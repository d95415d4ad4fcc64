"""Reading what channels lack."""

from collections.abc import Awaitable, Callable

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from imd.comet.catch_up import EMPTY_PAGES
from imd.comet.position import Stage
from imd.errors import CloseReason, DeadlineExceeded
from imd.protocol.rpc import Follow, Outcome, Page, Pages, Read
from imd.protocol.timeline import Place, room_timeline
from tests.support.following import TIMELINE, Member, Scene
from tests.support.version_2 import kept_in_room


class CatchUpTests(SynchronousTestCase):
    """A member that missed something."""

    def setUp(self) -> None:
        self.scene = Scene(page_messages=3)
        self.member = self.scene.join("k")

    def lose(self, count: int) -> None:
        """So many messages never come here."""
        self.scene.push(*[b"lost"] * count)

    def reads(self) -> list[Follow]:
        return [follow for read in self.scene.logic.of(Read) for follow in read.follows]

    def test_page_by_page(self) -> None:
        """Until all that is known has been written; then live."""
        self.lose(7)
        self.assertEqual(self.scene.deliver(self.scene.push(b"a")), [Outcome(deferred=1)])
        self.scene.turns()
        self.assertEqual((self.member.seqs(), self.member.stage()), ([1, 2, 3, 4, 5, 6, 7, 8], Stage.LIVE))
        self.assertEqual([follow.after for follow in self.reads()[1:]], [0, 3, 6])
        self.assertEqual(self.scene.metrics.catch_ups.value("push"), 1)
        self.assertEqual(self.scene.clock.getDelayedCalls(), [])

    def test_one_read_at_a_time(self) -> None:
        """Pushes that come while one is under way do not begin another; the next page brings them."""
        self.lose(1)
        self.scene.logic.held.add(Read)
        self.scene.deliver(self.scene.push(b"a"))
        self.scene.turns()
        for body in (b"b", b"c"):
            self.scene.deliver(self.scene.push(body))
            self.scene.turns()
        self.assertEqual(len(self.reads()), 2)
        self.scene.logic.held.clear()
        self.scene.logic.release(Read)
        self.scene.turns()
        self.assertEqual((self.member.seqs(), self.member.stage()), ([1, 2, 3, 4], Stage.LIVE))

    def test_many_at_the_same_place(self) -> None:
        """One question, one set of bytes."""
        others = [self.scene.join(f"k{number}") for number in range(20)]
        self.lose(2)
        before = len(self.reads())
        self.scene.deliver(self.scene.push(b"a"))
        self.scene.turns()
        self.assertEqual(len(self.reads()), before + 1)
        for other in others:
            self.assertIs(other.connection.writes[0], self.member.connection.writes[0])

    def test_a_slow_client_is_not_read_for(self) -> None:
        """A page fills the kernel's buffer: the next is read when it has left, and nothing is held meanwhile."""
        self.lose(7)
        self.member.connection.full_after = 1
        self.scene.deliver(self.scene.push(b"a"))
        self.scene.turns()
        self.assertEqual((self.member.seqs(), self.member.stage()), ([1, 2, 3], Stage.WAITING))
        self.assertEqual((len(self.reads()), self.scene.reservoir.packets), (2, 0))
        self.member.end.resume_writing()
        self.scene.turns()
        self.assertEqual((self.member.seqs(), self.member.stage()), ([4, 5, 6, 7, 8], Stage.LIVE))

    def test_slow_before_it_is_read_for(self) -> None:
        """It waits until the outbox is empty; a page that comes too late is not held either."""
        self.lose(1)
        self.scene.logic.held.add(Read)
        self.scene.deliver(self.scene.push(b"a"))
        self.scene.turns()
        self.member.end.pause_writing()
        self.scene.logic.release(Read)
        self.assertEqual((self.member.seqs(), self.member.stage()), ([], Stage.WAITING))
        self.member.end.resume_writing()
        self.member.end.pause_writing()
        self.scene.turns()
        self.assertEqual((len(self.reads()), self.member.stage()), (2, Stage.WAITING))
        self.scene.logic.held.clear()
        self.member.end.resume_writing()
        self.scene.turns()
        self.assertEqual((self.member.seqs(), self.member.stage()), ([1, 2], Stage.LIVE))

    def test_logic_is_away(self) -> None:
        """Tried again after pauses that grow; a page makes them short again."""
        self.lose(1)
        self.scene.logic.failing[Read] = DeadlineExceeded("late")
        self.scene.deliver(self.scene.push(b"a"))
        self.scene.turns()
        tries = []
        for _ in range(10):
            before = len(self.reads())
            self.scene.clock.advance(0.5)
            self.scene.turns()
            tries.append(len(self.reads()) - before)
        self.assertEqual(tries, [1, 0, 1, 0, 0, 0, 1, 0, 0, 0])
        self.scene.logic.failing.clear()
        self.scene.clock.advance(4)
        self.scene.turns()
        self.assertEqual((self.member.seqs(), self.member.stage()), ([1, 2], Stage.LIVE))

    def test_pauses_are_bounded(self) -> None:
        """By the time between two checks."""
        self.lose(1)
        self.scene.logic.failing[Read] = DeadlineExceeded("late")
        self.scene.deliver(self.scene.push(b"a"))
        for _ in range(400):
            self.scene.clock.advance(1)
            self.scene.turns()
        before = len(self.reads())
        for _ in range(30):
            self.scene.clock.advance(1)
            self.scene.turns()
        self.assertEqual(len(self.reads()), before + 1)

    def test_more_and_nothing_in_it(self) -> None:
        """Others had used up the answer: it is asked for again at once."""
        self.lose(1)
        self.answer_nothing(times=3)
        self.scene.deliver(self.scene.push(b"a"))
        self.scene.turns()
        self.assertEqual((self.member.seqs(), self.member.stage()), ([1, 2], Stage.LIVE))
        self.assertEqual(self.scene.clock.getDelayedCalls(), [])

    def test_always_more_and_nothing_in_it(self) -> None:
        """A store that never comes to an end is asked so often only, and again after a pause."""
        self.lose(1)
        whole = self.answer_nothing(times=10**6)
        self.scene.deliver(self.scene.push(b"a"))
        self.scene.turns(10 * EMPTY_PAGES)
        self.assertEqual(len(self.reads()), EMPTY_PAGES + 2)
        self.assertEqual(len(self.scene.clock.getDelayedCalls()), 1)
        self.scene.logic.read = whole  # type: ignore[assignment, method-assign]  # as it should be
        self.scene.clock.advance(1)
        self.scene.turns()
        self.assertEqual((self.member.seqs(), self.member.stage()), ([1, 2], Stage.LIVE))

    def test_who_got_nothing_goes_first(self) -> None:
        """Each answer has a message for one: nobody gets a second page while another has got none."""
        rooms = [f"kept://{number}" for number in range(2, 7)]
        for room in rooms:
            member = Member(self.scene, room, 0)
            self.scene.directory.join(member.channel, room)
            self.scene.begin(member, timeline=room_timeline(room))
            self.scene.turns()
            self.scene.follower.release(member.channel, (room_timeline(room),))
            self.scene.keep(b"x", b"x", b"x", timeline=room_timeline(room))
        whole, served = self.scene.logic.read, []

        async def read(request: Read) -> Pages:
            first, *others = (await whole(request)).pages
            served.append(first.timeline[2:])
            first = replace(first, messages=first.messages[:1], more=len(first.messages) > 1)
            return Pages((first, *(replace(page, messages=(), more=True) for page in others)))

        self.scene.logic.read = read  # type: ignore[method-assign]  # one message an answer, for who stands first
        self.scene.deliver(*(kept_in_room(3, b"x", room=room) for room in rooms))
        self.scene.turns(50)
        self.assertEqual([sorted(served[start : start + 5]) for start in (0, 5, 10)], [rooms] * 3)
        self.assertEqual((len(served), self.scene.clock.getDelayedCalls()), (15, []))

    def answer_nothing(self, times: int) -> Callable[[Read], Awaitable[Pages]]:
        """The next answers have no room for messages. Answers what logic does else."""
        whole, left = self.scene.logic.read, [times]

        async def read(request: Read) -> Pages:
            if not left[0]:
                return await whole(request)
            left[0] -= 1
            await whole(request)
            return Pages(tuple(Page(follow.timeline, Place(2, "e"), more=True) for follow in request.follows))

        self.scene.logic.read = read  # type: ignore[method-assign]  # a logic that answers so
        return whole

    def test_another_epoch(self) -> None:
        """The store has another numbering: the session ends, and resumes."""
        self.lose(1)
        self.scene.logic.epoch = "f"
        self.scene.deliver(self.scene.push(b"a"))
        self.scene.turns()
        self.assertEqual(self.member.end.closes, [CloseReason.TIMELINE_RESET])
        self.assertEqual(self.member.seqs(), [])

    def test_a_late_push_of_an_older_epoch(self) -> None:
        """Ends nobody: a read tells that it is the older."""
        self.scene.deliver(self.scene.push(b"a"))
        self.assertEqual(self.scene.deliver(kept_in_room(9, b"old", epoch="d")), [Outcome(deferred=1)])
        self.scene.turns()
        self.assertEqual((self.member.seqs(), self.member.end.closes), ([1], []))
        self.assertEqual(self.member.stage(), Stage.LIVE)

    def test_out_of_the_window(self) -> None:
        """What it lacks is gone: it must reload, so its session ends."""
        self.lose(3)
        del self.scene.logic.timelines[TIMELINE][:2]
        self.scene.deliver(self.scene.push(b"a"))
        self.scene.turns()
        self.assertEqual(self.member.end.closes, [CloseReason.TIMELINE_RESET])

    def test_the_store_went_back(self) -> None:
        """It has less than was known to be there: it is told how much, so that it renews the epoch, and the session ends."""
        self.lose(1)
        item = self.scene.push(b"a")
        del self.scene.logic.timelines[TIMELINE][-1]
        self.scene.deliver(item)
        self.scene.turns()
        self.assertEqual(self.reads()[-1], Follow(TIMELINE, 2, "e", witnessed=True))
        self.assertEqual(self.member.end.closes, [CloseReason.TIMELINE_RESET])

    def test_the_store_went_back_and_logic_is_away(self) -> None:
        """The session goes on until the store was told: else it would take new messages for those that it lost."""
        self.lose(1)
        item = self.scene.push(b"a")
        del self.scene.logic.timelines[TIMELINE][-1]
        whole = self.scene.logic.read

        async def read(request: Read) -> Pages:
            if request.follows[0].after == 2:
                raise DeadlineExceeded("late")
            return await whole(request)

        self.scene.logic.read = read  # type: ignore[method-assign]  # it is away when it is told
        self.scene.deliver(item)
        self.scene.turns()
        self.assertEqual(self.member.end.closes, [])
        self.scene.logic.read = whole  # type: ignore[method-assign]  # it is back
        self.scene.clock.advance(1)
        self.scene.turns()
        self.assertEqual(self.reads()[-1], Follow(TIMELINE, 2, "e", witnessed=True))
        self.assertEqual(self.member.end.closes, [CloseReason.TIMELINE_RESET])

    def test_gone_while_it_is_read_for(self) -> None:
        """Whoever left, or ended, gets nothing of it."""
        other = self.scene.join("o")
        self.lose(1)
        self.scene.logic.held.add(Read)
        self.scene.deliver(self.scene.push(b"a"))
        self.scene.turns()
        self.scene.follower.leave(self.member.channel, TIMELINE)
        other.end.close(CloseReason.PEER_CLOSED)
        self.scene.logic.release(Read)
        self.scene.turns()
        self.assertEqual((self.member.seqs(), other.seqs()), ([], []))
        self.assertEqual(self.scene.clock.getDelayedCalls(), [])

    def test_gone_while_it_waits(self) -> None:
        """For its outbox, for its turn, or for logic to come back."""
        self.lose(1)
        self.scene.deliver(self.scene.push(b"a"))
        self.scene.follower.forget(self.member.channel)
        self.scene.turns()
        self.assertEqual(len(self.reads()), 1)
        slow = self.scene.join("s")
        slow.end.pause_writing()
        self.lose(1)
        self.scene.deliver(self.scene.push(b"b"))
        self.scene.turns()
        slow.end.close(CloseReason.PEER_CLOSED)
        self.scene.turns()
        self.assertEqual((self.scene.reservoir.waiting, self.scene.clock.getDelayedCalls()), ({}, []))
        failing = self.scene.join("f")
        self.scene.logic.failing[Read] = DeadlineExceeded("late")
        self.lose(1)
        self.scene.deliver(self.scene.push(b"c"))
        self.scene.turns()
        failing.end.close(CloseReason.PEER_CLOSED)
        self.scene.clock.advance(1)
        self.assertEqual(self.scene.clock.getDelayedCalls(), [])

    def test_a_faulty_connection(self) -> None:
        """Ends alone."""
        other = self.scene.join("o")
        self.member.connection.faulty = True
        self.lose(1)
        self.scene.deliver(self.scene.push(b"a"))
        self.scene.turns()
        self.assertEqual((self.member.end.closes, other.seqs()), ([CloseReason.INTERNAL_ERROR], [1, 2]))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
