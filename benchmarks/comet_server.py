"""A comet as ``twistd imd`` has it, in a process without job: pushes come from the runner, by the RPC that job speaks.

``python -m benchmarks.comet_server --core C --connections N --rpc ENDPOINT [--set SECTION.KEY=VALUE]...``. Without an
endpoint it is all of ``twistd imd``, pushed to over HTTP. It says its ports and its boot by a line of JSON.
"""

import argparse
import json
import os
import sys
from typing import Any, ClassVar

from twisted.logger import globalLogBeginner, textFileLogObserver

from benchmarks.agreeable_logic import handlers
from imd.backend.registry_static import RegistryStatic
from imd.service.comet import comet_parts
from imd.service.daemon import Part
from imd.service.launch import launch
from imd.service.options import Options as RoleOptions
from imd.service.process import Process
from imd.service.registration import Registration
from imd.service.rpc_part import RpcPart
from imd.service.standalone import build
from imd.transport.rpc_server import RpcServer

LOGIC = "inproc://logic"
SERVER = "bench"


class Options(RoleOptions):
    """One process: no ZooKeeper."""

    role: ClassVar = "imd"


class Report:
    """The last part: says that the others are open."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def open(self) -> None:
        ports = {key.rpartition(".")[2]: bound.address.port for key, bound in self._process.sockets.items()}
        print(json.dumps({"event": "listening", "boot": self._process.boot, "ports": ports}), flush=True)

    async def close(self) -> None:
        """Nothing to do."""

    def trouble(self) -> str | None:
        return None


def parts(process: Process, endpoint: str) -> list[Part]:
    """Those of ``twistd imd``, less job and with another logic."""
    registry = RegistryStatic()
    logic = RpcServer(
        context=process.context,
        reactor=process.reactor,
        endpoint=LOGIC,
        handlers=handlers(),
        metrics=process.metrics,
        options=process.zmq_options,
    )
    registration = Registration(
        registry=registry, clock=process.reactor, describe=lambda: process.instance("logic", LOGIC)
    )
    return [
        *process.parts(),
        Part("registry", registry),
        Part("logic rpc", RpcPart(logic)),
        Part("logic registration", registration),
        *comet_parts(process, registry, endpoint),
        Part("report", Report(process)),
    ]


def settings(arguments: argparse.Namespace) -> list[str]:
    """For so many clients, which send no heartbeats; then what was asked for."""
    chosen = {
        "server.id": SERVER,
        "comet.tcp": "127.0.0.1:0",
        "comet.websocket": "127.0.0.1:0",
        "comet.max_connections": arguments.connections + 16,
        "comet.max_connections_per_address": arguments.connections + 16,
        "comet.heartbeat_seconds": 3600.0,
        "comet.handshake_seconds": 60.0,
        "logic.http": "127.0.0.1:0",
        "admin.listen": "127.0.0.1:0",
        "log.level": "warn",
    }
    return [*(f"{key}={value}" for key, value in chosen.items()), *arguments.set]


def main() -> None:
    """Until it is killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--core", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--rpc", default="")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {arguments.core})  # before there is a thread
    options: Any = Options()
    options.parent = {"logger": "below"}  # as twistd's: else a log file is made here
    options.parseOptions([word for each in settings(arguments) for word in ("--set", each)])

    def made(process: Process) -> list[Part]:
        if arguments.rpc:
            return parts(process, arguments.rpc)
        return [*build(process), Part("report", Report(process))]

    daemon = launch(options, made)
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    daemon.startService()
    daemon.reactor.run()


if __name__ == "__main__":
    main()
