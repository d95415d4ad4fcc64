"""What every store of kept messages must do. A backend's test subclasses :class:`TimelinesContract` and ``TestCase``."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace
from twisted.internet.defer import Deferred, gatherResults

from imd.errors import Overloaded
from imd.interfaces import Receipt, Swept, Timelines, Totals
from imd.metrics import Metrics
from imd.protocol.push import Push, Target, partition_of
from imd.protocol.rpc import Ack, Follow, Page
from imd.protocol.timeline import Message, Place, inbox_timeline, room_timeline, target_of
from tests.contract.broker import PARTITIONS, AnyBroker

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Case
else:
    _Case = object

ROOM = "chat://1"
R = room_timeline(ROOM)
MINUTE_MS = 60_000


class Store(NamedTuple):
    """The two sides of one product."""

    broker: AnyBroker
    timelines: Timelines


class TimelinesContract(_Case):
    """Every sentence of :class:`imd.interfaces.Timelines`, and what publishing has to do with it."""

    metrics: Metrics  # set by make_store: what the store made last counts in

    async def make_store(self, *, head_seconds: float = 3600.0, max_backlog_entries: int = 5000) -> Store:
        """Open and empty, of ``PARTITIONS`` partitions; sets ``self.metrics``, and closes it by ``addCleanup``."""
        raise NotImplementedError

    async def pass_time(self, seconds: float) -> None:
        """Let at least ``seconds`` go by on the store's clock; at most 2 are asked for."""
        raise NotImplementedError

    def now_ms(self) -> int:
        """The store's clock, ms since the epoch."""
        raise NotImplementedError

    async def restarted(self, store: Store) -> Store:
        """The product stopped without notice, and came back having lost nothing."""
        raise NotImplementedError

    async def emptied(self, store: Store) -> Store:
        """The product lost everything."""
        raise NotImplementedError

    async def rolled_back(self, store: Store, deed: Callable[[], Awaitable[object]]) -> Store:
        """Does ``deed``; then the product is as it was before."""
        raise NotImplementedError

    # what the tests say often

    def to_room(self, id: int, *, room: str = ROOM, count: int = 100, ms: int = MINUTE_MS, age_ms: int = 0) -> Push:
        """A kept push to a room, accepted ``age_ms`` ago."""
        at_ms = self.now_ms() - age_ms
        return Push(id, at_ms, Target.ROOM, 1000, b"%d" % id, room=room, keep_count=count, keep_ms=ms)

    def to_members(self, id: int, *mids: int) -> Push:
        """A kept push to members of one partition."""
        return Push(id, self.now_ms(), Target.MEMBERS, 1000, b"%d" % id, mids=mids, keep_count=100, keep_ms=MINUTE_MS)

    async def keep(self, store: Store, *pushes: Push) -> list[Receipt]:
        """Publish each to its partition, in one call."""
        return await store.broker.publish([(partition(push.timelines[0]), push) for push in pushes])

    async def fill(self, store: Store, *ids: int, room: str = ROOM, count: int = 100) -> str:
        """Keep messages in a room; answers the epoch."""
        receipts = await self.keep(store, *(self.to_room(id, room=room, count=count) for id in ids))
        return receipts[-1].places[0].epoch

    async def page(self, store: Store, timeline: str, after: int = -1, epoch: str = "", limit: int = 100) -> Page:
        """What one follow gets."""
        return await self.ask(store, Follow(timeline, after, epoch, limit))

    async def witness(self, store: Store, after: int, epoch: str) -> Page:
        """What a comet gets that wrote the message at ``after``."""
        return await self.ask(store, Follow(R, after, epoch, 100, witnessed=True))

    async def ask(self, store: Store, follow: Follow) -> Page:
        """One page."""
        (page,) = await store.timelines.read([follow])
        timeline = follow.timeline
        self.assertEqual(page.timeline, timeline)
        return page

    async def head(self, store: Store, timeline: str = R) -> Place:
        return (await self.page(store, timeline)).head

    async def sweep(self, store: Store, limit: int = 100) -> Swept:
        """Every partition, once; the sums."""
        swept = [await store.timelines.sweep(number, limit) for number in range(PARTITIONS)]
        return Swept(
            sum(each.acked for each in swept), sum(each.expired for each in swept), any(each.more for each in swept)
        )

    async def assert_totals(self, store: Store, kept: int, held: int, acked: int, expired: int) -> None:
        self.assertEqual(await store.timelines.totals(), Totals(kept, held, acked, expired))

    # appending

    async def test_a_live_push_has_no_place(self) -> None:
        """It is in the broker alone."""
        store = await self.make_store()
        live = self.to_room(1, count=0)
        self.assertEqual(await store.broker.publish([(partition(R), live)]), [Receipt(1)])
        (entry,) = await store.broker.read(partition(R), 10, 0)
        self.assertEqual(entry.places, ())
        self.assertEqual((await self.head(store)).seq, 0)

    async def test_places_rise_by_one(self) -> None:
        """From 1, in one epoch, over one call and several."""
        store = await self.make_store()
        receipts = await self.keep(store, *map(self.to_room, (11, 12, 13)))
        receipts += await self.keep(store, self.to_room(14))
        epoch = receipts[0].places[0].epoch
        self.assertTrue(epoch)
        self.assertEqual([receipt.places for receipt in receipts], [(Place(seq, epoch),) for seq in (1, 2, 3, 4)])
        self.assertEqual(await self.head(store), Place(4, epoch))

    async def test_entries_have_the_same_places(self) -> None:
        """As the receipts say, again after a rewind, with the push as it went in."""
        store = await self.make_store()
        pushes = [self.to_room(1), self.to_room(2)]
        receipts = await self.keep(store, *pushes)
        for _ in range(2):
            await store.broker.rewind(partition(R))
            entries = await store.broker.read(partition(R), 10, 0)
            self.assertEqual([entry.push for entry in entries], pushes)
            self.assertEqual([entry.places for entry in entries], [receipt.places for receipt in receipts])

    async def test_each_member_has_a_place(self) -> None:
        """In the order of the push's members; each inbox has its own numbers."""
        store = await self.make_store()
        one, two, three = neighbours(3)
        await self.keep(store, self.to_members(1, two))
        (receipt,) = await self.keep(store, self.to_members(2, one, two, three))
        self.assertEqual([place.seq for place in receipt.places], [1, 2, 1])
        for mid, place in zip((one, two, three), receipt.places, strict=True):
            page = await self.page(store, inbox_timeline(mid), place.seq - 1, place.epoch)
            self.assertEqual([message.id for message in page.messages], [2])

    async def test_a_room_and_a_member_of_one_name(self) -> None:
        """Their timelines are two."""
        store = await self.make_store()
        await self.keep(store, self.to_members(1, 7), self.to_room(2, room="7"), self.to_members(3, 7))
        self.assertEqual((await self.head(store, inbox_timeline(7))).seq, 2)
        self.assertEqual((await self.head(store, room_timeline("7"))).seq, 1)

    async def test_calls_under_way_together(self) -> None:
        """The places have no holes and no doubles, and rise in the order of the broker's entries."""
        store = await self.make_store()
        await gatherResults([Deferred.fromCoroutine(self.keep(store, self.to_room(id))) for id in range(1, 51)])
        entries = await store.broker.read(partition(R), 100, 0)
        self.assertEqual([entry.places[0].seq for entry in entries], list(range(1, 51)))

    async def test_a_repeated_push_answers_its_first_place(self) -> None:
        """It is kept once; a conflict is not kept at all, and has no place."""
        store = await self.make_store()
        first, again = (replace(self.to_room(id), idempotency_key="k", body=b"same") for id in (1, 2))
        conflict = replace(again, id=3, body=b"other")
        places = (Place(1, (await self.head(store)).epoch),)  # a read makes the head that appends go on with
        self.assertEqual(
            await self.keep(store, first, self.to_room(9), again, conflict),
            [
                Receipt(1, places=places),
                Receipt(9, places=(Place(2, places[0].epoch),)),
                Receipt(1, repeated=True, places=places),
                Receipt(1, conflict=True),
            ],
        )
        self.assertEqual(await self.keep(store, again), [Receipt(1, repeated=True, places=places)])
        page = await self.page(store, R, 0, places[0].epoch)
        self.assertEqual([message.id for message in page.messages], [1, 9])

    async def test_a_refused_push_is_nowhere(self) -> None:
        """A full broker keeps nothing in a timeline either."""
        store = await self.make_store(max_backlog_entries=2)
        await self.fill(store, 1, 2)
        with self.assertRaises(Overloaded):
            await self.fill(store, 3)
        self.assertEqual((await self.head(store)).seq, 2)
        await self.assert_totals(store, 2, 2, 0, 0)

    async def test_committing_changes_no_timeline(self) -> None:
        """The message stays for those who come later."""
        store = await self.make_store()
        epoch = await self.fill(store, 1)
        (entry,) = await store.broker.read(partition(R), 10, 0)
        await store.broker.commit(partition(R), [entry.token])
        self.assertEqual(len((await self.page(store, R, 0, epoch)).messages), 1)

    # reading

    async def test_a_message_comes_out_as_it_went_in(self) -> None:
        """Its push's id, time, operation and body, whatever the bytes."""
        store = await self.make_store()
        now = self.now_ms()
        push = Push(2**63 - 1, now, Target.ROOM, -(2**31), b"\x00\xff", room=ROOM, keep_count=5, keep_ms=MINUTE_MS)
        (receipt,) = await self.keep(store, push)
        page = await self.page(store, R, 0, receipt.places[0].epoch)
        self.assertEqual(page.messages, (Message(1, push.id, now, push.operation, push.body),))

    async def test_what_was_missed(self) -> None:
        """Everything behind the place, in order; proven."""
        store = await self.make_store()
        epoch = await self.fill(store, *range(1, 11))
        page = await self.page(store, R, 7, epoch)
        self.assertEqual([message.seq for message in page.messages], [8, 9, 10])
        self.assertEqual((page.head, page.recovered, page.more), (Place(10, epoch), True, False))

    async def test_nothing_was_missed(self) -> None:
        """At the head nothing follows; proven."""
        store = await self.make_store()
        epoch = await self.fill(store, 1, 2)
        self.assertEqual(await self.page(store, R, 2, epoch), Page(R, Place(2, epoch)))

    async def test_pages(self) -> None:
        """At most ``limit``; ``more`` until nothing is behind them; each page is proven."""
        store = await self.make_store()
        epoch = await self.fill(store, *range(1, 11))
        seen: list[int] = []
        pages: list[tuple[int, bool]] = []
        while not pages or pages[-1][1]:
            page = await self.page(store, R, len(seen), epoch, 4)
            self.assertTrue(page.recovered)
            self.assertEqual(page.head.seq, 10)
            seen += [message.seq for message in page.messages]
            pages.append((len(page.messages), page.more))
        self.assertEqual(pages, [(4, True), (4, True), (2, False)])
        self.assertEqual(seen, list(range(1, 11)))

    async def test_the_head_alone(self) -> None:
        """Nothing is asked for: nothing needs a proof."""
        store = await self.make_store()
        epoch = await self.fill(store, 1, 2)
        self.assertEqual(await self.page(store, R, -1, "", 100), Page(R, Place(2, epoch)))

    async def test_a_proof_without_messages(self) -> None:
        """``limit`` 0 says whether everything behind the place is there, and whether there is anything."""
        store = await self.make_store()
        epoch = await self.fill(store, 1, 2)
        self.assertEqual(await self.page(store, R, 1, epoch, 0), Page(R, Place(2, epoch), True, (), True))
        self.assertEqual(await self.page(store, R, 2, epoch, 0), Page(R, Place(2, epoch)))
        self.assertFalse((await self.page(store, R, 1, "other", 0)).recovered)

    async def test_another_epoch(self) -> None:
        """Nothing is proven, and nothing is told of what follows a place in another numbering."""
        store = await self.make_store()
        epoch = await self.fill(store, 1, 2)
        for after in (0, 1, 2, 3):
            self.assertEqual(await self.page(store, R, after, epoch + "x"), Page(R, Place(2, epoch), False))

    async def test_no_epoch(self) -> None:
        """Whoever does not know it gets the messages, and no proof."""
        store = await self.make_store()
        epoch = await self.fill(store, 1, 2)
        page = await self.page(store, R, 0)
        self.assertEqual([message.seq for message in page.messages], [1, 2])
        self.assertEqual((page.head, page.recovered), (Place(2, epoch), False))

    async def test_an_unknown_timeline(self) -> None:
        """Reading it makes its head: seq 0 in an epoch is a place that can be proven, also once messages come."""
        store = await self.make_store()
        head = await self.head(store)
        self.assertEqual(head.seq, 0)
        self.assertTrue(head.epoch)
        self.assertEqual(await self.page(store, R, 0, head.epoch), Page(R, head))
        self.assertEqual(await self.fill(store, 1), head.epoch)
        page = await self.page(store, R, 0, head.epoch)
        self.assertEqual(([message.seq for message in page.messages], page.recovered), ([1], True))

    async def test_many_follows(self) -> None:
        """A thousand in one call, of all partitions, each answered in its place, the same timeline twice too."""
        store = await self.make_store()
        rooms = [f"chat://{number}" for number in range(333)]
        await self.keep(store, *(self.to_room(number + 1, room=room) for number, room in enumerate(rooms)))
        heads = await store.timelines.read([Follow(room_timeline(room)) for room in rooms])
        follows = [Follow(page.timeline, after, page.head.epoch, 10) for page in heads for after in (0, 1, -1)]
        pages = await store.timelines.read(follows)
        self.assertEqual(len(pages), 999)
        for number, page in enumerate(pages):
            self.assertEqual(page.timeline, follows[number].timeline)
            self.assertEqual(page.head, heads[number // 3].head)
            self.assertTrue(page.recovered)
            wanted = [number // 3 + 1] if number % 3 == 0 else []
            self.assertEqual([message.id for message in page.messages], wanted)

    async def test_no_follows(self) -> None:
        """An empty question has an empty answer."""
        store = await self.make_store()
        self.assertEqual(await store.timelines.read([]), [])

    async def test_an_answer_is_bounded(self) -> None:
        """One call answers about 1 MiB, whatever was asked; it always answers some, and asking on gets everything."""
        store = await self.make_store()
        rooms = [f"chat://{number}" for number in range(200) if partition(f"r:chat://{number}") == 0][:4]
        body = b"x" * 100_000
        epochs = {}
        for room in rooms:
            receipts = await self.keep(store, *(replace(self.to_room(id, room=room), body=body) for id in range(1, 9)))
            epochs[room] = receipts[0].places[0].epoch
        after = dict.fromkeys(rooms, 0)
        more = True
        while more:
            pages = await store.timelines.read([Follow(room_timeline(r), after[r], epochs[r], 100) for r in rooms])
            self.assertLess(sum(len(message.body) for page in pages for message in page.messages), 2 << 20)
            self.assertTrue(any(page.messages for page in pages))
            self.assertTrue(all(page.recovered for page in pages))
            for room, page in zip(rooms, pages, strict=True):
                for message in page.messages:
                    self.assertEqual(message.seq, after[room] + 1)
                    after[room] = message.seq
                self.assertEqual(page.more, after[room] < 8)
            more = any(page.more for page in pages)
        self.assertEqual(set(after.values()), {8})

    async def test_odd_names(self) -> None:
        """Any text is a room, any int64 a member."""
        store = await self.make_store()
        for id, room in enumerate(("ü {1}:*\n", "a:b", "{}", "", "\x00", "007"), 1):
            epoch = await self.fill(store, id, room=room)
            self.assertEqual((await self.page(store, room_timeline(room), 0, epoch)).messages[0].id, id)
        for mid in (-1, 2**63 - 1, -(2**63)):
            (receipt,) = await self.keep(store, self.to_members(1, mid))
            self.assertEqual(await self.head(store, inbox_timeline(mid)), receipt.places[0])

    # the window

    async def test_a_timeline_keeps_so_many(self) -> None:
        """The newest; who stands just before them misses nothing, who stands further back is not told so."""
        store = await self.make_store()
        epoch = await self.fill(store, *range(1, 11), count=4)
        page = await self.page(store, R, 6, epoch)
        self.assertEqual(([message.seq for message in page.messages], page.recovered), ([7, 8, 9, 10], True))
        page = await self.page(store, R, 5, epoch)
        self.assertEqual(([message.seq for message in page.messages], page.recovered), ([7, 8, 9, 10], False))
        self.assertFalse((await self.page(store, R, 5, epoch, 0)).recovered)
        await self.assert_totals(store, 10, 4, 0, 6)
        self.assertEqual(self.metrics.messages_kept.value(), 10)
        self.assertEqual(dict(self.metrics.messages_gone.values), {("expired",): 6})

    async def test_a_smaller_number(self) -> None:
        """The newest push says how many are kept."""
        store = await self.make_store()
        await self.fill(store, *range(1, 11))
        epoch = await self.fill(store, 11, count=2)
        page = await self.page(store, R, 0, epoch)
        self.assertEqual([message.seq for message in page.messages], [10, 11])

    async def test_messages_that_are_too_old_are_not_there(self) -> None:
        """Before any sweep; who needs them is not told that nothing is missing, who is behind them is."""
        store = await self.make_store()
        aged = [self.to_room(id, age_ms=MINUTE_MS - 1000) for id in (1, 2)]
        receipts = await self.keep(store, *aged, self.to_room(3))
        epoch = receipts[0].places[0].epoch
        self.assertEqual(len((await self.page(store, R, 0, epoch)).messages), 3)
        await self.pass_time(1.2)
        page = await self.page(store, R, 1, epoch)
        self.assertEqual(([message.seq for message in page.messages], page.recovered), ([3], False))
        page = await self.page(store, R, 2, epoch)
        self.assertEqual(([message.seq for message in page.messages], page.recovered), ([3], True))

    async def test_everything_is_too_old(self) -> None:
        """The head stays: who was there misses nothing, who was not is told so."""
        store = await self.make_store()
        (receipt,) = await self.keep(store, self.to_room(1, age_ms=2 * MINUTE_MS))
        head = receipt.places[0]
        self.assertEqual(await self.page(store, R, 1, head.epoch), Page(R, head))
        self.assertEqual(await self.page(store, R, 0, head.epoch), Page(R, head, False))
        self.assertEqual(await self.fill(store, 2), head.epoch)
        self.assertTrue((await self.page(store, R, 1, head.epoch)).recovered)

    # positions

    async def test_positions_move_forward(self) -> None:
        """Each device has its own, and none goes back."""
        store = await self.make_store()
        epoch = await self.fill(store, 1, 2, 3)
        await store.timelines.ack([Ack(R, "7:a", 2, epoch), Ack(R, "7:b", 1, epoch), Ack(R, "7:a", 3, epoch)])
        self.assertEqual(await store.timelines.positions(R), {"7:a": 3, "7:b": 1})
        await store.timelines.ack([Ack(R, "7:a", 1, epoch), Ack(R, "7:b", 1, epoch)])
        self.assertEqual(await store.timelines.positions(R), {"7:a": 3, "7:b": 1})
        self.assertEqual(dict(self.metrics.positions.values), {("moved",): 3, ("repeated",): 2})

    async def test_acks_that_cannot_be(self) -> None:
        """Of another epoch, of none, beyond the head, of an unknown timeline: dropped and counted."""
        store = await self.make_store()
        epoch = await self.fill(store, 1)
        await store.timelines.ack(
            [
                Ack(R, "7:a", 1, epoch + "x"),
                Ack(R, "7:a", 1),
                Ack(R, "7:a", 2, epoch),
                Ack("r:unknown", "7:a", 1, epoch),
                Ack(R, "7:b", 1, epoch),
            ]
        )
        self.assertEqual(await store.timelines.positions(R), {"7:b": 1})
        self.assertEqual(await store.timelines.positions("r:unknown"), {})
        self.assertEqual(dict(self.metrics.positions.values), {("stale",): 3, ("beyond",): 1, ("moved",): 1})
        self.assertEqual((await self.head(store)), Place(1, epoch))  # an ack beyond the head proves nothing

    async def test_no_acks(self) -> None:
        """Nothing to do is done."""
        store = await self.make_store()
        await store.timelines.ack([])

    async def test_positions_are_bounded(self) -> None:
        """Of a thousand devices; those whose position changed longest ago are forgotten."""
        store = await self.make_store()
        epoch = await self.fill(store, 1, 2)
        for first in (0, 500):
            await store.timelines.ack([Ack(R, f"1:{n}", 1, epoch) for n in range(first, first + 500)])
        await store.timelines.ack([Ack(R, "1:0", 2, epoch)])
        await store.timelines.ack([Ack(R, f"2:{n}", 1, epoch) for n in range(10)])
        positions = await store.timelines.positions(R)
        self.assertEqual(len(positions), 1000)
        self.assertEqual(positions["1:0"], 2)
        self.assertEqual({f"1:{n}" for n in range(1, 11)} & set(positions), set())
        self.assertIn("1:11", positions)
        self.assertIn("2:9", positions)

    async def test_what_some_device_had_handled_is_acked(self) -> None:
        """When it goes, for its number or its age; the rest expired."""
        store = await self.make_store()
        epoch = await self.fill(store, 1, 2, 3, 4, count=4)
        await store.timelines.ack([Ack(R, "7:a", 2, epoch), Ack(R, "7:b", 1, epoch)])
        await self.fill(store, 5, 6, 7, count=4)
        await self.assert_totals(store, 7, 4, 2, 1)
        self.assertEqual(dict(self.metrics.messages_gone.values), {("acked",): 2, ("expired",): 1})

    # sweeps

    async def test_a_sweep_lets_go_of_what_is_too_old(self) -> None:
        """And says what became of it; what is young stays."""
        store = await self.make_store()
        receipts = await self.keep(
            store,
            *(self.to_room(id, age_ms=MINUTE_MS - 1000) for id in (1, 2, 3)),
            self.to_room(4),
            self.to_room(5, room="chat://2", age_ms=MINUTE_MS - 1000),
        )
        epoch = receipts[0].places[0].epoch
        await store.timelines.ack([Ack(R, "7:a", 2, epoch)])
        self.assertEqual(await self.sweep(store), Swept(0, 0))
        await self.pass_time(1.2)
        self.assertEqual(await self.sweep(store), Swept(2, 2))
        self.assertEqual(await self.sweep(store), Swept(0, 0))
        await self.assert_totals(store, 5, 1, 2, 2)
        self.assertEqual(dict(self.metrics.messages_gone.values), {("acked",): 2, ("expired",): 2})

    async def test_a_sweep_is_bounded(self) -> None:
        """At most ``limit`` timelines a call; ``more`` while there are others."""
        store = await self.make_store()
        rooms = [f"chat://{number}" for number in range(200) if partition(f"r:chat://{number}") == 2][:10]
        await self.keep(store, *(self.to_room(1, room=room, age_ms=MINUTE_MS - 1000) for room in rooms))
        await self.pass_time(1.2)
        swept = [await store.timelines.sweep(2, 4)]
        while swept[-1].more:
            swept.append(await store.timelines.sweep(2, 4))
        self.assertEqual(sum(each.expired for each in swept), 10)
        self.assertTrue(all(each.expired <= 4 for each in swept), swept)
        self.assertGreaterEqual(len(swept), 3)

    async def test_an_untouched_head_is_forgotten(self) -> None:
        """Once it is empty, ``head_seconds`` after the last touch: then there is another epoch, though nothing was lost."""
        store = await self.make_store(head_seconds=1)
        (receipt,) = await self.keep(store, self.to_room(1, ms=200))
        await self.pass_time(1.5)
        await self.sweep(store)
        await self.sweep(store)
        head = await self.head(store)
        self.assertEqual(head.seq, 0)
        self.assertNotEqual(head.epoch, receipt.places[0].epoch)
        self.assertFalse((await self.page(store, R, 1, receipt.places[0].epoch)).recovered)
        await self.assert_totals(store, 1, 0, 0, 1)

    async def test_a_head_that_is_read_stays(self) -> None:
        """A read touches it."""
        store = await self.make_store(head_seconds=1.5)
        head = await self.head(store)
        for _ in range(3):
            await self.pass_time(0.8)
            await self.sweep(store)
            self.assertEqual(await self.head(store), head)

    async def test_a_head_with_messages_stays(self) -> None:
        """As long as one is left."""
        store = await self.make_store(head_seconds=0.5)
        epoch = await self.fill(store, 1)
        await self.pass_time(1)
        await self.sweep(store)
        self.assertTrue((await self.page(store, R, 0, epoch)).recovered)

    # loss

    async def test_a_restart_loses_nothing(self) -> None:
        """The same epochs, messages, positions, numbers and totals."""
        store = await self.make_store()
        epoch = await self.fill(store, 1, 2, 3)
        await store.timelines.ack([Ack(R, "7:a", 2, epoch)])
        empty = await self.head(store, "r:empty")
        fence = await store.broker.rewind(partition(R))
        store = await self.restarted(store)
        page = await self.page(store, R, 1, epoch)
        self.assertEqual(([message.seq for message in page.messages], page.recovered), ([2, 3], True))
        self.assertEqual(await store.timelines.positions(R), {"7:a": 2})
        self.assertEqual(await self.head(store, "r:empty"), empty)
        self.assertEqual(await self.fill(store, 4), epoch)
        self.assertEqual((await self.head(store)).seq, 4)
        await self.assert_totals(store, 4, 4, 0, 0)
        backlog = await store.broker.backlog()
        self.assertEqual((backlog.entries, backlog.appended, backlog.committed), (4, 4, 0))
        self.assertGreater(await store.broker.rewind(partition(R)), fence)

    async def test_an_emptied_store(self) -> None:
        """Nothing is claimed of any place of before, though the numbers may be reached again; numbers begin at 1."""
        store = await self.make_store()
        epoch = await self.fill(store, 1, 2)
        empty = await self.head(store, "r:empty")
        fence = await store.broker.rewind(partition(R))
        store = await self.emptied(store)
        self.assertFalse((await self.page(store, "r:empty", 0, empty.epoch)).recovered)
        (receipt,) = await self.keep(store, self.to_room(3))
        self.assertEqual(receipt.places[0].seq, 1)
        await self.fill(store, 4, 5)
        for after in (0, 1, 2, 3):
            page = await self.page(store, R, after, epoch)
            self.assertEqual((page.recovered, page.messages), (False, ()))
        await self.assert_totals(store, 3, 3, 0, 0)
        await self.pass_time(0.01)
        self.assertGreater(await store.broker.rewind(partition(R)), fence)

    async def test_a_claim_of_what_the_store_lost(self) -> None:
        """A comet that wrote what is beyond the head, in its epoch, proves that the store went back: no place of before is
        good then, in no timeline of the partition. What is still held stays, and keeps its number."""
        store = await self.make_store()
        other = next(f"chat://{n}" for n in range(2, 99) if partition(f"r:chat://{n}") == partition(R))
        epoch, other_epoch = await self.fill(store, 1, 2), await self.fill(store, 3, room=other)

        async def deed() -> None:
            await self.fill(store, 4, 5)

        store = await self.rolled_back(store, deed)
        page = await self.witness(store, 4, epoch)
        self.assertEqual((page.recovered, page.messages, page.head.seq), (False, (), 2))
        self.assertNotEqual(page.head.epoch, epoch)
        for timeline, after, old in ((R, 2, epoch), (R, 1, epoch), (room_timeline(other), 1, other_epoch)):
            self.assertFalse((await self.page(store, timeline, after, old)).recovered)
        self.assertEqual(await self.fill(store, 6), page.head.epoch)
        self.assertEqual(await self.head(store), Place(3, page.head.epoch))
        page = await self.page(store, R, 0, page.head.epoch)
        self.assertEqual([message.id for message in page.messages], [1, 2, 6])
        self.assertTrue(page.recovered)

    async def test_a_new_epoch_has_no_positions(self) -> None:
        """They were of another numbering; an ack of before is dropped."""
        store = await self.make_store()
        epoch = await self.fill(store, 1, 2)
        await store.timelines.ack([Ack(R, "7:a", 1, epoch)])
        head = (await self.witness(store, 5, epoch)).head
        self.assertNotEqual(head.epoch, epoch)
        self.assertEqual(await store.timelines.positions(R), {})
        await store.timelines.ack([Ack(R, "7:a", 2, epoch), Ack(R, "7:b", 2, head.epoch)])
        self.assertEqual(await store.timelines.positions(R), {"7:b": 2})

    async def test_each_proven_loss_has_an_epoch(self) -> None:
        """Two losses one after the other: none of the three epochs is another's."""
        store = await self.make_store()
        epochs = [await self.fill(store, 1)]
        for _ in range(2):
            epochs.append((await self.witness(store, 10, epochs[-1])).head.epoch)
        self.assertEqual(len(set(epochs)), 3)

    async def test_a_claim_in_another_epoch_proves_nothing(self) -> None:
        """It is not recovered, and nobody else's place is touched."""
        store = await self.make_store()
        epoch = await self.fill(store, 1, 2)
        for other in ("", "x", epoch + "0"):
            self.assertFalse((await self.witness(store, 9, other)).recovered)
        self.assertTrue((await self.page(store, R, 1, epoch)).recovered)

    async def test_a_clients_word_proves_nothing(self) -> None:
        """A client that claims what never was is not recovered, and nobody else's place is touched: else it could
        reset everybody."""
        store = await self.make_store()
        epoch = await self.fill(store, 1, 2)
        page = await self.page(store, R, 10**15, epoch)
        self.assertEqual((page.recovered, page.messages, page.more), (False, (), False))
        self.assertEqual(page.head, Place(2, epoch))
        self.assertTrue((await self.page(store, R, 1, epoch)).recovered)


def partition(timeline: str) -> int:
    """Where it belongs."""
    return partition_of(target_of(timeline), PARTITIONS)


def neighbours(count: int) -> list[int]:
    """Members whose inboxes are in one partition."""
    return [mid for mid in range(1, 1000) if partition(inbox_timeline(mid)) == 1][:count]
