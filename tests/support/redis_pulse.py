"""How long a Redis takes to answer PING, measured by a process of its own: ``python -m tests.support.redis_pulse SOCKET``."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

PAUSE_SECONDS = 0.005


class Pulse(NamedTuple):
    """Of all answers, in ms."""

    pings: int
    median: float
    p99: float
    longest: float


class RedisPulse:
    """Begins when it is made."""

    def __init__(self, path: str) -> None:
        command = [sys.executable, "-m", "tests.support.redis_pulse", path]
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root)

    def end(self) -> Pulse:
        """What it measured."""
        self._process.send_signal(signal.SIGTERM)
        out, _ = self._process.communicate()
        taken = sorted(map(float, out.split())) or [0.0]
        return Pulse(len(taken), taken[len(taken) // 2], taken[len(taken) * 99 // 100], taken[-1])


def main() -> None:
    """Until SIGTERM; then each answer's ms."""
    going = [True]
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    taken = []
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(sys.argv[1])
        while going:
            began = time.perf_counter()
            connection.sendall(b"PING\r\n")
            connection.recv(100)
            taken.append(1000 * (time.perf_counter() - began))
            time.sleep(PAUSE_SECONDS)
    print(*taken)


if __name__ == "__main__":
    main()
