"""One role's use of a Redis: its calls are measured, and failures are told as the role's own."""

from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from imd.backend.redis import RedisLink
from imd.backend.redis_connection import Argument
from imd.backend.redis_script import RedisScript
from imd.errors import Unavailable
from imd.interfaces import Clock
from imd.metrics import Metrics

Answer = TypeVar("Answer")


class RedisRole:
    """``call`` is the name of the seam's method, as the metric has it. Every failure is raised as ``unavailable``."""

    __slots__ = ("_clock", "_link", "_metrics", "_name", "_unavailable")

    def __init__(
        self, *, link: RedisLink, clock: Clock, metrics: Metrics, name: str, unavailable: type[Unavailable]
    ) -> None:
        self._link = link
        self._clock = clock
        self._metrics = metrics
        self._name = name  # the metric's role
        self._unavailable = unavailable

    async def run(
        self,
        call: str,
        script: RedisScript,
        arguments: Sequence[Argument],
        keys: Sequence[str] = (),
        lane: int | None = None,
        *,
        tell_run: bool = False,
    ) -> Any:
        """What the script returns."""
        return await self.told(call, self._link.run(script, keys, arguments, lane, tell_run=tell_run))

    async def command(self, call: str, *arguments: Argument) -> Any:
        """What one command returns."""
        return await self.told(call, self._link.call(*arguments))

    async def told(self, call: str, work: Awaitable[Answer]) -> Answer:
        """Await ``work``; measure it and translate its failure."""
        began = self._clock.seconds()
        result = "cancelled"
        try:
            answer = await work
            result = "ok"
        except Unavailable as error:
            result = error.name
            raise self._unavailable(str(error)) from error
        finally:
            self._metrics.backend_seconds.observe(self._clock.seconds() - began, self._name, call, result)
        return answer
