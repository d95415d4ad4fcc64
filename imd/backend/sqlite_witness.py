"""Remembers beside a SQLite file how much went into it, so that an older copy put in its place is found out."""

import os
from contextlib import suppress
from pathlib import Path


class SqliteWitness:
    """One number in the file ``path``: entries that were appended, as of a few seconds ago. Called in the writer's thread.

    What it says was committed before, so a store that has less went back. A witness that is lost, or cannot be written,
    proves nothing and harms nobody.
    """

    __slots__ = ("_noted", "_path")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._noted: int | None = None  # what the file says, as far as known

    def recall(self) -> int:
        """What was noted last; 0 when nothing was."""
        try:
            return int(self._path.read_bytes())
        except (OSError, ValueError):
            return 0

    def note(self, appended: int) -> None:
        """So much was committed."""
        if appended == self._noted:
            return
        new = self._path.with_name(f"{self._path.name}-new")
        with suppress(OSError):
            new.write_bytes(b"%d\n" % appended)
            os.replace(new, self._path)
            self._noted = appended
