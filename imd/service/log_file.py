"""The file that a log goes to."""

import os
from pathlib import Path


class LogFile:
    """Appends. Before each line it looks whether somebody moved the file away (logrotate): then it begins a new one."""

    def __init__(self, path: str) -> None:
        self._path = Path(path).absolute()  # twistd may change its folder after this
        self._file = self._path.open("a", encoding="utf-8")

    def write(self, line: str) -> None:
        """Append one line, newline included."""
        if self._moved():
            self._begin()
        self._file.write(line)

    def flush(self) -> None:
        """To the operating system."""
        self._file.flush()

    def close(self) -> None:
        """Let go of it."""
        self._file.close()

    def _moved(self) -> bool:
        try:
            named = os.stat(self._path)
        except OSError:
            return True
        return not os.path.samestat(named, os.fstat(self._file.fileno()))

    def _begin(self) -> None:
        try:
            fresh = self._path.open("a", encoding="utf-8")
        except OSError:
            return  # better the file that was moved than none
        self._file.close()
        self._file = fresh
