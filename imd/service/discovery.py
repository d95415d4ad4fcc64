"""Discovery: how the processes find each other and share the work, in this process or by ZooKeeper."""

from collections.abc import Callable
from typing import NamedTuple

from imd.backend.assignment_static import AssignmentStatic
from imd.backend.assignment_zookeeper import AssignmentZookeeper
from imd.backend.registry_static import RegistryStatic
from imd.backend.registry_zookeeper import RegistryZookeeper
from imd.backend.witness_zookeeper import WitnessZookeeper
from imd.backend.zookeeper_session import ZookeeperSession
from imd.backend.zookeeper_settings import ZookeeperSettings
from imd.config.check import is_digest
from imd.errors import ConfigError, ServerIdTaken
from imd.interfaces import Assignment, Instance, Registry, Witness
from imd.service.daemon import Part
from imd.service.named_file import read_secret
from imd.service.process import Process


class Discovery(NamedTuple):
    """The registry, and who shares the broker's partitions."""

    registry: Registry
    assignment: Assignment
    witness: Witness | None  # of what was seen of a store that several processes share; None = they do not
    parts: tuple[Part, ...]  # to open, in order


def discovery(process: Process, *, worker_id_changed: Callable[[int], None] = lambda worker_id: None) -> Discovery:
    """By ``registry.backend``. ``worker_id_changed``: another one has to be used from now on."""
    settings = process.settings
    if settings.registry.backend == "static":
        static = RegistryStatic(worker_id=settings.registry.worker_id)
        assignment_static = AssignmentStatic(owned=range(settings.broker.partitions))
        return Discovery(static, assignment_static, None, (Part("registry", static),))

    def conflict(instance: Instance) -> None:
        process.fail(
            ServerIdTaken(f"another living {instance.role} is registered as {instance.id}; give this one an --id")
        )

    session = ZookeeperSession(
        settings=_zookeeper(process),
        reactor=process.reactor,
    )
    registry = RegistryZookeeper(
        session=session,
        reactor=process.reactor,
        prefix=settings.registry.prefix,
        # a crashed predecessor's entry stays for a session's time
        patience_seconds=1.5 * settings.registry.session_seconds,
        linger_seconds=settings.registry.session_seconds,
        on_conflict=conflict,
        on_worker_id=worker_id_changed,
    )
    assignment = AssignmentZookeeper(
        session=session,
        reactor=process.reactor,
        id=process.id,
        partitions=settings.broker.partitions,
        prefix=settings.registry.prefix,
    )
    witness = WitnessZookeeper(session=session, clock=process.reactor, path=f"{settings.registry.prefix}/witness")
    parts = (Part("zookeeper", session), Part("witness", witness), Part("registry", registry))
    return Discovery(registry, assignment, witness, parts)


def _zookeeper(process: Process) -> ZookeeperSettings:
    settings = process.settings.registry
    digest = read_secret("registry.digest_file", settings.digest_file) or settings.digest
    if digest and not is_digest(digest):
        raise ConfigError(f"registry.digest_file = {settings.digest_file}: does not hold USER:PASSWORD")
    return ZookeeperSettings(
        hosts=settings.hosts,
        session_seconds=settings.session_seconds,
        digest=digest,
        tls=settings.tls,
        ca_file=settings.ca_file,
        cert_file=settings.certificate,
        key_file=settings.private_key,
    )
