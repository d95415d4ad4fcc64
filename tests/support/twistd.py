"""Real ``twistd`` processes of imd: a folder of their own, free ports, their log, and every way to end them."""

import atexit
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.task import deferLater

from tests.support.http_call import Answer, CallFailed, http
from tests.support.reactor import eventually, reactor
from tests.support.standstill import stand_still

START_SECONDS = 20.0  # two cores, and other tests on them
STOP_SECONDS = 20.0
_LISTENERS = {
    "imd": ("comet.tcp", "comet.websocket", "logic.http"),
    "comet": ("comet.tcp", "comet.websocket"),
    "logic": ("logic.http",),
    "job": (),
}
_GREETED = re.compile(r"^  (TCP|TLS|WebSocket|WSS|HTTP)\b.*?(\S+://\S+)$", re.MULTILINE)
_running: set[subprocess.Popen[bytes]] = set()


@atexit.register
def _end_all() -> None:
    """Whatever a test that was cut short left."""
    for process in _running:
        process.kill()


def settings(**sections: dict[str, Any]) -> list[str]:
    """``comet={"tcp": …}`` as ``--set`` takes it."""
    return [f"{section}.{key}={value}" for section, keys in sections.items() for key, value in keys.items()]


class Twistd:
    """One process. Made but not started; it can be started again after it ended, in the same folder."""

    def __init__(
        self, role: str = "imd", *, id: str = "", sets: list[str] | None = None, arguments: tuple[str, ...] = ()
    ) -> None:
        self.role = role
        self.id = id
        self.folder = tempfile.mkdtemp(prefix=f"imd-{role}-")
        self.admin = f"unix:{self.folder}/admin"  # known before the process greets
        self._sets = sets or []  # win over the free ports
        self.arguments = arguments  # of the plugin
        self.twistd: tuple[str, ...] = ("--nodaemon", "--pidfile=")  # twistd's own
        self.environ: dict[str, str] = {}  # beside ours
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0  # where this start's log begins

    # --- life

    def start(self) -> "Twistd":
        """Returns at once; :meth:`ready` waits."""
        listen = dict.fromkeys(_LISTENERS[self.role], "127.0.0.1:0")
        sets = [f"admin.listen={self.admin}", *(f"{key}={value}" for key, value in listen.items()), *self._sets]
        twistd = Path(sys.executable).parent / "twistd"
        plugin = "imd" if self.role == "imd" else f"imd-{self.role}"
        command = [str(twistd), *self.twistd, plugin, *self.arguments]
        command += ["--id", self.id] if self.id else []
        for each in sets:
            command += ["--set", each]
        with open(self._log_path, "ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=_environment() | self.environ,
            )
        _running.add(self._process)
        return self

    async def ready(self, seconds: float = START_SECONDS) -> "Twistd":
        """Until it has greeted and /readyz says yes; fails with the log."""
        await self.until(lambda: " is ready" in self.log, seconds)
        await self.troubles_are(lambda troubles: not troubles, seconds)
        return self

    async def until(self, holds: Callable[[], bool], seconds: float = START_SECONDS) -> None:
        """Until ``holds()``; fails with the log when it is not in time, or the process ended before."""
        try:
            await eventually(lambda: holds() or not self.running, seconds)
            assert holds(), f"ended with {self.status}"
        except AssertionError as error:
            raise AssertionError(f"{self}: {error}\n{self.log}") from None

    async def troubles(self) -> dict[str, str] | None:
        """What /readyz says; None while nobody answers there."""
        try:
            troubles: dict[str, str] = (await self.get_admin("/readyz", seconds=2)).json()["troubles"]
        except CallFailed:
            return None
        return troubles

    async def troubles_are(self, wanted: Callable[[dict[str, str]], bool], seconds: float = START_SECONDS) -> None:
        """Until /readyz answers what is wanted."""
        ends = reactor.seconds() + seconds
        while True:
            troubles = await self.troubles()
            if troubles is not None and wanted(troubles):
                return
            assert reactor.seconds() < ends and self.running, f"{self}: {troubles}\n{self.log}"
            await _moment()

    async def exited(self, seconds: float = STOP_SECONDS) -> int:
        """Its exit status."""
        try:
            await eventually(lambda: not self.running, seconds)
        except AssertionError:
            raise AssertionError(f"{self} does not end\n{self.log}") from None
        status = self.status
        assert status is not None
        return status

    async def stop(self, seconds: float = STOP_SECONDS) -> int:
        """SIGTERM; its exit status."""
        self.signal(signal.SIGTERM)
        return await self.exited(seconds)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            _running.discard(self._process)

    def pause(self) -> None:
        """SIGSTOP: it holds what it has, and does nothing."""
        assert self._process is not None
        stand_still(self._process.pid)

    def resume(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def end(self) -> None:
        """A clean-up: no process, no folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- what is to be seen of it

    @property
    def running(self) -> bool:
        return self.status is None

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        assert self._process is not None, "it was not started"
        status = self._process.poll()
        if status is not None:
            _running.discard(self._process)
        return status

    @property
    def pid(self) -> int:
        assert self._process is not None, "it was not started"
        return self._process.pid

    @property
    def rss_bytes(self) -> int:
        """Of memory that it has now."""
        assert self._process is not None
        with open(f"/proc/{self._process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    @property
    def log(self) -> str:
        """All it wrote since the last start, stdout and stderr."""
        with open(self._log_path, "rb") as file:
            file.seek(self._log_start)
            return file.read().decode(errors="replace")

    @property
    def urls(self) -> dict[str, str]:
        """Where it listens, by tcp, tls, ws, wss and http, as its greeting says."""
        return {url.partition(":")[0]: url for _, url in _GREETED.findall(self.log)}

    def greeted(self, transport: str) -> list[str]:
        """Every address of the transport in its log: each of several processes greets."""
        return [url for _, url in _GREETED.findall(self.log) if url.startswith(f"{transport}:")]

    def port(self, transport: str) -> int:
        return int(re.search(r":(\d+)(/|$)", self.urls[transport])[1])  # type: ignore[index]  # a greeted URL has one

    async def get_admin(self, target: str, seconds: float = 10.0) -> Answer:
        return await http("GET", self.admin, target, seconds=seconds)

    async def metrics(self) -> dict[str, float]:
        """Each sample by its whole name, labels included."""
        text = (await self.get_admin("/metrics")).body.decode()
        lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    @property
    def _log_path(self) -> str:
        return f"{self.folder}/log"

    def __str__(self) -> str:
        return f"imd-{self.role} {self.id}".strip()


def _environment() -> dict[str, str]:
    """Ours, without what would configure an imd."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("IMD", "NOTIFY_"))}


async def _moment() -> None:
    """Between two questions to a process."""
    await deferLater(reactor, 0.02)
