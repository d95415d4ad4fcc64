"""A real ZooKeeper server for tests: a free port, a folder of its own, and ways to kill, pause and restart it."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tests.support.certificates import Certificates
from tests.support.standstill import stand_still

JAR = Path("/usr/share/java/zookeeper.jar")  # Debian's; its manifest names what else it needs
START_SECONDS = 20.0
TICK_MS = 500  # sessions last at least two of them
NETTY = (
    "netty-codec",
    "netty-resolver",
    "netty-transport-native-unix-common",
)  # for TLS; the jar's manifest lacks them
ATTEMPTS = 5  # a port that was free may be taken by the time ZooKeeper binds it


class ZooKeeperServer:
    """One server on loopback. What it holds stays over ``kill`` and ``start``; ``stop`` deletes it.

    With ``certificates`` it has a port for TLS too, which asks clients for a certificate of the same authority.
    """

    def __init__(self, *, certificates: Certificates | None = None) -> None:
        self.folder = tempfile.mkdtemp(prefix="imd-zookeeper-")
        self.port = 0  # 0 until it has started; the same from then on
        self.tls_port = 0  # 0 without certificates
        self._certificates = certificates
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
        stand_still(self._process.pid)

    def resume(self) -> None:
        """Go on after :meth:`pause`."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it and delete what it holds."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _command(self, java: str, port: int) -> list[str]:
        config, jars = Path(self.folder, "zoo.cfg"), [JAR, *(JAR.with_name(f"{name}.jar") for name in NETTY)]
        config.write_text(
            f"dataDir={self.folder}/data\nclientPortAddress=127.0.0.1\nclientPort={port}\ntickTime={TICK_MS}\n"
            "admin.enableServer=false\nmaxClientCnxns=0\n4lw.commands.whitelist=ruok,srvr\n" + self._tls()
        )
        return [
            *(java, "-Xmx128m", "-XX:+UseSerialGC", "-Dzookeeper.forceSync=no"),
            *(
                "-cp",
                ":".join(map(str, [self.folder, *jars])),
                "org.apache.zookeeper.server.quorum.QuorumPeerMain",
                str(config),
            ),
        ]

    def _tls(self) -> str:
        """The lines of the port with TLS."""
        if self._certificates is None:
            return ""
        ours, self.tls_port = self._certificates, free_port()
        store = Path(self.folder, "server.pem")
        store.write_text(Path(ours.key).read_text() + Path(ours.cert).read_text())
        return (
            f"secureClientPortAddress=127.0.0.1\nsecureClientPort={self.tls_port}\nssl.clientAuth=need\n"
            "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n"
            f"ssl.keyStore.location={store}\nssl.keyStore.type=PEM\n"
            f"ssl.trustStore.location={Path(ours.ca).absolute()}\nssl.trustStore.type=PEM\n"
        )

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
