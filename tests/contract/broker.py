"""What every Broker must do. A backend's test subclasses :class:`BrokerContract` together with trial's ``TestCase``."""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, gatherResults

from imd.errors import BrokerUnavailable, Fenced, Overloaded
from imd.interfaces import Broker, Entry, Receipt, Resource
from imd.ledger import Figures, balances
from imd.logic.offers import Offers
from imd.metrics import Metrics
from imd.protocol.push import Push, Target

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Case
else:
    _Case = object

NOW_MS = int(time.time() * 1000)
PARTITIONS = 4


class AnyBroker(Broker, Resource, Protocol):
    """A broker that service can open and close."""


class BrokerContract(_Case):
    """Every sentence of :class:`imd.interfaces.Broker`, and of the settings that all brokers share."""

    metrics: Metrics  # set by make_broker: what the broker made last counts in

    async def make_broker(self, *, max_backlog_entries: int = 1000, idempotency_seconds: float = 60.0) -> AnyBroker:
        """An open, empty broker of ``PARTITIONS`` partitions; sets ``self.metrics``, and closes it by ``addCleanup``."""
        raise NotImplementedError

    async def pass_time(self, seconds: float) -> None:
        """Let at least ``seconds`` go by on the broker's clock; at most 2 are asked for."""
        raise NotImplementedError

    async def spoil(self, broker: AnyBroker, partition: int) -> None:
        """Append an entry that no push can be decoded from, past ``publish``."""
        raise NotImplementedError

    # what the tests say often

    async def publish(self, broker: Broker, partition: int, *ids: int) -> list[Receipt]:
        return await broker.publish([(partition, push(id)) for id in ids])

    async def read_all(self, broker: Broker, partition: int) -> list[Entry]:
        """Everything that is there now, in pages of three."""
        entries: list[Entry] = []
        while page := await broker.read(partition, 3, 0):
            self.assertLessEqual(len(page), 3)
            entries += page
        return entries

    async def ids(self, broker: Broker, partition: int) -> list[int]:
        return [entry.push.id for entry in await self.read_all(broker, partition)]

    async def wait_for(self, broker: Broker, partition: int, seconds: float) -> "Deferred[list[Entry]]":
        """A read that is waiting by now."""
        reading = Deferred.fromCoroutine(broker.read(partition, 10, seconds))
        await self.pass_time(0.05)
        return reading

    # publish and read

    async def test_says_how_many_partitions(self) -> None:
        """``partitions`` is what it was made with."""
        broker = await self.make_broker()
        self.assertEqual(broker.partitions, PARTITIONS)

    async def test_a_push_comes_out_as_it_went_in(self) -> None:
        """Every field of every kind of push survives."""
        broker = await self.make_broker()
        pushes = [
            Push(1, NOW_MS, Target.KEYS, 1000, b"\x00\xff raw", keys=("a", "ü")),
            Push(2, NOW_MS, Target.MEMBERS, -(2**31), b"", mids=(1, -5, 2**63 - 1)),
            Push(3, NOW_MS, Target.ROOM, 2**31 - 1, b"x" * 5000, room="live://a/b"),
            Push(2**63 - 1, NOW_MS, Target.ALL, 7, b"all", speed=40),
            Push(5, NOW_MS, Target.KICK, keys=("a",), server="comet-1", boot=NOW_MS),
        ]
        await broker.publish([(0, each) for each in pushes])
        self.assertEqual([entry.push for entry in await self.read_all(broker, 0)], pushes)

    async def test_a_receipt_for_each_push(self) -> None:
        """The receipts name the pushes, in order."""
        broker = await self.make_broker()
        receipts = await broker.publish([(0, push(5)), (1, push(6)), (0, push(7))])
        self.assertEqual(receipts, [Receipt(5), Receipt(6), Receipt(7)])

    async def test_publishing_nothing_is_fine(self) -> None:
        """An empty sequence gets an empty answer."""
        broker = await self.make_broker()
        self.assertEqual(await broker.publish([]), [])

    async def test_each_partition_keeps_its_order(self) -> None:
        """Pushes come out of their partition, and only of theirs, in the order they were published."""
        broker = await self.make_broker()
        await broker.publish([(0, push(1)), (1, push(2)), (0, push(3)), (1, push(4))])
        await self.publish(broker, 0, 5, 6)
        self.assertEqual(await self.ids(broker, 0), [1, 3, 5, 6])
        self.assertEqual(await self.ids(broker, 1), [2, 4])
        self.assertEqual(await self.ids(broker, 2), [])

    async def test_calls_under_way_together_keep_their_order(self) -> None:
        """Calls that were made one after the other without waiting are stored in that order."""
        broker = await self.make_broker()
        await gatherResults([Deferred.fromCoroutine(self.publish(broker, 0, id)) for id in range(1, 51)])
        self.assertEqual(await self.ids(broker, 0), list(range(1, 51)))

    async def test_read_takes_at_most_the_limit(self) -> None:
        """``limit`` holds, and the next read goes on behind it."""
        broker = await self.make_broker()
        await self.publish(broker, 0, 1, 2, 3)
        self.assertEqual(identities(await broker.read(0, 2, 0)), [1, 2])
        self.assertEqual(identities(await broker.read(0, 2, 0)), [3])

    async def test_reads_between_publishes_miss_nothing(self) -> None:
        """Reading some, publishing more and reading on gives each entry once."""
        broker = await self.make_broker()
        await self.publish(broker, 0, 1, 2)
        seen = identities(await broker.read(0, 1, 0))
        await self.publish(broker, 0, 3)
        seen += await self.ids(broker, 0)
        await self.publish(broker, 0, 4)
        seen += await self.ids(broker, 0)
        self.assertEqual(seen, [1, 2, 3, 4])

    # waiting

    async def test_read_waits_no_longer_than_told(self) -> None:
        """Without an entry the answer is empty, after ``wait_seconds``."""
        broker = await self.make_broker()
        reading = await self.wait_for(broker, 0, 0.3)
        self.assertNoResult(reading)
        await self.pass_time(0.5)
        self.assertEqual(await reading, [])

    async def test_a_waiting_read_wakes_at_a_publish(self) -> None:
        """The entry is handed out long before the wait would have ended."""
        broker = await self.make_broker()
        reading = await self.wait_for(broker, 0, 30)
        started = time.monotonic()
        await self.publish(broker, 0, 1)
        self.assertEqual(identities(await reading), [1])
        self.assertLess(time.monotonic() - started, 2)

    async def test_a_publish_elsewhere_wakes_nobody(self) -> None:
        """Another partition's entries are not this reader's."""
        broker = await self.make_broker()
        reading = await self.wait_for(broker, 0, 0.3)
        await self.publish(broker, 1, 1)
        self.assertNoResult(reading)
        await self.pass_time(0.5)
        self.assertEqual(await reading, [])

    async def test_a_cancelled_wait_ends(self) -> None:
        """Cancelling ends the call with CancelledError, and the partition can be read again."""
        broker = await self.make_broker()
        reading = await self.wait_for(broker, 0, 30)
        reading.cancel()
        with self.assertRaises(CancelledError):
            await reading
        await self.publish(broker, 0, 1)
        await broker.rewind(0)
        self.assertEqual(await self.ids(broker, 0), [1])

    async def test_what_a_cancelled_read_had_taken_comes_back(self) -> None:
        """A read cancelled while entries come loses none of them: rewind brings them back."""
        broker = await self.make_broker()
        await self.publish(broker, 0, 1, 2)
        reading = Deferred.fromCoroutine(broker.read(0, 10, 1))
        reading.addErrback(lambda failure: failure.trap(CancelledError))
        reading.cancel()
        await reading
        await broker.rewind(0)
        self.assertEqual(await self.ids(broker, 0), [1, 2])

    # progress

    async def test_rewind_gives_back_what_was_not_committed(self) -> None:
        """A new owner gets the uncommitted entries again, in order, and then the new ones."""
        broker = await self.make_broker()
        await self.publish(broker, 0, 1, 2, 3, 4, 5)
        entries = await self.read_all(broker, 0)
        await broker.commit(0, [entries[0].token, entries[2].token])
        await broker.rewind(0)
        await self.publish(broker, 0, 6)
        self.assertEqual(await self.ids(broker, 0), [2, 4, 5, 6])

    async def test_rewind_of_an_untouched_partition(self) -> None:
        """Before the first read it changes nothing."""
        broker = await self.make_broker()
        await broker.rewind(0)
        await self.publish(broker, 0, 1)
        await broker.rewind(0)
        self.assertEqual(await self.ids(broker, 0), [1])

    async def test_rewind_leaves_the_other_partitions(self) -> None:
        """Each partition has its own owner."""
        broker = await self.make_broker()
        await broker.publish([(0, push(1)), (1, push(2))])
        await self.read_all(broker, 0)
        await self.read_all(broker, 1)
        await broker.rewind(0)
        self.assertEqual(await self.ids(broker, 0), [1])
        self.assertEqual(await self.ids(broker, 1), [])

    async def test_committed_entries_never_come_again(self) -> None:
        """Not after a rewind, and not in another order of committing."""
        broker = await self.make_broker()
        await self.publish(broker, 0, 1, 2, 3)
        entries = await self.read_all(broker, 0)
        for entry in reversed(entries):
            await broker.commit(0, [entry.token])
        await broker.rewind(0)
        self.assertEqual(await self.ids(broker, 0), [])

    async def test_committing_twice_or_nothing_is_fine(self) -> None:
        """A repeated commit changes nothing more."""
        broker = await self.make_broker()
        await self.publish(broker, 0, 1, 2)
        entries = await self.read_all(broker, 0)
        await broker.commit(0, [])
        await broker.commit(0, [entries[0].token])
        await broker.commit(0, [entries[0].token])
        self.assertEqual((await broker.backlog()).entries, 1)

    # owners

    async def test_fences_rise(self) -> None:
        """Each owner's is higher than the one before, and no lower than the time of its store in ms since the epoch."""
        broker = await self.make_broker()
        before = int(time.time() * 1000) - 5000
        fences = [await broker.rewind(0) for _ in range(5)]
        self.assertEqual(fences, sorted(set(fences)))
        self.assertGreater(fences[0], before)

    async def test_an_earlier_owner_commits_nothing(self) -> None:
        """It is told that it is fenced, and the entries come to the new owner."""
        broker = await self.make_broker()
        earlier = await broker.rewind(0)
        await self.publish(broker, 0, 1, 2)
        tokens = [entry.token for entry in await self.read_all(broker, 0)]
        await broker.commit(0, tokens[:1], earlier)
        owner = await broker.rewind(0)
        with self.assertRaises(Fenced):
            await broker.commit(0, tokens, earlier)
        self.assertEqual((await broker.backlog()).entries, 1)
        self.assertEqual(await self.ids(broker, 0), [2])
        await broker.commit(0, tokens, owner)
        self.assertEqual((await broker.backlog()).entries, 0)

    async def test_a_fence_is_its_partitions(self) -> None:
        """A new owner of one partition stands in no other's way; a commit without a fence does not ask."""
        broker = await self.make_broker()
        fence = await broker.rewind(0)
        await broker.rewind(1)
        await self.publish(broker, 0, 1, 2)
        tokens = [entry.token for entry in await self.read_all(broker, 0)]
        await broker.commit(0, tokens[:1], fence)
        await broker.rewind(0)
        await broker.commit(0, tokens[1:])
        self.assertEqual((await broker.backlog()).entries, 0)

    async def test_tokens_are_unique_in_their_partition(self) -> None:
        """A token names one entry."""
        broker = await self.make_broker()
        await self.publish(broker, 0, *range(1, 11))
        tokens = {entry.token for entry in await self.read_all(broker, 0)}
        self.assertEqual(len(tokens), 10)

    # backlog

    async def test_an_empty_backlog(self) -> None:
        """Nothing waits: no entries, and no age."""
        broker = await self.make_broker()
        self.assertEqual((await broker.backlog())[:2], (0, 0))

    async def test_the_store_counts_what_went_through(self) -> None:
        """``appended`` and ``committed`` only grow; between them are the entries. Repeats count as neither."""
        broker = await self.make_broker()
        await broker.publish([(0, push(1)), (1, push(2, key="k")), (1, push(3)), (1, push(4, key="k"))])
        self.assertEqual((await broker.backlog())[2:], (3, 0))
        tokens = [entry.token for entry in await self.read_all(broker, 1)]
        await broker.commit(1, [*tokens, *tokens])
        await broker.commit(1, tokens)
        self.assertEqual((await broker.backlog())[2:], (3, 2))
        await self.publish(broker, 2, 5)
        await self.spoil(broker, 2)
        await broker.rewind(2)
        await self.ids(broker, 2)
        backlog = await broker.backlog()
        self.assertEqual(backlog.appended - backlog.committed, backlog.entries)

    async def test_the_backlog_counts_over_all_partitions(self) -> None:
        """Entries count from publish to commit, read or not."""
        broker = await self.make_broker()
        await broker.publish([(0, push(1)), (1, push(2)), (1, push(3))])
        entries = await self.read_all(broker, 1)
        self.assertEqual((await broker.backlog()).entries, 3)
        await broker.commit(1, [entries[0].token])
        self.assertEqual((await broker.backlog()).entries, 2)

    async def test_the_backlog_knows_its_oldest_entry(self) -> None:
        """``oldest_at_ms`` is when the oldest uncommitted entry was appended, in ms since the epoch."""
        broker = await self.make_broker()
        before = int(time.time() * 1000)
        await broker.publish([(0, push(1, at_ms=before))])
        oldest = (await broker.backlog()).oldest_at_ms
        self.assertLess(abs(oldest - before), 60_000)
        entries = await self.read_all(broker, 0)
        await broker.commit(0, [entries[0].token])
        self.assertEqual((await broker.backlog()).oldest_at_ms, 0)

    async def test_a_full_backlog_refuses(self) -> None:
        """At the limit nothing is stored and the caller is told to come back; after a commit there is room."""
        broker = await self.make_broker(max_backlog_entries=3)
        for id in (1, 2, 3):
            await self.publish(broker, 0, id)
        with self.assertRaises(Overloaded) as raised:
            await self.publish(broker, 0, 4)
        self.assertGreater(raised.exception.retry_after_seconds, 0)
        with self.assertRaises(Overloaded):
            await self.publish(broker, 0, 5, 6)
        entries = await self.read_all(broker, 0)
        self.assertEqual(identities(entries), [1, 2, 3])
        await broker.commit(0, [entry.token for entry in entries])
        await self.publish(broker, 0, 7)
        self.assertEqual(await self.ids(broker, 0), [7])

    # idempotency

    async def test_a_repeated_push_is_not_stored_again(self) -> None:
        """The same key for the same push answers the earlier id."""
        broker = await self.make_broker()
        self.assertEqual(await broker.publish([(0, push(1, key="k"))]), [Receipt(1)])
        self.assertEqual(await broker.publish([(0, push(2, key="k"))]), [Receipt(1, repeated=True)])
        self.assertEqual(await self.ids(broker, 0), [1])
        self.assertEqual((await broker.backlog()).entries, 1)

    async def test_repeated_within_one_call(self) -> None:
        """Two uses in one call are seen as one after the other; the pushes beside them are stored."""
        broker = await self.make_broker()
        receipts = await broker.publish([(0, push(1, key="k")), (0, push(2)), (0, push(3, key="k")), (0, push(4))])
        self.assertEqual(receipts, [Receipt(1), Receipt(2), Receipt(1, repeated=True), Receipt(4)])
        self.assertEqual(await self.ids(broker, 0), [1, 2, 4])

    async def test_a_key_outlives_its_entry(self) -> None:
        """A committed push is still remembered."""
        broker = await self.make_broker()
        await broker.publish([(0, push(1, key="k"))])
        entries = await self.read_all(broker, 0)
        await broker.commit(0, [entries[0].token])
        self.assertEqual(await broker.publish([(0, push(2, key="k"))]), [Receipt(1, repeated=True)])
        self.assertEqual(await self.ids(broker, 0), [])

    async def test_what_makes_a_push_another(self) -> None:
        """Target, operation, body, keys, mids, room and speed do; a conflict stores nothing and answers the first id's push."""
        broker = await self.make_broker()
        base: dict[str, Any] = {"target": Target.ROOM, "operation": 7, "body": b"b", "room": "live://1"}
        await broker.publish([(0, Push(1, NOW_MS, idempotency_key="k", **base))])
        changes: list[dict[str, Any]] = [
            {"target": Target.ALL},
            {"operation": 8},
            {"body": b"c"},
            {"keys": ("a",)},
            {"mids": (1,)},
            {"room": "live://2"},
            {"speed": 1},
        ]
        others = [(0, Push(2, NOW_MS, idempotency_key="k", **(base | change))) for change in changes]
        receipts = await broker.publish(others)
        self.assertEqual([(each.repeated, each.conflict) for each in receipts], [(False, True)] * len(changes))
        self.assertEqual(await self.ids(broker, 0), [1])

    async def test_id_and_time_do_not_make_another(self) -> None:
        """A retry has a new id and a new time, and is the same push."""
        broker = await self.make_broker()
        await broker.publish([(0, push(1, key="k", at_ms=NOW_MS))])
        receipts = await broker.publish([(0, push(99, key="k", at_ms=NOW_MS + 500))])
        self.assertEqual(receipts, [Receipt(1, repeated=True)])

    async def test_a_key_is_its_partitions(self) -> None:
        """Shares of one push in several partitions do not stand in each other's way."""
        broker = await self.make_broker()
        receipts = await broker.publish([(0, push(1, key="k")), (1, push(1, key="k"))])
        self.assertEqual(receipts, [Receipt(1), Receipt(1)])

    async def test_a_key_is_forgotten_in_time(self) -> None:
        """After the configured time the key may be used for anything."""
        broker = await self.make_broker(idempotency_seconds=1)
        await broker.publish([(0, push(1, key="k", at_ms=NOW_MS))])
        await self.pass_time(1.2)
        later = push(2, key="k", at_ms=NOW_MS + 1200, body=b"another")
        self.assertEqual(await broker.publish([(0, later)]), [Receipt(2)])
        self.assertEqual(await self.ids(broker, 0), [1, 2])

    # faults

    async def test_an_entry_that_cannot_be_decoded_is_dropped(self) -> None:
        """It is skipped, counted once and committed; its neighbours come through."""
        broker = await self.make_broker()
        await self.publish(broker, 0, 1)
        await self.spoil(broker, 0)
        await self.publish(broker, 0, 2)
        await broker.rewind(0)
        self.assertEqual(await self.ids(broker, 0), [1, 2])
        self.assertEqual(self.metrics.drops.value("broker", "undecodable"), 1)
        await broker.rewind(0)
        self.assertEqual(await self.ids(broker, 0), [1, 2])
        self.assertEqual(self.metrics.drops.value("broker", "undecodable"), 1)

    async def test_a_page_of_undecodable_entries_is_no_end(self) -> None:
        """A good entry behind more bad ones than ``limit`` is found by one read."""
        broker = await self.make_broker()
        for _ in range(5):
            await self.spoil(broker, 0)
        await self.publish(broker, 0, 1)
        await broker.rewind(0)
        self.assertEqual(identities(await broker.read(0, 2, 0.5)), [1])
        self.assertEqual((await broker.backlog()).entries, 1)

    # accounts

    async def test_each_share_is_counted_once(self) -> None:
        """As stored, or with why not; what left the broker is counted too, and the backlog is the rest."""
        broker = await self.make_broker(max_backlog_entries=5)
        metrics = self.metrics
        await broker.publish([(0, push(1)), (1, push(2, key="k")), (0, push(3))])
        await broker.publish([(1, push(4, key="k")), (1, push(5, key="k", body=b"another"))])
        with self.assertRaises(Overloaded):
            await self.publish(broker, 0, *range(6, 10))
        stored = dict(metrics.published.values)
        await self.spoil(broker, 2)
        await broker.rewind(2)
        self.assertEqual(await self.ids(broker, 2), [])
        tokens = [entry.token for entry in await self.read_all(broker, 0)]
        await broker.commit(0, [*tokens, *tokens])
        await broker.commit(0, tokens)
        await broker.close()
        with self.assertRaises(BrokerUnavailable):
            await self.publish(broker, 0, 10)
        self.assertEqual(stored, {("room",): 3})
        expected = {("repeated",): 1, ("conflict",): 1, ("overloaded",): 4, ("broker_unavailable",): 1}
        self.assertEqual(dict(metrics.unpublished.values), expected)
        self.assertEqual(metrics.committed.value(), 3)  # two by hand, and the one that was no push

    async def test_the_account_is_exact_at_every_moment(self) -> None:
        """Offered = stored + not stored + not answered: at once, when a caller gives up, when it is too much, at the end."""
        broker = await self.make_broker(max_backlog_entries=8)
        offers = Offers(broker=broker, metrics=self.metrics)
        calls = []
        for first in (1, 4, 7, 10):
            shares = [(id % PARTITIONS, push(id)) for id in range(first, first + 3)]
            calls.append(Deferred.fromCoroutine(offers.publish(shares)))
            self.assertEqual(unaccounted(self.metrics), 0)
        calls[1].cancel()
        self.assertEqual(unaccounted(self.metrics), 0)
        for call in calls:
            with suppress(CancelledError, Overloaded):
                await call
            self.assertEqual(unaccounted(self.metrics), 0)
        while self.metrics.offering.value():
            await self.pass_time(0.01)
            self.assertEqual(unaccounted(self.metrics), 0)
        await broker.close()
        with self.assertRaises(BrokerUnavailable):
            await offers.publish([(0, push(13))])
        self.assertEqual((unaccounted(self.metrics), self.metrics.offering.value()), (0, 0))

    async def test_a_closed_broker_refuses(self) -> None:
        """Every call raises BrokerUnavailable, and ``trouble`` says so."""
        broker = await self.make_broker()
        self.assertIsNone(broker.trouble())
        await broker.close()
        for call in (broker.publish([(0, push(1))]), broker.rewind(0), broker.read(0, 1, 0), broker.backlog()):
            with self.assertRaises(BrokerUnavailable):
                await call
        with self.assertRaises(BrokerUnavailable):
            await broker.commit(0, [b"\x00" * 8])
        self.assertIsInstance(broker.trouble(), str)

    async def test_closing_ends_a_waiting_read(self) -> None:
        """Nobody waits for a broker that is gone."""
        broker = await self.make_broker()
        reading = await self.wait_for(broker, 0, 30)
        await broker.close()
        with self.assertRaises(BrokerUnavailable):
            await reading


def unaccounted(metrics: Metrics) -> int:
    """Shares offered of which the broker says neither what became of them nor that it does not know yet."""
    figures = Figures()
    figures.add_all(metrics)
    [account] = [balance for balance in balances(figures) if balance.layer == "publish"]
    return account.difference


def push(id: int, *, key: str = "", body: bytes = b"body", at_ms: int = NOW_MS) -> Push:
    """A push to a room; equal to the others made here but for its id."""
    return Push(id, at_ms, Target.ROOM, 1000, body, room="live://1", idempotency_key=key)


def identities(entries: Sequence[Entry]) -> list[int]:
    """The pushes' ids."""
    return [entry.push.id for entry in entries]
