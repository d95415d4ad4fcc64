"""Several comets behind one port, by one command: real processes."""

import os
import signal
import socket
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from imd.errors import PeerUnavailable
from tests.support.cluster import Cluster, together
from tests.support.http_call import http
from tests.support.listening_client import ListeningClient, listen
from tests.support.reactor import eventually, reactor
from tests.support.system_case import SystemCase
from tests.support.twistd import Twistd

COMETS = 3
CLIENTS = 60  # so that the odds that the kernel leaves one comet without any are 1 to 10 to the 10
WATCHDOG_SECONDS = 4
END_SECONDS = 60.0  # two starts of Python, or three stops, on a machine that has other work
SETTLE_SECONDS = 60.0  # for a comet to come back: the dead one's session in ZooKeeper ends first


class CoresCase(SystemCase):
    """A cluster whose comets are of one supervisor."""

    cluster: Cluster

    async def running(self, *arguments: str, environ: dict[str, str] | None = None, **comet: Any) -> Twistd:
        """The supervisor, ready, with a logic and a job beside it."""
        self.cluster = Cluster()
        self.addCleanup(self.cluster.end)
        self.cluster.start_products()
        await self.cluster.start("logic1", "job1")
        supervisor = self.cluster.make("comet", **comet)
        supervisor.arguments = ("--processes", str(COMETS), *arguments)
        supervisor.environ = environ or {}
        return await supervisor.start().ready()

    def pids(self, supervisor: Twistd) -> dict[str, int]:
        """Name -> process, of those that run."""
        alive = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children").read_text().split()
        found = {}
        for pid in map(int, alive):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            found[
                next(word for word in reversed(words) if word.startswith("server.id=")).removeprefix("server.id=")
            ] = pid
        return found

    async def figures(self, supervisor: Twistd, name: str) -> dict[str, float]:
        """The metrics of one comet, from its own operator's address."""
        text = (await http("GET", f"{supervisor.admin}-{name.rpartition('-')[2]}", "/metrics")).body.decode()
        lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {metric: float(value) for metric, _, value in lines}

    async def audience(self, supervisor: Twistd) -> list[ListeningClient]:
        """Many clients in one room, at the one port."""
        url = supervisor.urls["tcp"]
        return await together(listen(self, url, key=f"k{number}", room="live://r") for number in range(CLIENTS))

    def gone(self, pid: int) -> bool:
        """Whether it has ended; who is init here may let it lie for a while."""
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
        except OSError:
            return True


class ServingTests(CoresCase):
    def test_one_port(self) -> Deferred[None]:
        """Port 0 is one port for all; each comet gets a share of the clients, and a push to all, to a room and to a key finds
        them wherever they are. The operator sees each and the whole."""

        async def run() -> None:
            supervisor = await self.running("--pin")
            self.assertEqual(len(set(supervisor.greeted("tcp"))), 1)
            clients = await self.audience(supervisor)
            names = [f"comet-{number}" for number in range(1, COMETS + 1)]
            shares = [(await self.figures(supervisor, name))["imd_channels"] for name in names]
            self.assertEqual(sum(shares), CLIENTS)
            self.assertGreater(min(shares), 0)
            await self.cluster.push("all?operation=1000", b"all")
            await self.cluster.push("room?operation=1000&type=live&room=r", b"room")
            await self.cluster.push("keys?operation=1000&keys=k7", b"key")
            await together(client.got(b"all", b"room") for client in clients)
            await clients[7].got(b"key")
            self.assertEqual(Counter(body for client in clients for body in client.bodies)[b"key"], 1)
            while (await supervisor.metrics())['imd_processes{phase="ready"}'] != COMETS:
                await deferLater(reactor, 0.1)  # it is looked at once a second
            cores = [os.sched_getaffinity(pid) for pid in self.pids(supervisor).values()]
            self.assertEqual({len(each) for each in cores}, {1})

        return self.later(run)

    def test_killed(self) -> Deferred[None]:
        """A comet that is killed costs its own clients their connections, which they find again at the same port at once; it
        comes back by itself, and the supervisor says so meanwhile."""

        async def run() -> None:
            supervisor = await self.running()
            clients = await self.audience(supervisor)
            name, pid = sorted(self.pids(supervisor).items())[0]
            cut = (await self.figures(supervisor, name))["imd_channels"]
            os.kill(pid, signal.SIGKILL)
            await eventually(lambda: sum(client.client.trouble is not None for client in clients) == cut)
            await supervisor.troubles_are(lambda troubles: set(troubles) == {name})
            await listen(self, supervisor.urls["tcp"], key="again", room="live://r")
            await supervisor.troubles_are(lambda troubles: not troubles, SETTLE_SECONDS)
            self.assertNotEqual(self.pids(supervisor)[name], pid)
            self.assertIn(f"{name} was ended by signal 9 (Killed); it is started again in 1.0 s", supervisor.log)
            self.assertEqual((await supervisor.metrics())[f'imd_process_ends_total{{process="{name}"}}'], 1)

        return self.later(run)

    def test_hung(self) -> Deferred[None]:
        """A comet that stands still is killed and started again, while systemd goes on hearing that the service lives."""

        async def run() -> None:
            path = os.path.abspath(self.mktemp())
            systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            self.addCleanup(systemd.close)
            systemd.bind(path)
            told = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": str(WATCHDOG_SECONDS * 10**6)}
            supervisor = await self.running(environ=told)
            heard = self.heard(systemd)
            self.assertEqual(heard.count("READY=1"), 1)
            name, pid = sorted(self.pids(supervisor).items())[-1]
            os.kill(pid, signal.SIGSTOP)
            line = f"{name} has given no sign of life for {WATCHDOG_SECONDS} s: it is killed"
            await supervisor.until(lambda: line in supervisor.log)
            await supervisor.troubles_are(lambda troubles: not troubles, SETTLE_SECONDS)
            heard = self.heard(systemd)
            self.assertGreaterEqual(heard.count("WATCHDOG=1"), WATCHDOG_SECONDS - 1)
            self.assertEqual(await supervisor.stop(), 0)
            self.assertIn("STOPPING=1", self.heard(systemd))

        return self.later(run)

    def heard(self, systemd: socket.socket) -> list[str]:
        """What was said since the last time, line by line."""
        lines: list[str] = []
        while True:
            try:
                lines += systemd.recv(4096).decode().split("\n")
            except BlockingIOError:
                return lines


class EndingTests(CoresCase):
    def test_stopped(self) -> Deferred[None]:
        """SIGTERM ends all with status 0: clients are told, comets leave the registry, nothing is left."""

        async def run() -> None:
            supervisor = await self.running()
            clients = await self.audience(supervisor)
            pids = self.pids(supervisor).values()
            self.assertEqual(await supervisor.stop(), 0)
            self.assertTrue(all(map(self.gone, pids)))
            await eventually(lambda: all(client.client.trouble for client in clients))
            self.assertEqual(supervisor.log.count("imd-comet has stopped"), COMETS + 1)
            self.assertEqual(supervisor.log.count("session ended: server_stopping"), CLIENTS)
            with self.assertRaises(PeerUnavailable):
                await listen(self, supervisor.urls["tcp"])

        return self.later(run)

    def test_interrupted(self) -> Deferred[None]:
        """As by Ctrl-C in a terminal, which all of them hear."""

        async def run() -> None:
            supervisor = await self.running()
            pids = self.pids(supervisor).values()
            for pid in (supervisor.pid, *pids):
                os.kill(pid, signal.SIGINT)
            self.assertEqual(await supervisor.exited(), 0)
            self.assertTrue(all(map(self.gone, pids)))
            self.assertNotIn("Traceback", supervisor.log)

        return self.later(run)

    def test_supervisor_killed(self) -> Deferred[None]:
        """Its comets end as well, in good order: no orphan keeps the port."""

        async def run() -> None:
            supervisor = await self.running()
            clients = await self.audience(supervisor)
            pids = self.pids(supervisor).values()
            supervisor.kill()
            await eventually(lambda: all(map(self.gone, pids)), END_SECONDS)
            self.assertEqual(supervisor.log.count("session ended: server_stopping"), len(clients))
            self.assertEqual(supervisor.log.count("the supervisor is gone: this process stops"), COMETS)

        return self.later(run)


class FailingTests(CoresCase):
    def test_wrong_configuration(self) -> Deferred[None]:
        """One line, status 1, nothing started."""

        async def run() -> None:
            process = self.make("comet", arguments=("--processes", "3"), comet={"buckets": 0})
            self.assertEqual(await process.start().exited(END_SECONDS), 1)
            self.assertEqual(process.log, "--set comet.buckets=0: must be a whole number >= 1\n")

        return self.later(run)

    def test_a_comet_that_cannot_start(self) -> Deferred[None]:
        """What only a comet finds out, here that its port for peers is taken, ends them all with one line that names it."""

        async def run() -> None:
            with socket.create_server(("127.0.0.1", 0)) as other:
                port = other.getsockname()[1]
                rpc = {"listen": f"tcp://127.0.0.1:{port - 1}"}
                process = self.make("comet", id="host", arguments=("--processes", "2"), rpc=rpc)
                self.assertEqual(await process.start().exited(END_SECONDS), 1)
            errors = [line for line in process.log.splitlines() if " error service." in line]
            self.assertEqual(len(errors), 1, process.log)
            # nearly always host-2; the port below may be somebody's too
            self.assertRegex(errors[0], "imd-comet stops: host-[12] ended with status 1: cannot listen for RPC on")
            self.assertNotIn("Traceback", process.log)

        return self.later(run)

    def test_daemon(self) -> Deferred[None]:
        """Without a terminal: a pidfile, a log, and SIGTERM to the process that it names ends all."""

        async def run() -> None:
            process = self.make("comet", id="host", arguments=("--processes", "2"))
            process.twistd = ("--pidfile=twistd.pid",)
            self.assertEqual(await process.start().exited(END_SECONDS), 0)
            log, pidfile = Path(process.folder, "twistd.log"), Path(process.folder, "twistd.pid")
            await eventually(lambda: log.is_file() and log.read_text().count(" is process ") == 2, END_SECONDS)
            pid = int(pidfile.read_text())
            self.addCleanup(lambda: None if self.gone(pid) else os.kill(pid, signal.SIGKILL))
            await eventually(
                lambda: log.read_text().count("zookeeper:") >= 2, END_SECONDS
            )  # both log there; no ZooKeeper is here
            os.kill(pid, signal.SIGTERM)
            await eventually(lambda: self.gone(pid), END_SECONDS)
            self.assertIn("imd-comet has stopped", log.read_text())
            await deferLater(reactor, 0)
            self.assertFalse(pidfile.exists())

        return self.later(run)
