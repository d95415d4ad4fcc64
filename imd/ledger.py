"""The ledger: in each layer, what went in has come out, or is still there. Read from the counters of one process or many."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from imd.metrics import Histogram, Metrics

Labels = Mapping[str, str]
SHARED = frozenset({"imd_backlog_entries"})  # each job tells the whole of it: the largest figure counts, not the sum


class Figures:
    """The samples of some processes, as if they were one."""

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        self._samples: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}  # name -> sorted labels -> figure

    def add(self, name: str, labels: Labels, figure: float) -> None:
        """One sample of one process. ``name`` as in :class:`imd.metrics.Metrics`, without ``_total``."""
        samples = self._samples.setdefault(name, {})
        key = tuple(sorted(labels.items()))
        before = samples.get(key, 0)
        samples[key] = max(before, figure) if name in SHARED else before + figure

    def add_all(self, metrics: Metrics) -> None:
        """All samples of a process that is this one."""
        for metric in metrics.all():
            if isinstance(metric, Histogram):
                continue
            figures = {(): metric.value()} if not metric.labels else metric.values
            for values, figure in figures.items():
                self.add(metric.name, dict(zip(metric.labels, values, strict=True)), figure)

    def of(self, name: str) -> Sequence[tuple[Labels, float]]:
        """(labels, figure) of each sample of a metric."""
        return [(dict(key), figure) for key, figure in self._samples.get(name, {}).items()]


def _any(_: Labels) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Term:
    """What one side of an account adds up: a metric's samples."""

    metric: str
    words: str = ""  # what the sum is called; empty = each value of ``by`` is a sum of its own, called so
    by: str = ""  # a label
    where: Callable[[Labels], bool] = _any  # which samples

    def sums(self, figures: Figures) -> dict[str, int]:
        """What it is called -> how many; without those that are none."""
        sums: dict[str, int] = {}
        for labels, figure in figures.of(self.metric):
            if figure and self.where(labels):
                called = self.words or labels[self.by]
                sums[called] = sums.get(called, 0) + round(figure)
        return sums


@dataclass(frozen=True, slots=True)
class Account:
    """*entered = left + pending* holds at every moment within a process, and between processes when nothing moves.

    ``unsure`` are those for which an answer was lost: they may have gone to the other side or not, so that *entered* may be
    short by up to as many.
    """

    layer: str
    unit: str  # what is counted
    entered: Sequence[Term]
    left: Sequence[Term]
    pending: Sequence[Term] = ()
    unsure: Sequence[Term] = ()

    def balance(self, figures: Figures) -> "Balance":
        """As the figures have it."""
        entered, left, pending, unsure = (
            _sums(terms, figures) for terms in (self.entered, self.left, self.pending, self.unsure)
        )
        difference = sum(entered.values()) - sum(left.values()) - sum(pending.values())
        if difference < 0:
            difference = min(0, difference + sum(unsure.values()))
        return Balance(self.layer, self.unit, entered, left, pending, sum(unsure.values()), difference)


@dataclass(frozen=True, slots=True)
class Balance:
    """An account at one moment."""

    layer: str
    unit: str
    entered: Mapping[str, int]  # what it is called -> how many
    left: Mapping[str, int]
    pending: Mapping[str, int]
    unsure: int  # of which nobody knows
    difference: int  # those without a count: 0, or something was lost or counted twice


def _sums(terms: Sequence[Term], figures: Figures) -> dict[str, int]:
    sums: dict[str, int] = {}
    for term in terms:
        for called, figure in term.sums(figures).items():
            sums[called] = sums.get(called, 0) + figure
    return sums


def _dropped(layer: str) -> Callable[[Labels], bool]:
    return lambda labels: labels["layer"] == layer


def _from_outbox(labels: Labels) -> bool:
    """Taken by an outbox, so that it had counted as delivered."""
    return labels["layer"] == "comet" and labels["reason"].startswith("outbox_")


def _before_outbox(labels: Labels) -> bool:
    return labels["layer"] == "comet" and not labels["reason"].startswith("outbox_")


_STORED = Term("imd_pushes_published", "stored")
_TAKEN = Term("imd_pushes_taken", "taken")
_COMMITTED = Term("imd_pushes_committed", "committed")

ACCOUNTS = (
    Account(
        "api",
        "pushes",
        [Term("imd_pushes_asked", "asked for")],
        [Term("imd_pushes", by="outcome")],
        [Term("imd_pushes_asking", "not answered")],
    ),
    Account(
        "publish",
        "shares",
        [Term("imd_pushes_offered", "offered")],
        [_STORED, Term("imd_pushes_unpublished", by="reason")],
        [Term("imd_pushes_offering", "not answered")],
    ),
    Account(
        "broker",
        "entries",
        [_STORED, Term("imd_backlog_found", "found at start")],
        [_COMMITTED],
        [Term("imd_backlog_entries", "waiting")],
        [Term("imd_pushes_unpublished", "unknown", where=lambda labels: labels["reason"] == "unknown")],
    ),
    Account(
        "read",
        "entries",
        [_TAKEN, Term("imd_drops", by="reason", where=_dropped("broker"))],
        [_COMMITTED, Term("imd_pushes_given_up", "to come again")],
        [Term("imd_pushes_uncommitted", "not committed")],
    ),
    Account(
        "settle",
        "pushes",
        [_TAKEN],
        [
            Term("imd_pushes_settled", "settled"),
            Term("imd_pushes_given_up", "to come again", where=lambda labels: labels["state"] == "open"),
        ],
        [Term("imd_pushes_open", "under way")],
    ),
    Account(
        "route",
        "packets",
        [Term("imd_packets_addressed", "addressed")],
        [
            Term("imd_packets_answered", "answered"),
            Term("imd_packets_moved", "addressed again"),
            Term("imd_packets_given_up", "to come again"),
            Term("imd_drops", by="reason", where=_dropped("job")),
        ],
        [Term("imd_packets_under_way", "under way")],
    ),
    Account(
        "hand over",
        "items",
        [Term("imd_items_answered", "answered")],
        [Term("imd_items_settled", "settled")],
        unsure=[Term("imd_items_unsure", "unknown")],
    ),
    Account(
        "comet",
        "items",
        [Term("imd_items_taken", "taken")],
        [Term("imd_items_settled", "settled"), Term("imd_items_left", "left at a stop")],
        [Term("imd_items_waiting", "waiting")],
    ),
    Account(
        "fan-out",
        "packets",
        [Term("imd_packets_offered", "offered")],
        [Term("imd_deliveries", by="outcome"), Term("imd_drops", by="reason", where=_before_outbox)],
    ),
    Account(
        "outbox",
        "packets",
        [Term("imd_outbox_packets_held", "held")],
        [Term("imd_outbox_packets_written", "written"), Term("imd_drops", by="reason", where=_from_outbox)],
        [Term("imd_outbox_packets", "still held")],
    ),
)
"""From the back end's request to the client's connection, in the order in which a push goes; see docs/operations.md."""


def balances(figures: Figures) -> list[Balance]:
    """Every account."""
    return [account.balance(figures) for account in ACCOUNTS]
