"""How far it is, for whoever waits."""

import sys
import time
from types import TracebackType


class Progress:
    """On stderr: one line that changes on a terminal, else a line a step. Ends with the ``with``."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._changes = sys.stderr.isatty()

    def __call__(self, words: str) -> None:
        line = f"[{time.monotonic() - self._began:4.0f} s] {words}"
        print(
            f"\r\033[K{line[:160]}" if self._changes else line,
            end="" if self._changes else "\n",
            file=sys.stderr,
            flush=True,
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._changes:
            print(file=sys.stderr)
