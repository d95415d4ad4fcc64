"""The ledger: in each layer, what went in has come out, or is still there. Read from the counters of one process or many."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from imd.metrics import Histogram, Metrics

Labels = Mapping[str, str]
# Each job tells the whole of it, or nothing when it owns no partition: the largest figure counts, not the sum.
SHARED = frozenset(
    {"imd_backlog_entries", "imd_broker_appended", "imd_broker_committed", "imd_timeline_messages"},
)
PROCESS = "imd_process"  # each process tells its own name, as pairs have it
PAIR = ("job", "comet")  # the labels of what both ends of a pair of processes count


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

    @property
    def processes(self) -> frozenset[str]:
        """The names of those that were added."""
        return frozenset(labels["name"] for labels, _ in self.of(PROCESS))

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

    def sums(self, figures: Figures, pair: tuple[str, ...] = ()) -> dict[str, int]:
        """What it is called -> how many, of that ``pair`` if one is named; without those that are none."""
        sums: dict[str, int] = {}
        for labels, figure in figures.of(self.metric):
            if figure and self.where(labels) and (not pair or _pair(labels) == pair):
                called = self.words or labels[self.by]
                sums[called] = sums.get(called, 0) + round(figure)
        return sums


@dataclass(frozen=True, slots=True)
class Account:
    """*entered = left + pending* holds at every moment within a process, and between processes when nothing moves.

    ``unsure`` are those for which an answer was lost: they may have gone to the other side or not, so that *entered* may be
    short by up to as many. It may be short by any number where a store has counted what ``others`` did too: processes that
    ended, or were not asked. (It is never long for that reason.)
    """

    layer: str
    unit: str  # what is counted
    entered: Sequence[Term]
    left: Sequence[Term]
    pending: Sequence[Term] = ()
    unsure: Sequence[Term] = ()
    others: str = ""  # what they are called; empty = everybody who counts was asked, or took both sides along
    paired: bool = False  # one side is a job's, the other a comet's: balanced for each pair of those that were asked

    def balance(self, figures: Figures) -> "Balance":
        """As the figures have it."""
        if self.paired:
            return self._by_pairs(figures)
        entered, left, pending, unsure = (
            _sums(terms, figures) for terms in (self.entered, self.left, self.pending, self.unsure)
        )
        return self._balance(entered, left, pending, sum(unsure.values()))

    def _balance(
        self, entered: dict[str, int], left: Mapping[str, int], pending: Mapping[str, int], unsure: int
    ) -> "Balance":
        difference = sum(entered.values()) - sum(left.values()) - sum(pending.values())
        if difference < 0:
            difference = min(0, difference + unsure)
            if difference and self.others:
                entered, difference = {**entered, self.others: -difference}, 0
        return Balance(self.layer, self.unit, entered, left, pending, unsure, difference)

    def _by_pairs(self, figures: Figures) -> "Balance":
        """What belongs to a process that ended, or was not asked, has no other side: it is left out, by that one's name."""
        found, left_out = Balance(self.layer, self.unit, {}, {}, {}, 0, 0), Counter[str]()
        terms = (*self.entered, *self.left, *self.unsure)
        pairs = {_pair(labels) for term in terms for labels, _ in figures.of(term.metric)}
        for pair in sorted(pairs):
            sides = [_sums(terms, figures, pair) for terms in (self.entered, self.left, self.pending, self.unsure)]
            if absent := [name for name in pair if name not in figures.processes]:
                left_out[", ".join(absent)] += max(sum(sides[0].values()), sum(sides[1].values()))
            else:
                found = found.plus(self._balance(sides[0], sides[1], sides[2], sum(sides[3].values())))
        return replace(found, left_out={name: count for name, count in left_out.items() if count})


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
    left_out: Mapping[str, int] = field(default_factory=dict)  # process -> how many it alone could account for

    def plus(self, other: "Balance") -> "Balance":
        """Both, as one. What one is short of the other cannot make up for."""
        difference = self.difference + other.difference
        if self.difference * other.difference < 0:
            difference = abs(self.difference) + abs(other.difference)
        return Balance(
            self.layer,
            self.unit,
            _added(self.entered, other.entered),
            _added(self.left, other.left),
            _added(self.pending, other.pending),
            self.unsure + other.unsure,
            difference,
        )


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


def _pair(labels: Labels) -> tuple[str, ...]:
    return tuple(labels[name] for name in PAIR)


def _sums(terms: Sequence[Term], figures: Figures, pair: tuple[str, ...] = ()) -> dict[str, int]:
    sums: dict[str, int] = {}
    for term in terms:
        for called, figure in term.sums(figures, pair).items():
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
_APPENDED = Term("imd_broker_appended", "appended")
OTHERS = "by processes that ended or were not asked"


def _messages(state: str) -> Term:
    return Term("imd_timeline_messages", state, where=lambda labels: labels["state"] == state)


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
        "append",
        "entries",
        [_STORED],
        [_APPENDED],
        unsure=[Term("imd_pushes_unpublished", "unknown", where=lambda labels: labels["reason"] == "unknown")],
        others=OTHERS,
    ),
    Account(
        "timelines",
        "messages",
        [_messages("kept")],
        [_messages("acked"), _messages("expired")],
        [_messages("held")],
    ),
    Account(
        "broker",
        "entries",
        [_APPENDED],
        [Term("imd_broker_committed", "committed")],
        [Term("imd_backlog_entries", "waiting")],
    ),
    Account(
        "read",
        "entries",
        [_TAKEN, Term("imd_drops", by="reason", where=_dropped("broker"))],
        [_COMMITTED, Term("imd_pushes_given_up", "to come again")],
        [Term("imd_pushes_uncommitted", "not committed")],
    ),
    Account(
        "commit",
        "entries",
        [_COMMITTED],
        [Term("imd_broker_committed", "committed, as the broker counts")],
        others=OTHERS,
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
            Term("imd_packets_deferred", "left to the timeline"),
        ],
        [Term("imd_packets_under_way", "under way")],
    ),
    Account(
        "hand over",
        "items",
        [Term("imd_items_answered", "answered, as job heard")],
        [Term("imd_items_told", "answered by comet")],
        unsure=[Term("imd_items_unsure", "unknown")],
        paired=True,
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
"""From the back end's request to the client's connection, in the order in which a push goes; see docs/operations.md.

"append" and "commit" compare what processes have counted with what the store has, which outlives them; "broker" and
"timelines" are the store's own, and hold whoever ended. "hand over" compares the two ends of each job and comet. All others
have both sides in one process, and vanish with it.
"""


def balances(figures: Figures) -> list[Balance]:
    """Every account."""
    return [account.balance(figures) for account in ACCOUNTS]
