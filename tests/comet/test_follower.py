"""Every message of the timelines that a channel follows, in order, without a gap."""

from enum import Enum

from hypothesis import given, settings, strategies
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from imd.comet.follower import SYNC_READS
from imd.comet.position import Stage
from imd.errors import CloseReason, DeadlineExceeded, NotAllowed, Overloaded, PeerUnavailable
from imd.protocol.rpc import Follow, Item, Outcome, Page, Read
from imd.protocol.timeline import Place
from tests.support.following import ROOM, TIMELINE, Member, Scene
from tests.support.version_2 import kept_for_keys, kept_in_room


class BeginTests(SynchronousTestCase):
    """From the first look to live."""

    def test_resumed(self) -> None:
        """What was missed waits for the release; what comes meanwhile is left to the timeline, and follows it."""
        scene = Scene(page_messages=3)
        scene.keep(*[b"x"] * 5)
        member = Member(scene, "k", 0)
        scene.directory.join(member.channel, ROOM)
        page = self.successResultOf(scene.begin(member, Place(2, "e")))[TIMELINE]
        self.assertEqual((page.head, page.recovered, len(page.messages)), (Place(5, "e"), True, 3))
        self.assertEqual(scene.deliver(scene.push(b"y")), [Outcome(deferred=1)])
        self.assertEqual(member.connection.writes, [])
        scene.follower.release(member.channel, (TIMELINE,))
        self.assertEqual((member.seqs(), member.stage()), ([3, 4, 5], Stage.READING))
        scene.turns()
        self.assertEqual((member.seqs(), member.stage()), ([6], Stage.LIVE))
        self.assertEqual(scene.deliver(scene.push(b"z")), [Outcome(delivered=1)])
        self.assertEqual(member.seqs(), [7])
        self.assertEqual(dict(scene.metrics.replayed.values), {("written",): 4})

    def test_nothing_asked(self) -> None:
        """It begins behind the head."""
        scene = Scene()
        scene.keep(*[b"x"] * 5)
        member = scene.join("k")
        self.assertEqual((member.seqs(), member.stage()), ([], Stage.LIVE))
        scene.deliver(scene.push(b"y"))
        self.assertEqual(member.seqs(), [6])
        self.assertEqual(scene.logic.of(Read)[0].follows, (Follow(TIMELINE),))

    def test_not_recovered(self) -> None:
        """Another epoch, beyond the head, or out of the window: nothing that is left is written, it goes on behind the head."""
        for place in (Place(2, "d"), Place(9, "e"), Place(0, "e")):
            scene = Scene()
            scene.keep(*[b"x"] * 5)
            del scene.logic.timelines[TIMELINE][:2]
            member = Member(scene, "k", 0)
            scene.directory.join(member.channel, ROOM)
            page = self.successResultOf(scene.begin(member, place))[TIMELINE]
            self.assertFalse(page.recovered)
            scene.follower.release(member.channel, (TIMELINE,))
            self.assertEqual((member.seqs(), member.stage()), ([], Stage.LIVE))
            scene.deliver(scene.push(b"y"))
            self.assertEqual(member.seqs(), [6])

    def test_several(self) -> None:
        """One request for all that a client follows."""
        scene = Scene()
        scene.keep(b"x", timeline="m:7")
        member = Member(scene, "k", 7)
        scene.directory.join(member.channel, ROOM)
        beginning = scene.follower.begin(member.channel, {TIMELINE: None, "m:7": Place(0, "e")})
        pages = self.successResultOf(Deferred.fromCoroutine(beginning))
        self.assertEqual({name: page.head.seq for name, page in pages.items()}, {TIMELINE: 0, "m:7": 1})
        scene.follower.release(member.channel, pages)
        self.assertEqual(member.seqs(), [1])

    def test_nothing_to_follow(self) -> None:
        """Costs nothing, not even a turn at the turnstile."""
        scene = Scene(resumes_burst=1, resumes_per_second=1)
        for _ in range(5):
            beginning = scene.follower.begin(Member(scene, "k", 0).channel, {})
            self.assertEqual(self.successResultOf(Deferred.fromCoroutine(beginning)), {})
        self.assertEqual(scene.logic.calls, [])

    def test_failure(self) -> None:
        """It follows nothing then."""
        scene = Scene()
        scene.logic.failing[Read] = DeadlineExceeded("late")
        member = Member(scene, "k", 0)
        self.failureResultOf(scene.begin(member), DeadlineExceeded)
        self.assertEqual(member.channel.positions, {})

    def test_too_many(self) -> None:
        """Past the rate a client is sent away with a time, before logic is asked."""
        scene = Scene(resumes_burst=2, resumes_per_second=1)
        for key in "ab":
            scene.join(key)
        calls = len(scene.logic.calls)
        member = Member(scene, "c", 0)
        error = self.failureResultOf(scene.begin(member), Overloaded).value
        self.assertEqual((error.retry_after_seconds, len(scene.logic.calls), member.channel.positions), (1, calls, {}))

    def test_gone_meanwhile(self) -> None:
        """A client that went, or left the room, while its page was read is not followed by anything that was left behind."""
        scene = Scene()
        scene.keep(b"x")
        scene.logic.held.add(Read)
        member = Member(scene, "k", 0)
        beginning = scene.begin(member, Place(0, "e"))
        scene.follower.forget(member.channel)
        scene.logic.release(Read)
        self.successResultOf(beginning)
        scene.follower.release(member.channel, (TIMELINE,))
        self.assertEqual((member.connection.writes, member.channel.positions), ([], {}))
        self.assertEqual(scene.follower._opened, {})

    def test_left_before_its_release(self) -> None:
        """Its page is let go."""
        scene = Scene()
        scene.keep(b"x")
        member = Member(scene, "k", 0)
        self.successResultOf(scene.begin(member, Place(0, "e")))
        scene.follower.leave(member.channel, TIMELINE)
        scene.follower.leave(member.channel, TIMELINE)
        self.assertEqual(scene.follower._opened, {})

    def test_a_slow_client(self) -> None:
        """What cannot be written at its release is not held: it is read again."""
        scene = Scene()
        scene.keep(b"x", b"y")
        member = Member(scene, "k", 0)
        self.successResultOf(scene.begin(member, Place(0, "e")))
        member.channel.outbox.pause()
        scene.follower.release(member.channel, (TIMELINE,))
        self.assertEqual((member.stage(), member.channel.outbox.held_bytes), (Stage.WAITING, 0))
        member.channel.outbox.resume()
        scene.turns()
        self.assertEqual((member.seqs(), member.stage()), ([1, 2], Stage.LIVE))


class InboxTests(SynchronousTestCase):
    """Devices of members."""

    def test_each_has_its_own(self) -> None:
        """Two devices of one member, one of another: seqs of their inboxes, and only what is next."""
        scene = Scene()
        members = {key: Member(scene, key, mid) for key, mid in (("a", 1), ("b", 1), ("c", 2))}
        for member in members.values():
            timeline = f"m:{member.channel.mid}"
            self.successResultOf(scene.begin(member, None, timeline))
            scene.follower.release(member.channel, (timeline,))
        outcomes = scene.deliver(kept_for_keys(b"x", {"a": 1, "b": 1, "c": 2, "nobody": 1}))
        self.assertEqual(outcomes, [Outcome(delivered=2, deferred=1, unknown=("nobody",))])
        self.assertEqual([member.seqs() for member in members.values()], [[1], [1], []])


class SyncTests(SynchronousTestCase):
    """Op 38."""

    def setUp(self) -> None:
        self.scene = Scene(page_messages=3)
        self.scene.keep(*[b"x"] * 9)
        self.member = self.scene.join("k")

    def sync(self, after: int, limit: int, epoch: str = "") -> Deferred[Page]:
        syncing = self.scene.follower.sync(self.member.channel, TIMELINE, after, limit, epoch)
        return Deferred.fromCoroutine(syncing)

    def test_page(self) -> None:
        """At most a page, whatever is asked for; the position stays."""
        for limit, count in ((2, 2), (100, 3)):
            page = self.successResultOf(self.sync(4, limit))
            self.assertEqual([message.seq for message in page.messages], [5, 6, 7][:count])
        self.assertEqual(self.member.stage(), Stage.LIVE)
        self.assertEqual(self.scene.logic.of(Read)[-1].follows, (Follow(TIMELINE, 4, "e", 3),))
        self.successResultOf(self.sync(4, 100, "d"))
        self.assertEqual(self.scene.logic.of(Read)[-1].follows, (Follow(TIMELINE, 4, "d", 3),))

    def test_a_slow_client(self) -> None:
        """Is not read for until it has read."""
        self.member.channel.outbox.pause()
        before = len(self.scene.logic.calls)
        syncing = self.sync(4, 2)
        self.assertNoResult(syncing)
        self.assertEqual(len(self.scene.logic.calls), before)
        self.member.channel.outbox.resume()
        self.successResultOf(syncing)

    def test_filled_while_it_was_read(self) -> None:
        """Its outbox has no room for a page: it is read again once the client has read, so many times."""
        outbox = self.member.channel.outbox
        self.scene.logic.held.add(Read)
        for reads, refused in ((3, False), (SYNC_READS, True)):
            before = len(self.scene.logic.of(Read))
            syncing = self.sync(4, 2)
            for _ in range(reads):
                self.assertNoResult(syncing)
                outbox.pause()
                self.scene.logic.release(Read)
                outbox.resume()
            if refused:
                self.failureResultOf(syncing, Overloaded)
            else:
                self.scene.logic.release(Read)
                page = self.successResultOf(syncing)
                self.assertEqual([message.seq for message in page.messages], [5, 6])
            self.assertEqual(len(self.scene.logic.of(Read)) - before, reads + (not refused))

    def test_not_followed(self) -> None:
        """Is refused; so is a client that went while it waited."""
        self.member.channel.outbox.pause()
        syncing = self.sync(4, 2)
        self.scene.follower.forget(self.member.channel)
        self.member.channel.outbox.end(flush=False)
        self.failureResultOf(syncing, NotAllowed)


class MissedTests(SynchronousTestCase):
    """A refused batch."""

    def test_read_unless_it_comes_again(self) -> None:
        """Room and inbox: who lacks them two seconds later reads them; who got them meanwhile does not."""
        scene = Scene()
        member, other = scene.join("k", mid=7), scene.join("o", mid=8)
        for each, timeline in ((member, "m:7"), (other, "m:8")):
            self.successResultOf(scene.begin(each, None, timeline))
            scene.follower.release(each.channel, (timeline,))
        room = scene.push(b"a", b"b")
        scene.keep(b"c", timeline="m:7")
        scene.keep(b"d", timeline="m:8")
        inboxes = kept_for_keys(b"c", {"k": 1, "o": 1, "nobody": 1})
        scene.follower.missed([room, inboxes, kept_in_room(1, b"z", room="kept://empty")])
        reads = len(scene.logic.of(Read))
        scene.deliver(room)
        scene.clock.advance(1)
        scene.clock.advance(1)
        scene.turns()
        self.assertEqual((member.seqs(), other.seqs()), ([1, 2, 1], [1, 2, 1]))
        self.assertEqual(len(scene.logic.of(Read)), reads + 1)  # both inboxes in one request
        self.assertEqual((member.stage("m:7"), other.stage("m:8")), (Stage.LIVE, Stage.LIVE))
        self.assertEqual(scene.metrics.catch_ups.value("check"), 2)
        self.assertEqual(scene.clock.getDelayedCalls(), [])

    def test_delivery_says_so(self) -> None:
        """A batch that finds the queue full is refused, and nothing of it is lost."""
        scene = Scene(deliveries_per_turn=1, delivery_queue_bytes=3000)
        members = [scene.join(key) for key in "abc"]
        items = [scene.push(b"x" * 500) for _ in range(8)]
        taken = [item for item in items if scene.deliver(item) is None and scene.delivery.waiting_bytes]
        self.assertTrue(taken)
        for _ in range(5):
            scene.clock.advance(1)
            scene.turns(60)
        self.assertEqual([member.seqs() for member in members], [list(range(1, 9))] * 3)


class StopTests(SynchronousTestCase):
    """The end of this comet."""

    def test_nothing_stays_behind(self) -> None:
        """Who waits for a page hears of it; no timer is left."""
        scene = Scene(reads=1)
        scene.follower.start()
        scene.join("k")
        scene.logic.held.add(Read)
        member, other = Member(scene, "l", 0), Member(scene, "m", 0)
        first, second = scene.begin(member), scene.begin(other, Place(0, "e"))
        scene.follower.missed([kept_in_room(1, b"z")])
        scene.follower.check_all()
        scene.follower.stop()
        self.failureResultOf(second, PeerUnavailable)
        scene.logic.release(Read)
        self.successResultOf(first)
        scene.follower.check_all()
        self.assertEqual(scene.clock.getDelayedCalls(), [])


class Act(Enum):
    """What may happen next."""

    PUSH = 1  # a message is accepted: it is in the timeline, and job has it
    DELIVER = 2  # job brings the oldest it has; so often after a PUSH that it also brings several, merged
    AGAIN = 3  # another job brings some once more
    LOSE = 4  # what job has never comes
    STALE = 5  # an entry of an older epoch comes
    JOIN = 6  # a client joins, behind the head
    RESUME = 7  # or from a place in the past
    PAUSE = 8  # a client's kernel has enough
    DRAIN = 9  # and takes more again
    HOLD = 10  # logic does not answer for now
    ANSWER = 11  # it answers the oldest
    FAIL = 12  # or fails it
    TURN = 13  # the reactor goes on
    WAIT = 14  # time passes


OFTEN = [Act.PUSH, Act.DELIVER, Act.TURN] * 3
ACTS = strategies.tuples(strategies.sampled_from([*OFTEN, *Act]), strategies.integers(0, 30))


class Story:
    """One comet, one kept room, and what each client has seen of it."""

    def __init__(self) -> None:
        self.scene = Scene(page_messages=3, reads=2, deliveries_per_turn=4, check_seconds=5, outbox_bytes=10**9)
        self.scene.follower.start()
        self.pending: list[Item] = []  # with job
        self.brought: list[Item] = []  # what came here, in order
        self.members: list[tuple[Member, int]] = []  # with the seq before the first that it must see

    def do(self, act: Act, number: int) -> None:
        scene = self.scene
        messages = scene.logic.timelines.get(TIMELINE, [])
        match act:
            case Act.PUSH:
                self.pending.append(scene.push(*[b"x"] * (number % 3 + 1)))
            case Act.DELIVER if self.pending:
                items, self.pending = self.pending[: number % 4 + 1], self.pending[number % 4 + 1 :]
                self.bring(*items)
            case Act.AGAIN:
                self.bring(*self.brought[-(number % 4 + 1) :])
            case Act.LOSE:
                self.pending.clear()
            case Act.STALE:
                self.bring(kept_in_room(number + 1, b"stale", epoch="older"))
            case Act.JOIN if len(self.members) < 6:
                self.join(None)
            case Act.RESUME if len(self.members) < 6:
                self.join(Place(number % (len(messages) + 1), "e"))
            case Act.PAUSE if self.members:
                self.members[number % len(self.members)][0].end.pause_writing()
            case Act.DRAIN if self.members:
                self.members[number % len(self.members)][0].end.resume_writing()
            case Act.HOLD:
                scene.logic.held.add(Read)
            case Act.ANSWER | Act.FAIL if scene.logic.waiting(Read):
                scene.logic.release(Read, DeadlineExceeded("late") if act is Act.FAIL else None)
            case Act.ANSWER:
                scene.logic.held.discard(Read)
            case Act.TURN:
                scene.clock.turn()
            case Act.WAIT:
                scene.clock.advance(number / 10)

    def bring(self, *items: Item) -> None:
        self.brought += items
        self.scene.delivery.deliver(items).addErrback(lambda _: None)

    def join(self, place: Place | None) -> None:
        """It is released when its first page has come, as a session does it; one that fails goes."""
        member = Member(self.scene, f"k{len(self.members)}", 0)
        self.scene.directory.join(member.channel, ROOM)
        number = len(self.members)
        self.members.append((member, 0))

        def begun(pages: dict[str, Page]) -> None:
            self.members[number] = (member, place.seq if place else pages[TIMELINE].head.seq)
            self.scene.follower.release(member.channel, (TIMELINE,))

        def failed(failure: Failure) -> None:
            failure.trap(DeadlineExceeded)
            member.end.close(CloseReason.AUTH_UNAVAILABLE)

        self.scene.begin(member, place).addCallbacks(begun, failed)

    def end(self) -> None:
        """Logic answers again, all clients read, and some rounds of inspection pass."""
        self.scene.logic.held.clear()
        while self.scene.logic.waiting(Read):
            self.scene.logic.release(Read)
        for member, _ in self.members:
            member.end.resume_writing()
        for _ in range(160):
            self.scene.clock.advance(0.25)
            self.scene.turns(8)


class PropertyTests(SynchronousTestCase):
    """Whatever happens in whatever order."""

    @settings(max_examples=300, deadline=None)
    @given(strategies.lists(ACTS, min_size=10, max_size=80))
    def test_every_seq_once_and_in_order(self, acts: list[tuple[Act, int]]) -> None:
        """Each client sees every message behind its place exactly once, in order, without a gap, and is live in the end; what
        was offered is accounted for."""
        story = Story()
        story.join(None)
        for act, number in acts:
            story.do(act, number)
        story.end()
        head = len(story.scene.logic.timelines.get(TIMELINE, ()))
        for member, first in story.members:
            if member.end.closes:
                self.assertEqual(member.end.closes, [CloseReason.AUTH_UNAVAILABLE])
                continue
            self.assertEqual(member.seqs(), list(range(first + 1, head + 1)))
            self.assertIs(member.stage(), Stage.LIVE)
        metrics = story.scene.metrics
        fates = sum(metrics.deliveries.values.values()) + sum(
            count for (_, reason), count in metrics.drops.values.items() if not reason.startswith("outbox_")
        )
        self.assertEqual(metrics.packets_offered.value("room"), fates)
        self.assertEqual(metrics.outbox_held.value(), metrics.outbox_written.value() + story.scene.reservoir.packets)
        self.assertEqual(story.scene.follower._opened, {})
        story.scene.follower.stop()
        story.scene.delivery.stop()
        self.assertEqual(story.scene.clock.getDelayedCalls(), [])
