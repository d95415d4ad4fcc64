"""Many questions in few requests."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.comet.limits import Limits
from imd.comet.reader import FOLLOWS, Answer, Reader
from imd.comet.work import Work
from imd.errors import DeadlineExceeded, ImdError, PeerUnavailable
from imd.protocol.rpc import Follow, Page, Pages, Read
from tests.support.comet_fakes import FakeLogic, TurnClock


class ReaderTests(SynchronousTestCase):
    """Two requests at once, 50 answers a turn."""

    def setUp(self) -> None:
        self.logic = FakeLogic()
        self.clock = TurnClock()
        self.reader = self.make(self.logic)
        self.answers: list[Answer] = []

    def make(self, logic: Any) -> Reader:
        limits = Limits(reads=2, deliveries_per_turn=50)
        return Reader(server="c", logic=logic, clock=self.clock, work=Work(clock=self.clock), limits=limits)

    def ask(self, *timelines: str) -> None:
        for timeline in timelines:
            self.reader.ask(Follow(timeline), self.answers.append)
            self.reader.go()

    def reads(self) -> list[list[str]]:
        return [[follow.timeline for follow in read.follows] for read in self.logic.of(Read)]

    def test_at_once(self) -> None:
        """While nothing is under way, nobody waits."""
        self.ask("a")
        self.assertEqual(self.reads(), [["a"]])
        self.assertEqual([type(answer) for answer in self.answers], [Page])

    def test_one_step(self) -> None:
        """What is asked before it may go is one request."""
        for timeline in "aba":
            self.reader.ask(Follow(timeline), self.answers.append)
        self.reader.go()
        self.assertEqual((self.reads(), len(self.answers)), ([["a", "b"]], 3))

    def test_gathered(self) -> None:
        """What is asked while enough is under way goes in one request, and what many ask is asked once."""
        self.logic.held.add(Read)
        self.ask("a", "b", "c", "d", "c", "c")
        self.assertEqual(self.reads(), [["a"], ["b"]])
        self.logic.release(Read)
        self.assertEqual(self.reads(), [["a"], ["b"], ["c", "d"]])
        self.logic.held.clear()
        self.logic.release(Read)
        self.logic.release(Read)
        self.assertEqual([answer.timeline for answer in self.answers if isinstance(answer, Page)], list("abcccd"))
        self.assertIs(self.answers[2], self.answers[4])  # one page for all who asked for it

    def test_never_an_older_answer(self) -> None:
        """A question does not join the same one that is under way: what made somebody ask may be newer."""
        self.logic.held.add(Read)
        self.ask("a", "a")
        self.assertEqual(self.reads(), [["a"], ["a"]])

    def test_pages_are_full(self) -> None:
        """No request is larger than the wire allows."""
        self.logic.held.add(Read)
        self.ask("a", "b", *(str(number) for number in range(FOLLOWS + 1)))
        self.logic.release(Read)
        self.logic.release(Read)
        self.assertEqual([len(read) for read in self.reads()], [1, 1, FOLLOWS, 1])

    def test_slices(self) -> None:
        """So many answers a turn; meanwhile nothing is read."""
        self.logic.held.add(Read)
        self.ask("a", "b", *["c"] * 120)
        self.logic.held.clear()
        self.logic.release(Read)
        self.assertEqual(len(self.answers), 50)
        self.logic.release(Read)
        self.ask("d")
        self.assertEqual(len(self.reads()), 3)
        self.clock.turn()
        self.assertEqual((len(self.answers), len(self.reads())), (100, 3))
        self.clock.turn()
        self.assertEqual((len(self.answers), len(self.reads())), (123, 4))
        self.clock.turn()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failure(self) -> None:
        """All who asked hear of it, and the next request is a new try."""
        self.logic.failing[Read] = DeadlineExceeded("late")
        self.ask("a")
        self.assertIsInstance(self.answers.pop(), DeadlineExceeded)
        self.logic.failing.clear()
        self.ask("a")
        self.assertIsInstance(self.answers.pop(), Page)

    def test_too_few_pages(self) -> None:
        """Are logic's fault, and nobody is left without an answer."""

        class Curt:
            async def read(self, request: Read) -> Pages:
                return Pages(())

        self.reader = self.make(Curt())
        self.ask("a")
        self.assertIsInstance(self.answers.pop(), ImdError)

    def test_one_fault(self) -> None:
        """Does not keep the others waiting."""

        def faulty(answer: Answer) -> None:
            raise ZeroDivisionError("as a bug would")

        self.reader.ask(Follow("a"), faulty)
        self.reader.go()
        self.ask("b")
        self.assertEqual(len(self.answers), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_pages(self) -> None:
        """One for each, in their order; an error is raised once."""
        follows = (Follow("a"), Follow("b"), Follow("a"))
        pages = self.successResultOf(Deferred.fromCoroutine(self.reader.pages(follows)))
        self.assertEqual([page.timeline for page in pages], ["a", "b", "a"])
        self.logic.failing[Read] = DeadlineExceeded("late")
        self.failureResultOf(Deferred.fromCoroutine(self.reader.pages(follows)), DeadlineExceeded)

    def test_a_cancelled_asker(self) -> None:
        """Its answers are nobody's."""
        self.logic.held.add(Read)
        asking = Deferred.fromCoroutine(self.reader.pages((Follow("a"),)))
        asking.cancel()
        self.failureResultOf(asking)
        self.logic.release(Read)

    def test_stop(self) -> None:
        """Who waits, and who comes later, hears that there is no more."""
        self.logic.held.add(Read)
        self.ask("a", "b", "c")
        self.reader.stop()
        self.assertEqual([type(answer) for answer in self.answers], [PeerUnavailable])
        self.ask("d")
        self.logic.release(Read)
        self.logic.release(Read, DeadlineExceeded("late"))
        self.assertEqual([type(answer) for answer in self.answers[1:]], [PeerUnavailable, Page, DeadlineExceeded])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_all_of_an_answer_after_the_stop(self) -> None:
        """A request that was under way is answered to everybody who had asked: a comet that stops waits for them."""
        self.logic.held.add(Read)
        for timeline in "abc":
            self.reader.ask(Follow(timeline), self.answers.append)
        self.reader.go()
        self.reader.stop()
        self.logic.release(Read)
        self.assertEqual((len(self.answers), self.clock.getDelayedCalls()), (3, []))

    def test_a_bug_in_what_is_asked(self) -> None:
        """Leaves nobody without an answer, and takes up no room for ever."""

        class Faulty:
            async def read(self, request: Read) -> Pages:
                raise ZeroDivisionError("as a bug would")

        self.reader = self.make(Faulty())
        self.ask("a", "b", "c")
        self.assertEqual([type(answer) for answer in self.answers], [ImdError] * 3)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)
