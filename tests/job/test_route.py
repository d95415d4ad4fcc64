"""Promises of the router: who gets what."""

from imd.protocol.push import Push, Target
from imd.protocol.rpc import Kind
from tests.support.job_fakes import NOW_MS, JobTestCase


class TargetTests(JobTestCase):
    """From the broker to the comets."""

    def test_a_push_reaches_the_comet_of_its_key(self) -> None:
        """One item, its packet, its operation; counted and committed."""
        self.attach("a", "k1")
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("k1",))
        (item,) = self.a.items
        self.assertEqual((item.kind, item.keys, item.operation), (Kind.KEYS, ("k1",), 1000))
        self.assertEqual(self.a.bodies, [b"hi"])
        self.assertEqual(self.b.batches, [])
        self.assertEqual(self.waiting, 0)
        self.assertEqual(self.metrics.taken.value("keys"), 1)
        self.assertEqual(self.metrics.settled.value("keys"), 1)
        self.assertEqual(self.metrics.handed_over.value("delivered"), 1)
        self.end(dispatcher)

    def test_a_member_gets_it_on_every_device(self) -> None:
        """Keys of one member on two comets, each with its own share."""
        self.attach("a", "phone", mid=7)
        self.attach("b", "laptop", mid=7)
        self.attach("b", "other", mid=8)
        dispatcher = self.dispatcher()
        self.push(Target.MEMBERS, mids=(7,))
        self.assertEqual([item.keys for item in self.a.items], [("phone",)])
        self.assertEqual([item.keys for item in self.b.items], [("laptop",)])
        self.assertEqual([item.mids for item in self.b.items], [(7,)])
        self.end(dispatcher)

    def test_a_room_goes_to_its_hosts_only(self) -> None:
        """A comet without members of the room hears nothing."""
        self.host("b", "live://1")
        dispatcher = self.dispatcher()
        self.push(Target.ROOM, room="live://1")
        self.assertEqual(self.a.batches, [])
        self.assertEqual([(item.kind, item.room) for item in self.b.items], [(Kind.ROOM, "live://1")])
        self.end(dispatcher)

    def test_all_goes_everywhere_at_a_share_of_its_speed(self) -> None:
        """Speed is the cluster's; each comet gets its part, at least one; 0 stays at once."""
        dispatcher = self.dispatcher()
        for speed in (100, 1, 0):
            self.push(Target.ALL, speed=speed)
        for comet in (self.a, self.b):
            self.assertEqual([item.speed for item in comet.items], [50, 1, 0])
        self.end(dispatcher)

    def test_a_kick_goes_to_that_start_only(self) -> None:
        """Another boot, or a comet that is gone, has no such connection: nothing to do, nothing dropped."""
        dispatcher = self.dispatcher()
        for server, boot in (("a", 1), ("a", 2), ("gone", 1)):
            self.push(Target.KICK, body=b"", keys=("k",), server=server, boot=boot)
        self.assertEqual([(item.kind, item.keys) for item in self.a.items], [(Kind.KICK, ("k",))])
        self.assertEqual(self.waiting, 0)
        self.assertEqual(dict(self.metrics.drops.values), {})
        self.end(dispatcher)

    def test_no_comet_at_all(self) -> None:
        """A broadcast to nobody is a counted drop, no crash."""
        self.comets.comets.clear()
        dispatcher = self.dispatcher()
        self.push(Target.ALL)
        self.assertEqual(self.drops("no_comet"), 1)
        self.assertEqual(self.waiting, 0)
        self.end(dispatcher)

    def test_nobody_there_is_counted(self) -> None:
        """Unknown keys, members and rooms: one drop each, and committed."""
        dispatcher = self.dispatcher()
        self.push(Target.KEYS, keys=("x", "y"))
        self.push(Target.MEMBERS, mids=(1, 2, 3))
        self.push(Target.ROOM, room="live://nobody")
        self.assertEqual(self.drops("not_connected"), 6)
        self.assertEqual(self.waiting, 0)
        self.end(dispatcher)


class KeptTests(JobTestCase):
    """Pushes that timelines keep."""

    def test_places_of_a_room(self) -> None:
        """One for each packet, and the mark of each push; a live push of the room leaves apart."""
        self.host("a", "chat://1")
        first, second, live = (
            self.kept(Target.ROOM, b"1", room="chat://1"),
            self.kept(Target.ROOM, b"2", room="chat://1"),
            self.push(Target.ROOM, b"3", room="chat://1"),
        )
        dispatcher = self.dispatcher()
        kept, alone = self.a.items
        self.assertEqual([place.seq for place in kept.places], [1, 2])
        self.assertEqual(kept.marks, ((first.id, first.at_ms), (second.id, second.at_ms)))
        self.assertEqual((kept.count, kept.traced, kept.operation), (2, False, 0))
        self.assertEqual((alone.places, alone.marks), ((), ((live.id, live.at_ms),)))
        self.end(dispatcher)

    def test_places_of_members(self) -> None:
        """One for each key: that of the inbox of its member."""
        for key, mid in (("phone", 7), ("laptop", 7), ("other", 8)):
            self.attach("a", key, mid=mid)
        self.kept(Target.MEMBERS, mids=(8,))
        dispatcher = self.dispatcher()
        self.kept(Target.MEMBERS, mids=(7, 8))
        item = self.a.items[1]
        seqs = dict(zip(item.keys, [place.seq for place in item.places], strict=True))
        self.assertEqual(seqs, {"phone": 1, "laptop": 1, "other": 2})
        self.end(dispatcher)

    def test_nobody_there(self) -> None:
        """No drop: whoever comes finds it in the timeline."""
        dispatcher = self.dispatcher()
        self.kept(Target.MEMBERS, mids=(1, 2))
        self.kept(Target.ROOM, room="chat://1")
        self.assertEqual((self.deferred("not_connected"), self.waiting), (3, 0))
        self.assertEqual(dict(self.metrics.drops.values), {})
        self.end(dispatcher)

    def test_a_presence_event(self) -> None:
        """Comet is told its operation, for only some clients get it."""
        self.host("a", "chat://1")
        dispatcher = self.dispatcher()
        self.push(Target.ROOM, room="chat://1", operation=46)
        self.assertEqual([item.operation for item in self.a.items], [46])
        self.end(dispatcher)

    def test_a_kick_says_why(self) -> None:
        """With the code of the close reason."""
        dispatcher = self.dispatcher()
        self.push(Target.KICK, body=b"", keys=("k",), server="a", boot=1, reason=4031)
        self.assertEqual([item.reason for item in self.a.items], [4031])
        self.end(dispatcher)


class MergeTests(JobTestCase):
    """Pushes to a room."""

    def test_pushes_read_together_to_one_room_leave_in_one_item(self) -> None:
        """Merged once for all its hosts, counted, order kept."""
        self.host("a", "live://1")
        self.host("b", "live://1")
        self.publish([Push(n, NOW_MS, Target.ROOM, 1000, b"%d" % n, room="live://1") for n in range(5)])
        dispatcher = self.dispatcher()
        for comet in (self.a, self.b):
            (item,) = comet.items
            self.assertEqual(item.count, 5)
            self.assertEqual(comet.bodies, [b"%d" % n for n in range(5)])
        self.assertIs(self.a.items[0], self.b.items[0])
        self.assertEqual(self.metrics.merged.value(), 5)
        self.assertEqual(self.metrics.settled.value("room"), 5)
        self.end(dispatcher)

    def test_an_idle_room_does_not_wait(self) -> None:
        """A single push leaves at once, alone."""
        self.host("a", "live://1")
        dispatcher = self.dispatcher()
        self.push(Target.ROOM, room="live://1")
        self.assertEqual([item.count for item in self.a.items], [1])
        self.assertEqual(self.metrics.merged.value(), 0)
        self.end(dispatcher)


class PoisonTests(JobTestCase):
    """Entries that nobody foresaw."""

    def test_a_push_that_cannot_be_encoded(self) -> None:
        """Counted as an error; its neighbours are delivered."""
        self.attach("a", "k")
        good = [Push(n, NOW_MS, Target.KEYS, 1000, b"%d" % n, keys=("k",)) for n in (1, 2)]
        bad = Push(3, NOW_MS, Target.KEYS, 2**40, b"", keys=("k",))
        self.publish([good[0], bad, good[1]])
        dispatcher = self.dispatcher()
        self.assertEqual(self.a.bodies, [b"1", b"2"])
        self.assertEqual((self.drops("error"), self.waiting), (1, 0))
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.end(dispatcher)
