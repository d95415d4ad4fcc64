"""The batteries in C: by ``send``, and through an io_uring."""

import os
import signal
import threading
from functools import partial
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from imd.interfaces import Arm
from imd.transport.sender import sender
from tests.contract.battery import BatteryContract, make_pairs, received

try:
    from imd.transport import _battery
except ImportError:  # in CI a skipped test fails
    raise SkipTest("the C extension is not built: it wants a C compiler and Python's headers") from None


class SendBatteryTests(BatteryContract, SynchronousTestCase):
    """The loop of ``send``."""

    def arm(self) -> Arm:
        return _battery.Battery


class RingBatteryTests(BatteryContract, SynchronousTestCase):
    """Through io_uring; where the kernel gives none, what takes its place must do the same."""

    def setUp(self) -> None:
        self.ring = _battery.Ring()

    def arm(self) -> Arm:
        return partial(_battery.Battery, ring=self.ring)

    def test_says_whether_there_is_one(self) -> None:
        """Either it can be used, or there is a reason, and "auto" does without it."""
        if self.ring.open():
            self.assertEqual((self.ring.trouble, sender("auto").name), (None, "io_uring"))
        else:
            self.assertTrue(self.ring.trouble)
            self.assertEqual(sender("auto").name, "send")
            print(f"no io_uring here: {self.ring.trouble}")

    def test_opened_when_it_is_needed(self) -> None:
        """Nothing of the kernel's is held before the first shot, and nothing after the end."""
        before = rings()
        battery = self.arm()([sink for sink, _ in self.pairs(8)])
        self.assertEqual(rings(), before)
        battery.fire(b"x")
        self.assertEqual(len(rings() - before), int(self.ring.open()))
        del battery, self.ring
        self.assertEqual(rings(), before)

    def test_another_thread(self) -> None:
        """It sends without the ring, which stays its owner's."""
        pairs = self.pairs(8)
        battery = self.arm()([sink for sink, _ in pairs])
        self.assertEqual(battery.fire(b"a"), [])
        was_open = self.ring.open()
        seen: list[Any] = []

        def other() -> None:
            seen.extend([self.ring.open(), battery.fire(b"b")])

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        self.assertEqual(seen, [False, []])
        self.assertEqual((battery.fire(b"c"), self.ring.open()), ([], was_open))
        self.assertEqual([received(peer, 3) for _, peer in pairs], [b"abc"] * 8)

    def test_two_threads_at_once(self) -> None:
        """Each shot of both arrives whole."""
        pairs = self.pairs(64)
        battery = self.arm()([sink for sink, _ in pairs])
        battery.fire(b".")

        def other() -> None:
            for _ in range(50):
                battery.fire(b"theirs;")

        thread = threading.Thread(target=other)
        thread.start()
        for _ in range(50):
            battery.fire(b"ours;")
        thread.join()
        for _, peer in pairs:
            shots = received(peer, 601).removeprefix(b".").split(b";")
            self.assertEqual((shots.count(b"ours"), shots.count(b"theirs"), len(shots)), (50, 50, 101))

    def test_a_forked_child(self) -> None:
        """It sends without the ring that it shares with its parent, and the parent's goes on."""
        pairs = self.pairs(8)
        battery = self.arm()([sink for sink, _ in pairs])
        battery.fire(b"a")
        was_open = self.ring.open()
        child = os.fork()
        if not child:
            os._exit(int(self.ring.open()) or len(battery.fire(b"b")))
        self.assertEqual(os.waitpid(child, 0), (child, 0))
        self.assertEqual((battery.fire(b"c"), self.ring.open()), ([], was_open))
        self.assertEqual([received(peer, 3) for _, peer in pairs], [b"abc"] * 8)

    def test_a_ring_that_breaks(self) -> None:
        """Somebody closes its descriptor: from then on it is done without, and nobody misses a byte or gets it twice."""
        pairs = self.pairs(600)
        battery = self.arm()([sink for sink, _ in pairs])
        before = rings()
        battery.fire(b"a")
        for number in rings() - before:
            os.close(number)
        with open(os.devnull) as taken:  # most likely under the number that was the ring's
            self.assertEqual([battery.fire(b"b"), battery.fire(b"c")], [[], []])
            self.assertEqual((self.ring.open(), bool(self.ring.trouble)), (False, True))
            del battery, self.ring
            self.assertEqual(taken.read(), "")  # it is still ours
        self.assertEqual([received(peer, 3) for _, peer in pairs], [b"abc"] * 600)

    def test_no_signal_for_a_peer_that_went(self) -> None:
        """Whoever embeds imd may not ignore SIGPIPE as Python does."""
        seen: list[int] = []
        before = signal.signal(signal.SIGPIPE, lambda number, frame: seen.append(number))
        self.addCleanup(signal.signal, signal.SIGPIPE, before)
        pairs = self.pairs(8)
        for _, peer in pairs:
            peer.close()
        sinks = [sink for sink, _ in pairs]
        for battery in (_battery.Battery(sinks), _battery.Battery(sinks, self.ring)):
            self.assertEqual(battery.fire(b"abc"), [(place, 0) for place in range(8)])
        self.assertEqual(seen, [])

    def test_signals_meanwhile(self) -> None:
        """An interrupted call is taken up again."""
        pairs = self.pairs(600)
        battery = self.arm()([sink for sink, _ in pairs])
        seen: list[int] = []
        before = signal.signal(signal.SIGALRM, lambda number, frame: seen.append(number))
        self.addCleanup(signal.signal, signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        try:
            fires = 0
            while len(seen) < 20:
                self.assertEqual(battery.fire(b"x"), [])
                fires += 1
                if fires % 50 == 0:
                    self.assertEqual({received(peer, 50) for _, peer in pairs}, {b"x" * 50})
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        self.assertEqual({received(peer, fires % 50) for _, peer in pairs}, {b"x" * (fires % 50)})


class BadInputTests(SynchronousTestCase):
    """What is no sink or no data is refused before anything is sent."""

    def test_no_descriptor(self) -> None:
        """The reason is what the sink says, or what is wrong with it."""

        class Sink:
            def __init__(self, number: Any) -> None:
                self.number = number

            def fileno(self) -> Any:
                if isinstance(self.number, Exception):
                    raise self.number
                return self.number

        for number, expected in (
            (-2, ValueError),
            (1 << 31, ValueError),
            (1 << 70, OverflowError),
            ("3", TypeError),
            (None, TypeError),
            (KeyError(1), KeyError),
        ):
            sinks: Any = [Sink(-1), Sink(number)]
            with self.assertRaises(expected):
                _battery.Battery(sinks)
        for sinks in (None, 3, [3]):
            with self.assertRaises((TypeError, AttributeError)):
                _battery.Battery(sinks)

    def test_a_file(self) -> None:
        """What is open and no socket takes nothing."""
        with open(os.devnull, "wb", buffering=0) as file:
            sinks: Any = [file] * 5
            self.assertEqual(_battery.Battery(sinks, _battery.Ring()).fire(b"abc"), [(place, 0) for place in range(5)])

    def test_no_ring(self) -> None:
        """Only a ring is one."""
        ring: Any = 3
        with self.assertRaises(TypeError):
            _battery.Battery([], ring)

    def test_no_bytes(self) -> None:
        """Text is none; every buffer is, and it may not change while it is sent."""
        pairs = make_pairs(self, 5)
        battery = _battery.Battery([sink for sink, _ in pairs], _battery.Ring())
        for bad in ("abc", None, 3, ["abc"], memoryview(b"abcdef")[::2]):
            data: Any = bad
            with self.assertRaises((TypeError, BufferError)):
                battery.fire(data)
        for good in (b"abc", bytearray(b"abc"), memoryview(b"xabcx")[1:4]):
            self.assertEqual(battery.fire(good), [])
        self.assertEqual([received(peer, 9) for _, peer in pairs], [b"abc" * 3] * 5)

    def test_sinks_that_change_their_list(self) -> None:
        """What is armed is the list as it was."""
        sinks: list[Any] = []

        class Sink:
            def fileno(self) -> int:
                sinks.clear()
                return -1

        sinks.extend(Sink() for _ in range(5))
        self.assertEqual(_battery.Battery(sinks).fire(b"abc"), [(place, 0) for place in range(5)])


def rings() -> set[int]:
    """Descriptors of this process that are an io_uring."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(entry)
        except FileNotFoundError:
            continue  # it was of the listing
        if "[io_uring]" in target:
            found.add(int(entry.name))
    return found
