"""twistd, watched: where its Python spends user time. ``python -m benchmarks.sampled FILE twistd's arguments``.

SIGUSR2 begins, and ends with FILE: JSON, the room of the house -> samples. The kernel's timer counts the process' user time
alone, so neither waiting nor what the kernel does is in them.
"""

import json
import os
import signal
import sys
from collections import Counter
from types import FrameType

INTERVAL_SECONDS = 0.004
SIGNAL = signal.SIGUSR2

# The first that a file's path has says whose room it is.
ROOMS = (
    ("/imd/transport/", "transport"),
    ("/imd/backend/", "backend"),
    ("/imd/protocol/", "protocol"),
    ("/imd/logic/", "logic"),
    ("/imd/job/", "job"),
    ("/imd/comet/", "comet"),
    ("/imd/", "other imd"),
    ("/txredisapi", "txredisapi"),
    ("/zmq/", "zmq"),
    ("/kazoo/", "kazoo"),
    ("/twisted/", "twisted"),
)
OTHER = "other"


def room_of(path: str) -> str:
    """Empty for a file of nobody's, such as the standard library's: its caller's room is meant."""
    return next((room for part, room in ROOMS if part in path), "")


class Sampler:
    """Begins and ends by turns."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._counts: Counter[str] = Counter()
        self._running = False

    def toggle(self, _number: int, _frame: FrameType | None) -> None:
        self._running = not self._running
        if self._running:
            self._counts.clear()
        signal.setitimer(signal.ITIMER_VIRTUAL, *[INTERVAL_SECONDS if self._running else 0.0] * 2)
        if not self._running:
            with open(f"{self._path}.new", "w") as file:
                json.dump(self._counts, file)
            os.rename(f"{self._path}.new", self._path)

    def sample(self, _number: int, frame: FrameType | None) -> None:
        room = ""
        while frame is not None and not room:
            room = room_of(frame.f_code.co_filename)
            frame = frame.f_back
        self._counts[room or OTHER] += 1


def main() -> None:
    """As twistd does, and never returns."""
    sampler = Sampler(sys.argv[1])
    signal.signal(signal.SIGVTALRM, sampler.sample)
    signal.signal(SIGNAL, sampler.toggle)
    signal.siginterrupt(signal.SIGVTALRM, False)
    sys.argv = ["twistd", *sys.argv[2:]]
    from twisted.scripts.twistd import run

    run()


if __name__ == "__main__":
    main()
