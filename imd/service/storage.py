"""Storage: what waits for delivery and who is where, embedded in this process or in Redis."""

from secrets import token_hex
from typing import NamedTuple

from imd.backend.broker_memory import BrokerMemory
from imd.backend.broker_redis import BrokerRedis
from imd.backend.broker_sqlite import BrokerSqlite
from imd.backend.leases_memory import LeasesMemory
from imd.backend.leases_redis import LeasesRedis
from imd.backend.presence_memory import PresenceMemory
from imd.backend.presence_redis import PresenceRedis
from imd.backend.redis import RedisLink
from imd.backend.redis_partitions import RedisPartitions
from imd.backend.redis_settings import RedisSettings
from imd.backend.rooms_memory import RoomsMemory
from imd.backend.rooms_redis import RoomsRedis
from imd.config.address import parse_address
from imd.config.settings import Redis
from imd.interfaces import Broker, Leases, Presence, Rooms
from imd.service.daemon import Part
from imd.service.named_file import read_secret
from imd.service.process import Process


class Storage(NamedTuple):
    """The queue, and who is where."""

    broker: Broker
    leases: Leases
    presence: Presence
    rooms: Rooms
    parts: tuple[Part, ...]  # to open, in order


def storage(process: Process) -> Storage:
    """By ``broker.backend`` and ``presence.backend``; one Redis serves both."""
    settings = process.settings
    link = None
    if "redis" in (settings.broker.backend, settings.presence.backend):
        link = RedisLink(settings=_redis(settings.redis), reactor=process.reactor)
    store = _store(process, link) if link is not None and settings.broker.backend == "redis" else None
    broker = _broker(process, link, store)
    leases, presence, rooms = _presence(process, link)
    products = [Part("redis", link)] if link is not None else []
    products += [Part("store", store)] if store is not None else []
    parts = (*products, Part("broker", broker))
    return Storage(broker, leases, presence, rooms, parts)


def _store(process: Process, link: RedisLink) -> RedisPartitions:
    settings = process.settings
    return RedisPartitions(
        link=link,
        clock=process.reactor,
        metrics=process.metrics,
        partitions=settings.broker.partitions,
        make_token=lambda: token_hex(6),
        prefix=settings.redis.prefix,
        head_seconds=settings.timelines.head_seconds,
    )


def _broker(
    process: Process, link: RedisLink | None, store: RedisPartitions | None
) -> BrokerMemory | BrokerSqlite | BrokerRedis:
    settings, clock, metrics = process.settings.broker, process.reactor, process.metrics
    limit, seconds = settings.max_backlog_entries, settings.idempotency_seconds
    match settings.backend:
        case "memory":
            return BrokerMemory(
                partitions=settings.partitions,
                clock=clock,
                metrics=metrics,
                max_backlog_entries=limit,
                idempotency_seconds=seconds,
            )
        case "sqlite":
            return BrokerSqlite(
                settings.path,
                partitions=settings.partitions,
                reactor=process.reactor,
                metrics=metrics,
                max_backlog_entries=limit,
                idempotency_seconds=seconds,
            )
        case "redis":
            assert link is not None and store is not None
            return BrokerRedis(
                link=link,
                store=store,
                clock=clock,
                metrics=metrics,
                prefix=process.settings.redis.prefix,
                max_backlog_entries=limit,
                idempotency_seconds=seconds,
                refused=process.fail,
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
