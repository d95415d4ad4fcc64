"""Pushes by RPC, against a comet that answers what a test says."""

import threading
from collections.abc import Callable

import zmq
from twisted.trial.unittest import SynchronousTestCase

from benchmarks import pusher
from benchmarks.case import Load
from benchmarks.load_client import ROOM
from benchmarks.pusher import Pusher, PushFailed
from imd.protocol import rpc
from imd.protocol.packet import walk
from imd.protocol.timeline import Place

Reply = tuple[bytes, bytes]  # status, body
GOOD = (b"\0\0", rpc.dump(rpc.Outcomes((rpc.Outcome(delivered=3),))))
LOOK_SECONDS = 0.0001


class CountedTime:
    """A clock that goes on when it is looked at or slept by: what a pusher does does not depend on how fast this machine is."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        self._now += LOOK_SECONDS
        return self._now

    def monotonic_ns(self) -> int:
        return int(self._now * 1e9)

    def sleep(self, seconds: float) -> None:
        self._now += seconds


class PusherTests(SynchronousTestCase):
    """Three clients are in the room."""

    def setUp(self) -> None:
        self.batches: list[rpc.Batch] = []
        self.under_way: list[int] = []  # how many waited when one was answered
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.router = self.context.socket(zmq.ROUTER)
        self.router.setsockopt(zmq.LINGER, 0)
        self.addCleanup(self.context.destroy)
        self.router.bind("tcp://127.0.0.1:*")
        endpoint = self.router.getsockopt_string(zmq.LAST_ENDPOINT)
        self.pusher = Pusher(endpoint, server="bench", boot=5, connections=3)
        self.addCleanup(self.pusher.close)
        self.patch(pusher, "time", CountedTime())

    def answer(self, reply: Callable[[], Reply]) -> None:
        """Until the test ends; each after a moment in which more may come."""
        over = threading.Event()

        def comet() -> None:
            waiting: list[list[bytes]] = []
            while not over.is_set():
                while self.router.poll(5):
                    waiting.append(self.router.recv_multipart())
                if not waiting:
                    continue
                self.under_way.append(len(waiting))
                peer, number, method, _budget, body = waiting.pop(0)
                assert method == b"push"
                batch = rpc.load(rpc.Batch, body)
                assert isinstance(batch, rpc.Batch)
                self.batches.append(batch)
                self.router.send_multipart([peer, number, *reply()])

        thread = threading.Thread(target=comet, daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(over.set)

    def test_paced(self) -> None:
        """So many in the time, each a packet of its own to the room, of the size asked for."""
        self.answer(lambda: GOOD)
        self.assertEqual(self.pusher.send(Load(50, 0.2, 100), lambda: None), 10)
        items = [item for batch in self.batches for item in batch.items]
        self.assertEqual({(item.kind, item.room) for item in items}, {(rpc.Kind.ROOM, ROOM)})
        self.assertEqual([len(packet.body) for item in items for packet in walk(item.packets)], [100] * 10)

    def test_flat_out(self) -> None:
        """One is answered, the next is under way: never a third, which would be merged."""
        self.answer(lambda: GOOD)
        self.assertEqual(self.pusher.send(Load(0, 0.1, 8), lambda: None), len(self.batches))
        self.assertEqual(max(self.under_way), 2)

    def test_none_can_be_merged(self) -> None:
        """Two that wait together are never of a kind; bigger items and broadcasts are as ever."""
        self.answer(lambda: GOOD)
        self.pusher.send(Load(0, 0.1, 8), lambda: None)
        places = [item.places for batch in self.batches for item in batch.items]
        self.assertEqual(places[:3], [(), (Place(2, "bench"),), ()])
        self.assertEqual([bool(each) for each in places], [bool(number % 2) for number in range(len(places))])

    def test_flat_out_merged(self) -> None:
        """What is accepted while two requests are under way leaves together, in one item; the last one has the rest."""
        self.answer(
            lambda: (b"\0\0", rpc.dump(rpc.Outcomes((rpc.Outcome(delivered=3 * self.batches[-1].items[0].count),))))
        )
        sent = self.pusher.send(Load(0, 0.2, 8, merged=20), lambda: None)
        items = [item for batch in self.batches for item in batch.items]
        self.assertEqual(max(self.under_way), 2)
        self.assertEqual({item.places for item in items}, {()})
        self.assertEqual({item.count for item in items[:-1]}, {20})
        self.assertEqual([len(list(walk(item.packets))) for item in items], [item.count for item in items])
        self.assertEqual(sum(item.count for item in items), sent)

    def test_broadcast(self) -> None:
        """To all, whatever their room."""
        self.answer(lambda: GOOD)
        self.pusher.send(Load(0, 0.05, 8, to="all"), lambda: None)
        self.assertEqual(
            {(item.kind, item.operation) for batch in self.batches for item in batch.items}, {(rpc.Kind.ALL, 1000)}
        )

    def test_who_does_not_read(self) -> None:
        """Need not be reached, and may be."""
        self.pusher.receivers = 2
        self.answer(lambda: GOOD)
        self.assertGreater(self.pusher.send(Load(0, 0.05, 8), lambda: None), 0)

    def test_not_everybody_was_sent_it(self) -> None:
        """A push that is dropped ends the run: what is cheap because it was not done is no figure."""
        self.answer(lambda: (b"\0\0", rpc.dump(rpc.Outcomes((rpc.Outcome(delivered=2, dropped=(("slow", 1),)),)))))
        with self.assertRaisesRegex(PushFailed, "2 of 3 were sent a push: dropped .*slow"):
            self.pusher.send(Load(0, 0.05, 8), lambda: None)

    def test_refused(self) -> None:
        """With the comet's words."""
        self.answer(lambda: (b"\0\x01", b"not here"))
        with self.assertRaisesRegex(PushFailed, "not here"):
            self.pusher.send(Load(0, 0.05, 8), lambda: None)
