"""twistd's `imd-job`: takes pushes off the broker and hands them to the comets."""

from typing import ClassVar

from imd.config import Role
from imd.interfaces import Location
from imd.job.dispatch import Dispatcher
from imd.job.settings import JobSettings
from imd.service.daemon import Daemon, Part
from imd.service.discovery import Discovery, discovery
from imd.service.launch import launch
from imd.service.links import CometLinks
from imd.service.options import Options as RoleOptions
from imd.service.partitions_part import PartitionsPart
from imd.service.process import Process, now_ms
from imd.service.registration import Registration
from imd.service.storage import Storage, storage


class Options(RoleOptions):
    """What `twistd imd-job --help` shows."""

    role: ClassVar[Role] = "job"
    synopsis = "[--config job.toml] [--id ID] [--set section.key=value]..."
    longdesc = (
        "Takes accepted pushes out of Redis, finds out who is connected where, and hands them to the comets. Start as many as "
        "you like: ZooKeeper shares the partitions among them, and what one had under way when it died comes to another. "
        "For all of imd in one process: twistd imd."
    )


def makeService(options: Options) -> Daemon:  # twistd's name
    """twistd calls it, before the fork."""
    return launch(options, build)


def build(process: Process) -> list[Part]:
    """The parts of a job of a cluster."""
    found = discovery(process)
    stored = storage(process, found.witness)
    registration = Registration(
        registry=found.registry, clock=process.reactor, describe=lambda: process.instance("job")
    )
    return [
        *process.parts(),
        *found.parts,
        *stored.parts,
        Part("job registration", registration),
        *job_parts(process, found, stored),
    ]


def job_parts(process: Process, found: Discovery, stored: Storage) -> list[Part]:
    """The hands themselves."""
    settings = process.settings.job
    links = CometLinks(
        registry=found.registry,
        context=process.context,
        reactor=process.reactor,
        metrics=process.metrics,
        deadline_seconds=process.settings.rpc.deadline_seconds,
        options=process.zmq_options,
        curve=process.security.dialer,
    )
    dispatcher = Dispatcher(
        broker=stored.broker,
        presence=stored.presence,
        rooms=stored.rooms,
        comets=links,
        clock=process.reactor,
        now_ms=now_ms,
        metrics=process.metrics,
        settings=JobSettings(
            read_limit=settings.read_entries, window=settings.window_batches, settle_seconds=settings.settle_seconds
        ),
        job=Location(process.id, process.boot),
        timelines=stored.timelines,
        traces=stored.traces,
    )
    return [
        Part("comet links", links),
        Part("dispatch", dispatcher),
        Part("partitions", PartitionsPart(found.assignment, dispatcher.assigned)),
    ]
