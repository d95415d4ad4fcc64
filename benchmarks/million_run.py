"""A run of ``million``: start, connect, idle, push; and what it took."""

import base64
import http.client
import json
import re
import socket
import struct
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from benchmarks import compiler, machine
from benchmarks.capacity import Demand
from benchmarks.cluster import Cluster
from benchmarks.crowd import Crowd, Reached
from benchmarks.load_client import ROOM
from benchmarks.million_findings import Findings, Memory, Phase, Pushed

OPERATION = 1000
BODY_BYTES = 100
REACH_SECONDS = 120.0  # without a client more that was reached: the rest never will be
LOOK_SECONDS = 0.5  # between two looks at how many were reached
LOOKS = 10  # at the buffers, for each of them
# So many comets sweep side by side on few cores that each answers job only when nearly all are done.
JOB = {"rpc.deadline_seconds": 60.0}
COMETS_NICE = 10  # those go first for whom all wait: logic and Redis, else one of fifty each that the cores are for
SETTLE_SECONDS = 2.0  # for what comes twice
TARGETS: Mapping[str, Mapping[str, object]] = {"room": {"room": ROOM}, "all": {"all": True}}
# Counters that say of something that it went wrong; labels that say it went well.
TROUBLES = (
    "imd_drops_total",
    "imd_rpc_late_replies_total",
    "imd_connections_closed_total",
    "imd_authentications_total",
)
GOOD = 'result="ok"'
MOST_COMPLAINTS = 10  # that are told, the most frequent
COMPLAINT = re.compile(r"\S+ ((?:warn|error|critical) .*)")  # a line of a log, after its time

Say = Callable[[str], None]


class NotAccepted(Exception):
    """logic did not take a push; with its words."""


class Run:
    """One. ``run`` leaves no process behind."""

    def __init__(
        self,
        *,
        demand: Demand,
        idle_seconds: float,
        heartbeat_seconds: int,
        handshakes: int,
        scratch: Path,
        say: Say,
    ) -> None:
        """Compiles the clients. Raises :class:`compiler.NoCompiler`."""
        self._demand = demand
        self._idle_seconds = idle_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._handshakes = handshakes
        self._scratch = scratch
        self._say = say
        self._load_client = compiler.build("load_client", scratch)
        self._phases: list[Phase] = []

    def run(self) -> Findings:
        """Raises :class:`benchmarks.program.ProgramFailed` or :class:`NotAccepted`."""
        demand = self._demand
        with ExitStack() as stack:
            self._say(
                f"{demand.connections:,} connections: starting {demand.processes} comets, logic, job, Redis, ZooKeeper"
            )
            port: int = stack.enter_context(_reserved_port()).getsockname()[1]
            cluster = Cluster(self._scratch, settings=self._settings(port), job=JOB, comets=demand.processes)
            crowd = Crowd(
                self._load_client,
                demand=demand,
                port=port,
                handshakes=self._handshakes,
                heartbeat_seconds=self._heartbeat_seconds,
                scratch=self._scratch,
            )
            stack.callback(crowd.end)
            stack.callback(cluster.end)  # first: comets that are gone need not be told that clients are
            for name in cluster.comets:
                machine.give_way(cluster.daemons[name].pid, COMETS_NICE)
            return self._measure(cluster, crowd)

    def _settings(self, port: int) -> dict[str, object]:
        most = self._demand.most_of_a_comet
        quiet = {"tcp": "comet.websocket", "websocket": "comet.tcp"}[self._demand.transport]
        return {
            f"comet.{self._demand.transport}": f"127.0.0.1:{port}",
            quiet: "",
            "comet.reuse_port": "true",
            "comet.max_connections": most,
            "comet.max_connections_per_address": most,
            "comet.heartbeat_seconds": float(self._heartbeat_seconds),
        }

    def _measure(self, cluster: Cluster, crowd: Crowd) -> Findings:
        memory, of_the_start = [_memory(cluster, crowd)], _complaints(cluster)
        self._phase("connecting", cluster, crowd, lambda: crowd.connect(self._tell_connected))
        self._phase("idle", cluster, crowd, self._idle)
        memory.append(_memory(cluster, crowd))
        pushes = [self._push(target, cluster, crowd) for target in TARGETS]
        memory.append(_memory(cluster, crowd))
        channels = [int(_samples(cluster, name)["imd_channels"]) for name in cluster.comets]
        return Findings(
            connections=self._demand.connections,
            transport=self._demand.transport,
            channels=tuple(channels),
            phases=tuple(self._phases),
            memory=tuple(memory),
            pushes=tuple(pushes),
            redials=crowd.redials,
            handed_over=_handed_over(_samples(cluster, "job")),
            troubles=self._troubles(cluster),
            complaints=dict((_complaints(cluster) - of_the_start).most_common(MOST_COMPLAINTS)),
        )

    def _phase(self, name: str, cluster: Cluster, crowd: Crowd, do: Callable[[], object]) -> None:
        """Do it, and note what it took."""
        began, before = time.monotonic(), _cpu_seconds(cluster, crowd)
        do()
        after = _cpu_seconds(cluster, crowd)
        spent = {role: after[role] - before[role] for role in after}
        self._phases.append(Phase(name=name, seconds=time.monotonic() - began, cpu_seconds=spent))

    def _tell_connected(self, known: int) -> None:
        self._say(f"{known:,} of {self._demand.connections:,} connected")

    def _idle(self) -> None:
        ends = time.monotonic() + self._idle_seconds
        while (left := ends - time.monotonic()) > 0:
            self._say(f"all are in; idle for {left:.0f} s more")
            time.sleep(min(5.0, left))

    # --- pushes -------------------------------------------------------------------------------------------------------------

    def _push(self, target: str, cluster: Cluster, crowd: Crowd) -> Pushed:
        crowd.begin()
        found: list[Pushed] = []
        self._phase(f"push to {target}", cluster, crowd, lambda: found.append(self._reach(target, cluster, crowd)))
        return found[0]

    def _reach(self, target: str, cluster: Cluster, crowd: Crowd) -> Pushed:
        stamped = time.monotonic()
        body = struct.pack(">q", int(stamped * 1e9)).ljust(BODY_BYTES, b"x")
        _push_by_http(cluster.ports["HTTP API"], {"to": TARGETS[target], "op": OPERATION, "body": body})
        accepted_ms = 1000 * (time.monotonic() - stamped)
        reached, buffers_kb = self._wait_until_reached(target, crowd)
        times = crowd.times()
        return Pushed(
            target=target,
            packets=reached.packets,
            fewest=reached.fewest,
            most=reached.most,
            gone=reached.gone,
            accepted_ms=accepted_ms,
            p50_ms=times.at(0.5) - accepted_ms,
            p99_ms=times.at(0.99) - accepted_ms,
            last_ms=times.at(1) - accepted_ms,
            buffers_kb=buffers_kb,
        )

    def _wait_until_reached(self, target: str, crowd: Crowd) -> tuple[Reached, float]:
        """All, or no more for a long time; with the most that was in TCP's buffers meanwhile, KiB."""
        buffers_kb = machine.buffers_kb()
        reached, moved_at = crowd.look(), time.monotonic()
        while reached.packets < self._demand.connections and time.monotonic() - moved_at < REACH_SECONDS:
            self._say(f"push to {target}: {reached.packets:,} reached")
            for _ in range(LOOKS):
                time.sleep(LOOK_SECONDS / LOOKS)
                buffers_kb = max(buffers_kb, machine.buffers_kb())
            before, reached = reached, crowd.look()
            if reached.packets > before.packets:
                moved_at = time.monotonic()
        time.sleep(SETTLE_SECONDS)
        return crowd.look(), buffers_kb

    # --- troubles -----------------------------------------------------------------------------------------------------------

    def _troubles(self, cluster: Cluster) -> dict[str, float]:
        """Counters that should be at zero and are not, over all processes."""
        found: defaultdict[str, float] = defaultdict(float)
        for name in (*cluster.comets, "logic", "job"):
            for sample, value in _samples(cluster, name).items():
                if value and sample.startswith(TROUBLES) and GOOD not in sample:
                    found[sample] += value
        return dict(found)


def _reserved_port() -> socket.socket:
    """A port that only those get who share it; nobody listens on this socket, so it gets no connections itself."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved


def _push_by_http(port: int, push: dict[str, object]) -> None:
    """Returns once it is accepted."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        body = push.pop("body")
        assert isinstance(body, bytes)
        words = json.dumps({**push, "body_base64": base64.b64encode(body).decode()})
        connection.request("POST", "/v1/push", words, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read().decode(errors="replace")
    except OSError as error:
        raise NotAccepted(f"logic did not answer a push: {error}") from None
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise NotAccepted(f"logic did not accept a push: {answer.status} {said}")


def _cpu_seconds(cluster: Cluster, crowd: Crowd) -> dict[str, float]:
    """By role."""
    found: defaultdict[str, float] = defaultdict(float, clients=crowd.cpu_seconds)
    for name, seconds in cluster.cpu_seconds.items():
        found["comets" if name in cluster.comets else name] += seconds
    return dict(found)


def _memory(cluster: Cluster, crowd: Crowd) -> Memory:
    of = {name: machine.process_kb(daemon.pid) for name, daemon in cluster.daemons.items()}
    return Memory(
        comets_kb=sum(of[name] for name in cluster.comets),
        clients_kb=sum(map(machine.process_kb, crowd.pids)),
        redis_kb=of["redis"],
        others_kb=sum(of[name] for name in ("logic", "job", "zookeeper")),
        kernel_kb=machine.kernel_kb(),
        available_kb=machine.available_kb(),
    )


def _samples(cluster: Cluster, name: str) -> dict[str, float]:
    """What it counted: each sample by its whole name."""
    lines = (line.rpartition(" ") for line in cluster.admin(name, "/metrics").decode().splitlines() if line[:1] != "#")
    return {sample: float(value) for sample, _, value in lines if sample}


def _handed_over(job: Mapping[str, float]) -> dict[str, float]:
    """What comets told job became of the packets, by outcome."""
    pattern = re.compile(r'imd_packets_handed_over_total\{outcome="(\w+)"\}')
    return {match[1]: value for sample, value in job.items() if (match := pattern.match(sample)) and value}


def _complaints(cluster: Cluster) -> Counter[str]:
    """What the processes logged at "warn" and above, numbers left out, and how often."""
    found: Counter[str] = Counter()
    for name in (*cluster.comets, "logic", "job"):
        for line in cluster.daemons[name].log.splitlines():
            if said := COMPLAINT.match(line):
                found[re.sub(r"\d[\d.]*", "#", said[1])] += 1
    return found
