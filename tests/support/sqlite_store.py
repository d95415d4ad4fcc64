"""The embedded store as a composition root makes it: a writer, timelines, a broker, opened and closed in order."""

import secrets
import time

from imd.backend.broker_sqlite import BrokerSqlite
from imd.backend.sqlite_writer import SqliteWriter
from imd.backend.timelines_sqlite import TimelinesSqlite
from imd.errors import BrokerUnavailable
from imd.metrics import Metrics
from tests.support.reactor import reactor


class SqliteStore:
    """One file."""

    def __init__(
        self,
        path: str,
        *,
        partitions: int,
        metrics: Metrics,
        head_seconds: float = 3600.0,
        max_backlog_entries: int = 1_000_000,
        idempotency_seconds: float = 60.0,
        tail_bytes: int = 1 << 20,
    ) -> None:
        self.now_ms: int | None = None  # the date; None = the machine's
        self.writer = SqliteWriter(path, reactor=reactor, unavailable=BrokerUnavailable)
        self.timelines = TimelinesSqlite(
            writer=self.writer,
            clock=reactor,
            metrics=metrics,
            now_ms=self._now_ms,
            make_epoch=lambda: secrets.token_hex(4),
            head_seconds=head_seconds,
        )
        self.broker = BrokerSqlite(
            writer=self.writer,
            timelines=self.timelines,
            partitions=partitions,
            reactor=reactor,
            metrics=metrics,
            now_ms=self._now_ms,
            max_backlog_entries=max_backlog_entries,
            idempotency_seconds=idempotency_seconds,
            tail_bytes=tail_bytes,
        )

    async def open(self) -> None:
        """Take the file; nothing is held when it raises."""
        await self.writer.open()
        try:
            await self.timelines.open()
            await self.broker.open()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Let the file go."""
        await self.broker.close()
        await self.timelines.close()
        await self.writer.close()

    def _now_ms(self) -> int:
        return int(time.time() * 1000) if self.now_ms is None else self.now_ms
