"""A cluster of real processes on this machine: Redis and ZooKeeper, logic, job, and one comet or more."""

import ctypes
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import machine
from benchmarks.program import ROOT, START_SECONDS, ProgramFailed

ZOOKEEPER_JAR = Path("/usr/share/java/zookeeper.jar")  # Debian's; its manifest names what else it needs
LOOK_SECONDS = 0.05
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
_GREETED = re.compile(r"^  (TCP clients|WebSocket clients|HTTP API) +\w+://127\.0\.0\.1:(\d+)", re.MULTILINE)


class Daemon:
    """A process that says nothing but its log."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=folder,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the runner, which ends us all
                preexec_fn=_die_with_parent,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def cpu_seconds(self) -> float:
        return machine.cpu_seconds(self.pid)

    def check(self, ends: float) -> None:
        """Raises :class:`ProgramFailed` when it has ended, or is late."""
        if self._process.poll() is not None or time.monotonic() > ends:
            what = "ended" if self._process.poll() is not None else f"is not ready after {START_SECONDS:g} s"
            raise ProgramFailed("\n".join([f"{self.name} {what}", *self.log.strip().splitlines()[-20:]]))

    def kill(self) -> None:
        """Nothing of it is wanted any more."""
        self._process.kill()

    def wait(self) -> None:
        """Until it is gone. With many connections that takes a while."""
        self._process.wait()


class Cluster:
    """Started, and ready. Redis logs every write and syncs once a second, as docs/operations.md has it.

    Nothing is pinned: the kernel spreads the processes over the cores, as it does where they share a machine.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, object],
        job: Mapping[str, object] | None = None,
        comets: int = 1,
        sampled: bool = False,
    ) -> None:
        """``settings``: of all roles; ``job``: of that one besides. Several comets share the ports that are named there.
        ``sampled``: each role runs below ``sampled.py``, its file being ``<name>.samples`` in ``folder``.

        Raises :class:`ProgramFailed`, also with what is to be installed.
        """
        self._folder = folder
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("IMD", "NOTIFY_"))
        }
        self._environment["PYTHONPATH"] = str(ROOT)  # what is measured is this tree, whatever is installed
        self._sampled = sampled
        self.daemons: dict[str, Daemon] = {}  # by name, in the order of their start
        self.ports: dict[str, int] = {}  # "TCP clients", "HTTP API"
        self.comets = ["comet", *(f"comet-{number}" for number in range(2, comets + 1))]  # their names
        try:
            zookeeper_port = self._start_products()
            common = {
                "redis.address": f"unix:{folder}/redis",
                "registry.hosts": f"127.0.0.1:{zookeeper_port}",
            }
            own: dict[str, Mapping[str, object]] = {"job": job or {}}
            for name in ("logic", "job", *self.comets):
                self._start_role(name, {**common, **settings, **own.get(name, {})})
            for name in ("logic", "job", *self.comets):
                self._wait_for_role(self.daemons[name])
        except BaseException:
            self.end()
            raise

    @property
    def cpu_seconds(self) -> dict[str, float]:
        """By name, so far."""
        return {name: daemon.cpu_seconds for name, daemon in self.daemons.items()}

    def admin(self, name: str, target: str) -> bytes:
        """What a role's operator's listener answers. Raises ``OSError`` when nobody does."""
        connection = http.client.HTTPConnection("localhost")
        try:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(f"{self._folder}/{name}")
            connection.request("GET", target)
            return connection.getresponse().read()
        finally:
            connection.close()

    def end(self) -> None:
        """All at once: what one would do about the end of another is of no use."""
        for daemon in reversed(self.daemons.values()):
            daemon.kill()
        for daemon in self.daemons.values():
            daemon.wait()

    def _start(self, name: str, command: Sequence[str]) -> Daemon:
        daemon = self.daemons[name] = Daemon(name, command, self._folder, self._environment)
        return daemon

    def _start_products(self) -> int:
        """Redis on a unix socket, ZooKeeper on the port that is answered."""
        redis, java = shutil.which("redis-server"), shutil.which("java")
        if redis is None or java is None or not ZOOKEEPER_JAR.exists():
            raise ProgramFailed("redis-server and ZooKeeper are needed: apt-get install redis-server zookeeper")
        path = self._folder / "redis"
        self._start(
            "redis",
            [
                *(redis, "--port", "0", "--unixsocket", str(path), "--dir", str(self._folder), "--save", ""),
                *("--appendonly", "yes", "--appendfsync", "everysec", "--daemonize", "no"),
            ],
        )
        port = _free_port()
        config = self._folder / "zoo.cfg"
        config.write_text(
            f"dataDir={self._folder}/zookeeper\nclientPortAddress=127.0.0.1\nclientPort={port}\ntickTime=500\n"
            "admin.enableServer=false\nmaxClientCnxns=0\n4lw.commands.whitelist=ruok\n"
        )
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        jars = f"{self._folder}:{ZOOKEEPER_JAR}"
        self._start("zookeeper", [java, "-Xmx128m", "-XX:+UseSerialGC", "-cp", jars, main, str(config)])
        self._wait("redis", lambda: _reaches(socket.AF_UNIX, str(path)))
        self._wait("zookeeper", lambda: _reaches(socket.AF_INET, ("127.0.0.1", port)))
        return port

    def _start_role(self, name: str, settings: Mapping[str, object]) -> None:
        role = name.partition("-")[0]
        listen = {"admin.listen": f"unix:{self._folder}/{name}"}
        if role == "comet":
            listen |= {"comet.tcp": "127.0.0.1:0", "comet.websocket": "127.0.0.1:0"}
        if role == "logic":
            listen |= {"logic.http": "127.0.0.1:0"}
        twistd = [str(Path(sys.executable).with_name("twistd"))]
        if self._sampled:
            twistd = [sys.executable, "-m", "benchmarks.sampled", f"{self._folder}/{name}.samples"]
        command = [*twistd, "--nodaemon", "--pidfile=", f"imd-{role}", "--id", f"bench-{name}"]
        for key, value in {**listen, **settings}.items():
            command += ["--set", f"{key}={value}"]
        self._start(name, command)

    def _wait_for_role(self, daemon: Daemon) -> None:
        self._wait(daemon.name, lambda: " is ready" in daemon.log and self._is_ready(daemon.name))
        self.ports |= {name: int(port) for name, port in _GREETED.findall(daemon.log)}

    def _is_ready(self, name: str) -> bool:
        try:
            return not json.loads(self.admin(name, "/readyz"))["troubles"]
        except OSError:
            return False

    def _wait(self, name: str, holds: Callable[[], bool]) -> None:
        ends = time.monotonic() + START_SECONDS
        while not holds():
            self.daemons[name].check(ends)
            time.sleep(LOOK_SECONDS)


def _die_with_parent() -> None:
    """The kernel's doing: a runner that was killed cannot."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _reaches(family: socket.AddressFamily, address: str | tuple[str, int]) -> bool:
    with socket.socket(family) as probe:
        return probe.connect_ex(address) == 0


def _free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
