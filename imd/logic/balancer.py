"""Which comets a new client is offered: by weight, region, and how many connections each has."""

from collections.abc import Iterable
from math import ceil

from imd.interfaces import Instance

MIN_SCORE = 1
MAX_SCORE = 1 << 20


class Balancer:
    """Ranks the comets that take clients. Between a comet's reports, what was sent to it is counted provisionally."""

    __slots__ = ("_comets", "_connections", "_region_weight")

    def __init__(self, *, region_weight: float) -> None:
        self._region_weight = region_weight  # how much more a comet of the client's own region weighs
        self._comets: dict[str, Instance] = {}  # id -> those that take clients, as they last reported
        self._connections: dict[str, int] = {}  # id -> reported, and sent there since

    def update(self, comets: Iterable[Instance]) -> None:
        """These exist now. A new report replaces the provisional count, an old one seen again does not."""
        taking = {comet.id: comet for comet in comets if not comet.offline}
        self._connections = {
            id: self._connections[id] if self._same_report(comet) else comet.conn_count for id, comet in taking.items()
        }
        self._comets = taking

    def choose(self, region: str, limit: int) -> list[Instance]:
        """The best ``limit`` for a client of ``region``, best first; the first one is taken to get it."""
        total = sum(self._connections.values())
        weights = {
            id: comet.weight * (self._region_weight if region and comet.region == region else 1.0)
            for id, comet in self._comets.items()
        }
        total_weight = sum(weights.values())

        def rank(id: str) -> tuple[int, int, str]:
            connections = self._connections[id]
            return -score(weights[id], total_weight, connections, total), connections, id

        best = sorted(self._comets, key=rank)[:limit]
        if best:
            self._connections[best[0]] += 1
        return [self._comets[id] for id in best]

    def _same_report(self, comet: Instance) -> bool:
        known = self._comets.get(comet.id)
        return known is not None and (known.boot, known.updated_at_ms) == (comet.boot, comet.updated_at_ms)


def score(weight: float, total_weight: float, connections: int, total_connections: int) -> int:
    """How much a comet is to be preferred, 1 to 2**20: its weight, plus what it lacks of its share of the connections.

    goim's formula: W + round((W / sum of W - conns / sum of conns / 2) * sum of conns), half rounded down.
    """
    share = weight / total_weight if total_weight else 0.0
    lacking = share * total_connections - 0.5 * connections
    return max(MIN_SCORE, min(MAX_SCORE, int(weight + ceil(lacking - 0.5))))
