"""A real `twistd imd` on free ports, in a folder of its own."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

START_SECONDS = 30.0
_FREE = ("comet.tcp", "comet.websocket", "logic.http", "admin.listen")
_LISTENS = re.compile(r"^  \S.*?\s+(tcp|tls|ws|wss|http)://127\.0\.0\.1:(\d+)(/metrics)?", re.MULTILINE)


class ImdProcess:
    """Runs from the moment it is made until :meth:`stop`, which answers its whole log."""

    def __init__(
        self,
        folder: Path,
        *settings: str,
        limits: str = "",
        host: Mapping[str, str] | None = None,
        config: Path | None = None,
    ) -> None:
        """``settings`` are `--set`s; ``limits`` goes to the shell's ulimit, such as ``-n 64``; ``host``: more listeners."""
        folder.mkdir(parents=True)
        self._log = folder / "log"
        addresses = dict.fromkeys(_FREE, "127.0.0.1:0") | dict(host or {})
        twistd = [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "imd"]
        given = [f"{key}={value}" for key, value in addresses.items()] + list(settings)
        twistd += ["--config", str(config)] if config else []
        command = [*twistd, *(word for setting in given for word in ("--set", setting))]
        if limits:
            command = ["/bin/sh", "-c", f'ulimit {limits} && exec "$@"', "sh", *command]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        self.ports = self._await_greeting()  # "tcp", "ws", "http", "admin" -> port

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text(errors="backslashreplace")

    @property
    def rss_kb(self) -> int:
        """Resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    @property
    def cpu_seconds(self) -> float:
        """User and system time used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def http(self, request: bytes, port: str = "http", seconds: float = 10.0) -> bytes:
        """All that comes back for the bytes of a request; it should say ``Connection: close``."""
        with self.connect(port, seconds) as stream:
            stream.sendall(request)
            return read_to_end(stream)

    def get(self, path: str, port: str = "http") -> tuple[int, bytes]:
        """Status and body."""
        return self._ask("GET", path, b"", {}, port)

    def post(self, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Status and body."""
        return self._ask("POST", path, body, headers or {}, "http")

    def _ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str], port: str) -> tuple[int, bytes]:
        fields = {"Host": "localhost", "Connection": "close", "Content-Length": str(len(body)), **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        with self.connect(port) as stream:
            stream.sendall("\r\n".join(lines).encode("latin-1") + body)
            head, _, rest = read_head(stream).partition(b"\r\n\r\n")
            length = re.search(rb"\r\nContent-Length: (\d+)", head)
            while length and len(rest) < int(length[1]) and (data := stream.recv(65536)):
                rest += data
        return int(head.split()[1]), rest

    def connect(self, port: str, seconds: float = 10.0) -> socket.socket:
        """A connection to one of its ports."""
        return socket.create_connection(("127.0.0.1", self.ports[port]), timeout=seconds)

    def metric(self, name: str, **labels: str) -> float:
        """The sum over all series of a metric with these labels."""
        total = 0.0
        for line in self.get("/metrics", "admin")[1].decode().splitlines():
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] == name and all(f'{key}="{of}"' in series for key, of in labels.items()):
                total += float(value)
        return total

    def stop(self) -> str:
        """SIGTERM, and wait. Fails when it does not end."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError("it did not stop on SIGTERM:\n" + self.log[-4000:]) from None
        return self.log

    def _await_greeting(self) -> dict[str, int]:
        deadline = time.monotonic() + START_SECONDS
        while "imd is ready" not in self.log:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)
        found = _LISTENS.findall(self.log)
        return {"admin" if tail else scheme: int(port) for scheme, port, tail in found}


def read_to_end(stream: socket.socket) -> bytes:
    """What comes until the peer ends, or resets: then what came before."""
    parts = []
    try:
        while data := stream.recv(65536):
            parts.append(data)
    except ConnectionError:
        pass
    return b"".join(parts)


def read_head(stream: socket.socket) -> bytes:
    """What comes until an HTTP answer's head is complete, and perhaps more."""
    data = b""
    while b"\r\n\r\n" not in data and (part := stream.recv(65536)):
        data += part
    return data


def eventually(holds: object, seconds: float = 10.0, what: str = "it") -> None:
    """Return as soon as ``holds()`` is true; fail when it is not in time."""
    assert callable(holds)
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds:g} s"
        time.sleep(0.02)
