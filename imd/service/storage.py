"""Storage: what waits for delivery, what is kept, and who is where, embedded in this process or in Redis."""

from typing import NamedTuple

from imd.backend.leases_memory import LeasesMemory
from imd.backend.leases_redis import LeasesRedis
from imd.backend.presence_memory import PresenceMemory
from imd.backend.presence_redis import PresenceRedis
from imd.backend.redis import RedisLink
from imd.backend.redis_settings import RedisSettings
from imd.backend.rooms_memory import RoomsMemory
from imd.backend.rooms_redis import RoomsRedis
from imd.backend.traces_memory import TracesMemory
from imd.backend.traces_redis import TracesRedis
from imd.config.address import parse_address
from imd.config.settings import Redis
from imd.interfaces import Broker, Leases, Presence, Rooms, Timelines, Traces, Witness
from imd.service.daemon import Part
from imd.service.message_store import message_store
from imd.service.named_file import read_secret
from imd.service.process import Process
from imd.transport.direct import send_now


class Storage(NamedTuple):
    """The queue, what is kept and traced, and who is where."""

    broker: Broker
    timelines: Timelines
    traces: Traces
    leases: Leases
    presence: Presence
    rooms: Rooms
    parts: tuple[Part, ...]  # to open, in order


def storage(process: Process, witness: Witness | None = None) -> Storage:
    """By ``broker.backend`` and ``presence.backend``; one Redis serves both. Traces are where the pushes are.

    ``witness`` remembers what was seen of Redis when no process runs.
    """
    settings = process.settings
    link = None
    if "redis" in (settings.broker.backend, settings.presence.backend):
        link = RedisLink(settings=_redis(settings.redis), reactor=process.reactor, send=send_now)
    messages = message_store(process, link, witness)
    leases, presence, rooms = _presence(process, link)
    products = (Part("redis", link),) if link is not None else ()
    return Storage(
        messages.broker,
        messages.timelines,
        _traces(process, link),
        leases,
        presence,
        rooms,
        (*products, *messages.parts),
    )


def _traces(process: Process, link: RedisLink | None) -> Traces:
    keep_seconds = process.settings.trace.keep_seconds
    if link is None or process.settings.broker.backend != "redis":
        return TracesMemory(clock=process.reactor, keep_seconds=keep_seconds)
    return TracesRedis(
        link=link,
        clock=process.reactor,
        metrics=process.metrics,
        prefix=process.settings.redis.prefix,
        keep_seconds=keep_seconds,
    )


def _presence(process: Process, link: RedisLink | None) -> tuple[Leases, Presence, Rooms]:
    settings = process.settings.presence
    if settings.backend == "memory":
        leases = LeasesMemory(clock=process.reactor, lease_seconds=settings.lease_seconds)
        return leases, PresenceMemory(leases=leases), RoomsMemory(leases=leases)
    assert link is not None
    prefix, entry_seconds = process.settings.redis.prefix, settings.entry_seconds
    clock, metrics = process.reactor, process.metrics
    return (
        LeasesRedis(link=link, clock=clock, metrics=metrics, prefix=prefix, lease_seconds=settings.lease_seconds),
        PresenceRedis(link=link, clock=clock, metrics=metrics, prefix=prefix, entry_seconds=entry_seconds),
        RoomsRedis(link=link, clock=clock, metrics=metrics, prefix=prefix, entry_seconds=entry_seconds),
    )


def _redis(settings: Redis) -> RedisSettings:
    address = parse_address(settings.address)
    return RedisSettings(
        host=address.host,
        port=address.port,
        path=address.path,
        db=settings.db,
        username=settings.username,
        password=read_secret("redis.password_file", settings.password_file) or settings.password,
        tls=settings.tls,
        ca_file=settings.ca_file,
        cert_file=settings.certificate,
        key_file=settings.private_key,
        sentinels=tuple(parse_address(each)[:2] for each in settings.sentinels),
        sentinel_master=settings.sentinel_master,
        sentinel_password=read_secret("redis.sentinel_password_file", settings.sentinel_password_file)
        or settings.sentinel_password,
        timeout_seconds=settings.timeout_seconds,
        connections=settings.connections,
    )
