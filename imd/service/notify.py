"""Tells systemd how the process is (sd_notify(3)): one datagram to the socket that it names."""

import os
import socket


class Notifier:
    """Speaks to systemd when it started us, else to nobody."""

    __slots__ = ("_path", "watchdog_seconds")

    def __init__(self, environ: "os._Environ[str] | dict[str, str]") -> None:
        self._path = environ.get("NOTIFY_SOCKET", "")  # empty = not under systemd
        # how often systemd wants a sign of life; 0 = it does not
        self.watchdog_seconds = int(environ.get("WATCHDOG_USEC", "0") or 0) / 2_000_000

    def ready(self, status: str) -> None:
        """Listening."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, status: str) -> None:
        """One line for ``systemctl status``; another line would be another word to systemd."""
        self._send(f"STATUS={' '.join(status.split())}")

    def stopping(self) -> None:
        """On the way out."""
        self._send("STOPPING=1\nSTATUS=stopping")

    def alive(self) -> None:
        """The reactor turns."""
        self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._path:
            return
        address = "\0" + self._path[1:] if self._path.startswith("@") else self._path
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            try:
                sender.sendto(text.encode(), address)
            except OSError:
                return  # systemd is restarting or its socket is full: the next sign of life says the same
