"""Real Redis servers and Sentinels for tests: free ports, unix sockets, a folder of their own."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import replace
from typing import Any

import hiredis

from imd.backend.redis_settings import RedisSettings
from tests.support.standstill import stand_still

START_SECONDS = 10.0
ATTEMPTS = 5  # a port that was free may be taken by the time Redis binds it


class RedisServer:
    """One ``redis-server``. Its data stay over ``kill`` and ``start`` with ``appendonly``; ``stop`` deletes all.

    It always listens on a unix socket; ``tcp`` adds a port (plain), ``tls`` one for TLS with (cert, key, ca).
    """

    def __init__(
        self,
        *,
        password: str = "",
        tcp: bool = False,
        tls: tuple[str, str, str] | None = None,
        tls_clients: bool = False,
        appendonly: bool = False,
        options: tuple[str, ...] = (),
    ) -> None:
        self.folder = tempfile.mkdtemp(prefix="imd-redis-")
        self.path = f"{self.folder}/socket"
        self.password = password
        self.port = 0  # 0 until it has started, or without tcp and tls
        self._tcp = tcp
        self._tls = tls
        self._tls_clients = tls_clients
        self._options = (*options, "--appendonly", "yes", "--appendfsync", "always") if appendonly else options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "RedisServer":
        """Return once it answers."""
        binary = shutil.which("redis-server")
        if binary is None:
            raise RuntimeError("these tests need redis-server: apt-get install redis-server")
        for _ in range(ATTEMPTS):
            wanted = self.port or (free_port() if self._tcp or self._tls else 0)
            command = [binary, *self.arguments(wanted)]
            with open(f"{self.folder}/log", "ab") as log:
                self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            if self._answers():
                self.port = wanted
                return self
        with open(f"{self.folder}/log") as log:
            raise RuntimeError(f"redis-server does not start: {log.read()[-2000:]}")

    def arguments(self, port: int) -> list[str]:
        arguments = ["--port", str(port if self._tcp else 0), "--unixsocket", self.path, "--dir", self.folder]
        arguments += ["--save", "", "--bind", "127.0.0.1", "--daemonize", "no"]
        if self.password:
            arguments += ["--requirepass", self.password, "--masterauth", self.password]
        if self._tls:
            cert, key, ca = self._tls
            arguments += ["--tls-port", str(port), "--tls-cert-file", cert, "--tls-key-file", key]
            arguments += ["--tls-ca-cert-file", ca, "--tls-auth-clients", "yes" if self._tls_clients else "no"]
        return [*arguments, *self._options]

    def settings(self, **changes: Any) -> RedisSettings:
        """How a link reaches it: the unix socket, or the port when it has one."""
        settings = RedisSettings(password=self.password, timeout_seconds=2.0, connections=2)
        if self.port:
            settings = replace(settings, host="localhost", port=self.port, tls=self._tls is not None)
        else:
            settings = replace(settings, path=self.path)
        return replace(settings, **changes)

    def command(self, *arguments: bytes | str | int) -> Any:
        """One command on a connection of its own; waits for the answer. Raises ``hiredis.ReplyError``."""
        reader = hiredis.Reader()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(self.path)
            words: list[tuple[bytes | str | int, ...]] = [("AUTH", self.password)] if self.password else []
            answer: Any = None
            for each in (*words, arguments):
                connection.sendall(hiredis.pack_command(each))  # type: ignore[arg-type]  # its stub takes tuples of one
                answer = False
                while answer is False:
                    data = connection.recv(65536)
                    if not data:
                        raise ConnectionError("redis-server hung up")
                    reader.feed(data)
                    answer = reader.gets()
        if isinstance(answer, hiredis.ReplyError):
            raise answer
        return answer

    def kill(self) -> None:
        """SIGKILL, as if the machine had taken it."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        if os.path.exists(self.path):
            os.unlink(self.path)

    def copy(self) -> str:
        """Its data as of now, with ``appendonly``, for :meth:`restore`; answers the folder. Precondition: it runs."""
        copy = tempfile.mkdtemp(prefix="copy-", dir=self.folder)
        self.pause()
        shutil.copytree(self._data, copy, dirs_exist_ok=True)
        self.resume()
        return copy

    def restore(self, copy: str | None) -> None:
        """Put an older copy in the place of its data, or nothing (None). Precondition: it was killed."""
        shutil.rmtree(self._data)
        if copy is not None:
            shutil.copytree(copy, self._data)

    def pause(self) -> None:
        """SIGSTOP: the kernel accepts connections and bytes, and nobody answers."""
        assert self._process is not None
        stand_still(self._process.pid)

    def resume(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it, and delete its folder."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _data(self) -> str:
        return f"{self.folder}/appendonlydir"

    def _answers(self) -> bool:
        """Whether it begins to answer before it exits."""
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                self.command("PING")
            except (OSError, hiredis.ReplyError):  # not there yet, or still loading
                time.sleep(0.005)
            else:
                return True
        self._process.kill()
        self._process.wait()
        return False


class RedisSentinel(RedisServer):
    """A Sentinel that watches one master as ``mymaster`` and fails over within a second or two."""

    def __init__(self, *, master: RedisServer, password: str = "") -> None:
        super().__init__(tcp=True, password=password)
        self._master = master

    def arguments(self, port: int) -> list[str]:
        lines = [
            f"port {port}",
            "bind 127.0.0.1",
            f"unixsocket {self.path}",
            f"dir {self.folder}",
            f"sentinel monitor mymaster 127.0.0.1 {self._master.port} 1",
            "sentinel down-after-milliseconds mymaster 400",
            "sentinel failover-timeout mymaster 2000",
        ]
        if self._master.password:
            lines.append(f"sentinel auth-pass mymaster {self._master.password}")
        if self.password:
            lines.append(f"requirepass {self.password}")
        path = f"{self.folder}/sentinel.conf"
        with open(path, "w") as file:
            file.write("\n".join(lines) + "\n")
        return [path, "--sentinel"]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
