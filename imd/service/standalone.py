"""twistd's `imd`: comet, logic and job in one process, on embedded backends."""

from time import time
from typing import ClassVar

from imd.config import Role
from imd.logic.ids import IdMaker
from imd.service.comet import comet_parts
from imd.service.daemon import Daemon, Part
from imd.service.discovery import discovery
from imd.service.job import job_parts
from imd.service.launch import launch
from imd.service.logic import logic_parts
from imd.service.options import Options as RoleOptions
from imd.service.process import Process
from imd.service.storage import storage

# Sockets within the process: the same RPC as between processes.
COMET = "inproc://comet"
LOGIC = "inproc://logic"


class Options(RoleOptions):
    """What `twistd imd --help` shows."""

    role: ClassVar[Role] = "imd"
    synopsis = "[--config imd.toml] [--set section.key=value]..."
    longdesc = (
        "All of imd in one process: clients' connections on 127.0.0.1:3101 (TCP) and :3102 (WebSocket), the HTTP API and a "
        "page to try it on 127.0.0.1:3111. Accepted pushes are kept in var/imd.sqlite: a kill -9 loses none. No server to "
        "install. For several processes on one host or forty: twistd imd-comet, imd-logic and imd-job."
    )


def makeService(options: Options) -> Daemon:  # twistd's name
    """twistd calls it, before the fork."""
    return launch(options, build)


def build(process: Process) -> list[Part]:
    """What others get over the network is here by the time it is asked for: storage, brain, edge, hands."""
    ids = IdMaker(now=time)
    found = discovery(process, worker_id_changed=ids.take)
    stored = storage(process, found.witness)
    return [
        *process.parts(),
        *found.parts,
        *stored.parts,
        *logic_parts(process, found.registry, stored, ids, LOGIC),
        *comet_parts(process, found.registry, COMET),
        *job_parts(process, found, stored),
    ]
