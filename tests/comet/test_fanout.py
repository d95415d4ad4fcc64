"""The loop over channels."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.channel import Channel
from imd.comet.drop import Drop
from imd.comet.fanout import Fanout
from imd.comet.load import Load
from imd.comet.policy import SlowPolicy
from imd.comet.tally import Tally
from imd.errors import CloseReason
from imd.protocol.wire import Wire
from tests.support.comet_fakes import FakeConnection, channel


class FanoutTests(SynchronousTestCase):
    """Three channels, one of them odd."""

    def spread(self, members: list[Channel], operation: int | None = 1000, size: int = 1) -> Tally:
        load = Load(Wire(b"x" * size), packets=1, policy=SlowPolicy.DISCONNECT, room="r", operation=operation)
        tally = Tally()
        Fanout().spread(load, members, tally)
        return tally

    def closes(self, member: Channel) -> list[CloseReason]:
        session: Any = member.session
        closes: list[CloseReason] = session.closes
        return closes

    def test_a_faulty_channel_stops_nobody(self) -> None:
        """It is logged once and closed as our fault; the others get theirs."""
        faulty = FakeConnection()
        faulty.faulty = True
        members = [channel(), channel(connection=faulty), channel()]
        tally = self.spread(members)
        self.assertEqual((tally.delivered, tally.drops), (2, {Drop.FAULT: 1}))
        self.assertEqual([self.closes(member) for member in members], [[], [CloseReason.INTERNAL_ERROR], []])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_full_channel_stops_nobody(self) -> None:
        """It ends after the loop; goim's push to many keys stops at the first."""
        members = [channel(), channel(), channel()]
        members[1].outbox.pause()
        tally = self.spread(members, size=20_000)
        self.assertEqual((tally.delivered, tally.drops), (2, {Drop.SLOW_CONSUMER: 1}))
        self.assertEqual(self.closes(members[1]), [CloseReason.SLOW_CONSUMER])

    def test_accepts(self) -> None:
        """Asked for keys and all, also for operation 0."""
        members = [channel(accepts=frozenset({0})), channel(), channel(accepts=frozenset())]
        tally = self.spread(members, operation=0)
        self.assertEqual((tally.delivered, tally.filtered), (1, 2))

    def test_who_left_the_room(self) -> None:
        """Is no receiver any more; accepts are not asked."""
        members = [channel(accepts=frozenset()), channel()]
        members[0].rooms = ("r",)
        tally = self.spread(members, operation=None)
        self.assertEqual((tally.offered, tally.delivered, tally.filtered, tally.left, tally.drops), (2, 1, 0, 1, {}))

    def test_a_close_that_raises_stops_nobody(self) -> None:
        """The next ones are closed as well."""
        members = [channel(), channel()]
        for member in members:
            member.outbox.pause()
        members[0].session = None  # type: ignore[assignment]  # a bug, as far as fan-out can see
        self.spread(members, size=20_000)
        self.assertEqual(self.closes(members[1]), [CloseReason.SLOW_CONSUMER])
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
