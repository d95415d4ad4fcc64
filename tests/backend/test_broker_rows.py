"""The broker's statements, as far as the contract does not see them."""

import sqlite3

from twisted.trial.unittest import SynchronousTestCase

from imd.backend import broker_rows
from imd.backend.broker_rows import Found, Row
from imd.backend.timeline_rows import TimelineRows
from imd.interfaces import Swept
from imd.protocol.push import Push, Target, dump
from imd.protocol.timeline import Place

NOW = 1_700_000_000_000


class BrokerRowsTests(SynchronousTestCase):
    """On a database in memory."""

    def setUp(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.timelines = TimelineRows(make_epoch=lambda: "e", head_ms=1000)
        self.assertEqual(broker_rows.find(4, self.connection), Found(0, 0, {}))

    def store(self, *rows: Row) -> broker_rows.Stored:
        return broker_rows.store(rows, 1000, NOW, self.timelines, self.connection)

    def test_what_a_store_did(self) -> None:
        """The receipts, and how many messages came and went."""
        stored = self.store(*(row(seq, keep_count=2) for seq in (1, 2, 3)), row(4))
        self.assertEqual([receipt.places for receipt in stored.receipts], [*(((n, "e-0"),) for n in (1, 2, 3)), ()])
        self.assertEqual((stored.kept, stored.gone), (3, Swept(0, 1)))

    def test_places_come_back(self) -> None:
        """As they were stored; a live push has none."""
        self.store(row(1, keep_count=2), row(2))
        found = broker_rows.select(1, 0, 10, self.connection)
        self.assertEqual([broker_rows.places_of(places) for _, _, places in found], [(Place(1, "e-0"),), ()])

    def test_fences(self) -> None:
        """Never below the date, never twice, though the date goes back."""
        fences = [broker_rows.raise_fence(1, now, self.connection) for now in (0, 5, 100, 50)]
        self.assertEqual(fences, [1, 5, 100, 101])
        self.assertEqual(broker_rows.find(4, self.connection).fences, {1: 101})

    def test_deleting_nothing(self) -> None:
        """No keys, or unknown ones, are none."""
        self.assertEqual(broker_rows.delete([], self.connection), 0)
        self.assertEqual(broker_rows.delete([(7, 1)], self.connection), 0)
        self.assertEqual(broker_rows.backlog(self.connection).committed, 0)


def row(seq: int, *, keep_count: int = 0) -> Row:
    push = Push(seq, NOW, Target.ROOM, 1, b"b", room="a", keep_count=keep_count, keep_ms=1000)
    return Row(seq, 1, push, dump(push))
