"""Where pushes wait for delivery and kept ones for whoever was away: one product, for they are stored in one step."""

from secrets import token_hex
from typing import NamedTuple

from imd.backend.broker_memory import BrokerMemory
from imd.backend.broker_redis import BrokerRedis
from imd.backend.broker_sqlite import BrokerSqlite
from imd.backend.redis import RedisLink
from imd.backend.redis_partitions import RedisPartitions
from imd.backend.sqlite_writer import SqliteWriter
from imd.backend.timelines_memory import TimelinesMemory
from imd.backend.timelines_redis import TimelinesRedis
from imd.backend.timelines_sqlite import TimelinesSqlite
from imd.errors import BrokerUnavailable
from imd.interfaces import Broker, Timelines, Witness
from imd.service.daemon import Part
from imd.service.process import Process, now_ms


class MessageStore(NamedTuple):
    """The queue, and the timelines."""

    broker: Broker
    timelines: Timelines
    parts: tuple[Part, ...]  # to open, in order


def message_store(process: Process, link: RedisLink | None, witness: Witness | None) -> MessageStore:
    """By ``broker.backend``. ``link``: to the Redis, where there is one; ``witness``: of what is in it."""
    match process.settings.broker.backend:
        case "memory":
            return _memory(process)
        case "sqlite":
            return _sqlite(process)
        case "redis":
            assert link is not None
            return _redis(process, link, witness)


def _memory(process: Process) -> MessageStore:
    settings, metrics = process.settings.broker, process.metrics
    timelines = TimelinesMemory(
        metrics=metrics, now_ms=now_ms, make_epoch=_make_epoch, head_seconds=process.settings.timelines.head_seconds
    )
    broker = BrokerMemory(
        partitions=settings.partitions,
        clock=process.reactor,
        metrics=metrics,
        timelines=timelines,
        now_ms=now_ms,
        max_backlog_entries=settings.max_backlog_entries,
        idempotency_seconds=settings.idempotency_seconds,
    )
    return MessageStore(broker, timelines, (Part("broker", broker),))


def _sqlite(process: Process) -> MessageStore:
    settings, metrics = process.settings.broker, process.metrics
    writer = SqliteWriter(settings.path, reactor=process.reactor, unavailable=BrokerUnavailable)
    timelines = TimelinesSqlite(
        writer=writer,
        clock=process.reactor,
        metrics=metrics,
        now_ms=now_ms,
        make_epoch=_make_epoch,
        head_seconds=process.settings.timelines.head_seconds,
    )
    broker = BrokerSqlite(
        writer=writer,
        timelines=timelines,
        partitions=settings.partitions,
        reactor=process.reactor,
        metrics=metrics,
        now_ms=now_ms,
        max_backlog_entries=settings.max_backlog_entries,
        idempotency_seconds=settings.idempotency_seconds,
    )
    return MessageStore(
        broker, timelines, (Part("sqlite", writer), Part("timelines", timelines), Part("broker", broker))
    )


def _redis(process: Process, link: RedisLink, witness: Witness | None) -> MessageStore:
    settings, clock, metrics = process.settings.broker, process.reactor, process.metrics
    prefix = process.settings.redis.prefix
    store = RedisPartitions(
        link=link,
        clock=clock,
        metrics=metrics,
        partitions=settings.partitions,
        make_token=lambda: token_hex(6),
        prefix=prefix,
        head_seconds=process.settings.timelines.head_seconds,
        witness=witness,
    )
    broker = BrokerRedis(
        link=link,
        store=store,
        clock=clock,
        metrics=metrics,
        prefix=prefix,
        max_backlog_entries=settings.max_backlog_entries,
        idempotency_seconds=settings.idempotency_seconds,
        refused=process.fail,
    )
    timelines = TimelinesRedis(link=link, store=store, clock=clock, metrics=metrics)
    return MessageStore(broker, timelines, (Part("store", store), Part("broker", broker)))


def _make_epoch() -> str:
    return token_hex(4)
