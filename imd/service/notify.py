"""Tells systemd how the process is (sd_notify(3)): one datagram to the socket that it names. Or the supervisor that started it,
in the same words: a line each, on a pipe."""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

SUPERVISOR_FD = 3  # the pipe's number in the process, which the variable of this name says


class Notifier:
    """Speaks to whoever started us and asked for it, else to nobody."""

    __slots__ = ("_fd", "_path", "watchdog_seconds")

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._path = environ.get("NOTIFY_SOCKET", "")  # empty = not under systemd
        self._fd: int | None = None  # of the pipe to the supervisor; None = there is none
        if is_supervised(environ):
            self._fd = SUPERVISOR_FD
            os.set_blocking(self._fd, False)  # a supervisor that stands still must not hold us up
        # how often systemd wants a sign of life; 0 = it does not
        self.watchdog_seconds = int(environ.get("WATCHDOG_USEC", "0") or 0) / 2_000_000

    def ready(self, status: str) -> None:
        """Listening."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, status: str) -> None:
        """One line for ``systemctl status``; another line would be another word to systemd."""
        self._send(f"STATUS={' '.join(status.split())}")

    def stopping(self, why: str = "stopping") -> None:
        """On the way out."""
        self._send(f"STOPPING=1\nSTATUS={' '.join(why.split())}")

    def alive(self) -> None:
        """The reactor turns."""
        self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if self._fd is not None:
            with suppress(OSError):  # full, or broken: its next sign of life says the same, and its end ends us
                os.write(self._fd, f"{text}\n".encode())
        if not self._path:
            return
        address = "\0" + self._path[1:] if self._path.startswith("@") else self._path
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            try:
                sender.sendto(text.encode(), address)
            except OSError:
                return  # systemd is restarting or its socket is full: the next sign of life says the same


def is_supervised(environ: Mapping[str, str]) -> bool:
    """Whether a supervisor of imd's started this process."""
    return environ.get("SUPERVISOR_FD") == str(SUPERVISOR_FD)
