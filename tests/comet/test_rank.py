"""Many sockets at once: who takes part, and what is left."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.channel import Channel
from imd.comet.fanout import Fanout
from imd.comet.load import Load
from imd.comet.policy import SlowPolicy
from imd.comet.rank import Rank
from imd.comet.tally import Tally
from imd.protocol.wire import Wire
from imd.transport.battery import SocketBattery
from tests.support.comet_fakes import FakeConnection, FakeSink, channel


def load(body: bytes = b"abc") -> Load:
    return Load(Wire(body), packets=2, policy=SlowPolicy.DISCONNECT)


class Member:
    """A channel over a connection with a sink."""

    def __init__(self, *, framed: bool = False) -> None:
        self.sink = FakeSink()
        self.connection = FakeConnection(framed=framed)
        self.connection.sink = self.sink
        self.channel: Channel = channel(connection=self.connection)


class RankTests(SynchronousTestCase):
    """One load of two packets."""

    def rank(self, *members: Member) -> Rank:
        return Rank([member.channel for member in members], arm=SocketBattery)

    def test_each_kind_gets_its_bytes(self) -> None:
        """TCP the packets, WebSocket the frame; both made once."""
        members = [Member(), Member(framed=True), Member(), Member(framed=True)]
        what = load()
        rank = self.rank(*members)
        self.assertEqual((len(rank), rank.ready, rank.others), (4, 4, []))
        self.assertEqual(rank.fire(what), [])
        frame = what.wire.frame
        self.assertEqual([member.sink.taken for member in members], [[b"abc"], [frame], [b"abc"], [frame]])
        self.assertEqual([member.connection.writes for member in members], [[]] * 4)

    def test_outboxes_count_at_the_end(self) -> None:
        """Nothing is done for each of them while pushes go out."""
        members = [Member(), Member(framed=True)]
        rank = self.rank(*members)
        for _ in range(3):
            rank.fire(load())
        self.assertEqual([member.channel.outbox.packets_out for member in members], [0, 0])
        rank.dissolve()
        rank.dissolve()
        self.assertEqual([member.channel.outbox.packets_out for member in members], [6, 6])

    def test_dissolved(self) -> None:
        """Nobody's descriptor is in it any more."""
        member = Member()
        rank = self.rank(member)
        rank.dissolve()
        self.assertEqual((rank.fire(load()), rank.ready, member.sink.taken), ([], 0, []))

    def test_what_is_left(self) -> None:
        """A short send, a full kernel and a broken socket are told apart by nobody here: what is left is for the transport."""
        members = [Member() for _ in range(4)]
        members[0].sink.room = 1
        members[1].sink.room = 0
        members[3].sink.error = ConnectionResetError()
        rests = dict(self.rank(*members).fire(load()))
        self.assertEqual(rests, {members[0].channel: b"bc", members[1].channel: b"abc", members[3].channel: b"abc"})
        self.assertEqual(members[2].sink.taken, [b"abc"])

    def test_who_cannot(self) -> None:
        """Who holds, who has no sink, and who is in it already: its next bytes must wait for what is left of these."""
        paused, ended, member = Member(), Member(), Member()
        paused.channel.outbox.pause()
        ended.channel.outbox.end(flush=False)
        asked = [channel(), paused.channel, ended.channel, member.channel, member.channel]
        rank = Rank(asked, arm=SocketBattery)
        self.assertEqual((rank.ready, rank.others), (1, [*asked[:3], member.channel]))
        self.assertEqual(sorted(map(id, rank.channels)), sorted(map(id, asked)))


class FanoutTests(SynchronousTestCase):
    """As the loop over channels uses it."""

    def test_a_key_twice(self) -> None:
        """Both come, whole and in order, though the first is short."""
        member, other = Member(), Member()
        member.sink.room = 4
        session = _Pauses(member.channel)
        member.connection.session = session  # type: ignore[assignment]  # the part that back-pressure reaches
        member.connection.full_after = 1
        tally = Tally()
        what = Load(Wire(b"abcdef"), packets=1, policy=SlowPolicy.DISCONNECT, operation=1000)
        Fanout(behind=lambda *_: None, arm=SocketBattery).spread(
            what, [member.channel, other.channel, member.channel], tally
        )
        self.assertEqual((member.sink.taken, member.connection.writes), ([b"abcd"], [b"ef"]))
        self.assertEqual((member.channel.outbox.held_packets, tally.delivered), (1, 3))
        member.channel.outbox.resume()
        self.assertEqual(member.connection.writes, [b"ef", b"abcdef"])


class _Pauses:
    """The part of a session that a connection's back-pressure reaches."""

    def __init__(self, member: Channel) -> None:
        self.pause_writing = member.outbox.pause
