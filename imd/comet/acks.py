"""Acks: what devices have handled, on its way to logic."""

from itertools import islice

from twisted.logger import Logger

from imd.comet.courier import Courier
from imd.comet.work import Work
from imd.errors import ImdError, Overloaded, Unavailable
from imd.interfaces import Clock, LogicClient
from imd.metrics import Metrics
from imd.protocol import rpc
from imd.protocol.timeline import Place

PAGE = 1000  # acks in one request: the wire's limit
GATHER_SECONDS = 0.2  # a client that acks each message costs logic five acks a second
LIMIT = 100_000  # (timeline, device) pairs that wait, about 30 MB


class Acks:
    """The newest of each (timeline, device), gathered and sent in pages. What logic does not take is sent again, unless a newer
    one has come by then. A lost ack does no harm that the next one does not mend: they are cumulative.
    """

    _log = Logger()

    __slots__ = ("_courier", "_logic", "_metrics", "_pending", "_server")

    def __init__(self, *, server: str, logic: LogicClient, clock: Clock, work: Work, metrics: Metrics) -> None:
        self._server = server
        self._logic = logic
        self._metrics = metrics
        self._pending: dict[tuple[str, str], Place] = {}  # (timeline, device) -> what it has handled; the oldest first
        self._courier = Courier(clock=clock, work=work, gather_seconds=GATHER_SECONDS, carry=self._send)

    def __len__(self) -> int:
        """How many wait."""
        return len(self._pending)

    def note(self, timeline: str, device: str, place: Place) -> None:
        """The device has handled everything up to there. Dropped and counted when too many wait."""
        if len(self._pending) >= LIMIT and (timeline, device) not in self._pending:
            self._metrics.acks.add(1, "dropped")
            return
        self._metrics.acks.add(1, "taken")
        name = (timeline, device)
        self._pending[name] = _newest(self._pending.get(name, place), place)
        self._courier.wake()

    def stop(self) -> None:
        """Send what waits now."""
        self._courier.stop()

    async def _send(self) -> bool:
        page = dict(islice(self._pending.items(), PAGE))
        for name in page:
            del self._pending[name]
        acks = tuple(rpc.Ack(*name, place.seq, place.epoch) for name, place in page.items())
        try:
            await self._logic.ack(rpc.Acks(self._server, acks))
        except (Unavailable, Overloaded):
            for name, place in page.items():
                self._pending[name] = _newest(place, self._pending.get(name, place))
            raise
        except ImdError as error:  # logic will not have them another time either
            self._log.warn("logic refused {count} acks: {error}", count=len(page), error=error)
            self._metrics.acks.add(len(page), "refused")
        return bool(self._pending)


def _newest(older: Place, newer: Place) -> Place:
    """Two connections may use one device's name: the one that is behind must not win. Seqs of two epochs do not compare."""
    return older if older.epoch == newer.epoch and older.seq > newer.seq else newer
