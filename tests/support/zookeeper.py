"""A real ZooKeeper server for tests: a free port, a folder of its own, and ways to kill, pause and restart it."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

JAR = Path("/usr/share/java/zookeeper.jar")  # Debian's; its manifest names what else it needs
START_SECONDS = 20.0
TICK_MS = 500  # sessions last at least two of them
ATTEMPTS = 5  # a port that was free may be taken by the time ZooKeeper binds it


class ZooKeeperServer:
    """One server on loopback. What it holds stays over ``kill`` and ``start``; ``stop`` deletes it."""

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="imd-zookeeper-")
        self.port = 0  # 0 until it has started; the same from then on
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def hosts(self) -> str:
        """As clients want it."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> "ZooKeeperServer":
        """Return once it answers."""
        java = shutil.which("java")
        if java is None or not JAR.exists():
            missing = "java" if java is None else str(JAR)
            raise RuntimeError(f"these tests need ZooKeeper, and {missing} is missing: apt-get install zookeeper")
        for _ in range(ATTEMPTS):
            port = self.port or free_port()
            with open(f"{self.folder}/log", "ab") as log:
                self._process = subprocess.Popen(
                    self._command(java, port), stdout=log, stderr=log, stdin=subprocess.DEVNULL
                )
            if self._answers(port):
                self.port = port
                return self
            self.kill()
        raise RuntimeError(f"ZooKeeper does not start: {Path(self.folder, 'log').read_text()[-2000:]}")

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop answering, with every connection open."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after :meth:`pause`."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it and delete what it holds."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _command(self, java: str, port: int) -> list[str]:
        config = Path(self.folder, "zoo.cfg")
        config.write_text(
            f"dataDir={self.folder}/data\nclientPortAddress=127.0.0.1\nclientPort={port}\ntickTime={TICK_MS}\n"
            "admin.enableServer=false\nmaxClientCnxns=0\n4lw.commands.whitelist=ruok,srvr\n"
        )
        return [
            *(java, "-Xmx128m", "-XX:+UseSerialGC", "-Dzookeeper.forceSync=no"),
            *("-cp", f"{self.folder}:{JAR}", "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(config)),
        ]

    def _answers(self, port: int) -> bool:
        """Whether it came up: False when the process ended or took too long."""
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", port), 1) as connection:
                    connection.sendall(b"srvr")
                    connection.shutdown(socket.SHUT_WR)
                    if b"Mode: standalone" in connection.makefile("rb").read():
                        return True
            except OSError:
                pass
            time.sleep(0.05)
        return False


def free_port() -> int:
    """One that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
