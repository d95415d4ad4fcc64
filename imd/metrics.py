"""Every metric by name. Counting costs a dict update; no I/O and no locks (one thread counts), rendering is transport's."""

from bisect import bisect_left
from collections import Counter as Amounts
from collections.abc import Callable, Sequence


class _Sums(dict[tuple[str, ...], float]):
    """Label values -> sum, which begins at zero."""

    __slots__ = ("_count",)

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count  # of labels

    def __missing__(self, values: tuple[str, ...]) -> float:
        """Here alone, and so once for each, it is asked whether they are as many as the labels."""
        assert len(values) == self._count, values
        return 0


class Counter:
    """A sum that only grows, per label values."""

    __slots__ = ("help", "labels", "name", "values")
    kind = "counter"

    def __init__(self, name: str, help: str, labels: tuple[str, ...] = ()) -> None:
        self.name = name  # with its unit, without ``_total``
        self.help = help
        self.labels = labels
        self.values = _Sums(len(labels))
        if not labels:
            self.values[()] = 0

    def add(self, amount: float = 1, *values: str) -> None:
        """Count ``amount`` for these label values, given in the order of ``labels``."""
        self.values[values] += amount

    def add_each(self, many: Sequence[tuple[str, ...]]) -> None:
        """Count one for each of these label values: :meth:`add` for many at once."""
        if len(many) == 1:  # to sort them takes ten times as long
            self.add(1, *many[0])
            return
        for values, amount in Amounts(many).items():
            self.add(amount, *values)

    def value(self, *values: str) -> float:
        """The sum so far; for tests and the ledger."""
        return self.values.get(values, 0)


class PairCounter(Counter):
    """A counter whose labels name starts of processes, which come and go: of the ``bound`` that counted last. The others are
    summed up as ``earlier``."""

    __slots__ = ()
    bound = 1024

    def add(self, amount: float = 1, *values: str) -> None:
        """See :meth:`Counter.add`."""
        amount += self.values[values]
        self.values.pop(values, None)
        self.values[values] = amount  # last in order
        if len(self.values) > self.bound:
            earlier = ("earlier",) * len(values)
            oldest = next(key for key in self.values if key != earlier)
            self.values[earlier] += self.values.pop(oldest)


class Gauge:
    """A figure of now, asked for when it is rendered, or set."""

    __slots__ = ("help", "labels", "name", "read", "values")
    kind = "gauge"

    def __init__(self, name: str, help: str, labels: tuple[str, ...] = ()) -> None:
        self.name = name
        self.help = help
        self.labels = labels
        self.values: dict[tuple[str, ...], float] = {}
        self.read: Callable[[], float] | None = None  # whoever holds the figure; None = as set last

    def set(self, amount: float, *values: str) -> None:
        """The figure for these label values from now on."""
        assert len(values) == len(self.labels), (self.name, values)
        self.values[values] = amount

    def value(self, *values: str) -> float:
        """The figure now."""
        return self.read() if self.read else self.values.get(values, 0)


class Histogram:
    """How figures spread over buckets, per label values."""

    __slots__ = ("bounds", "help", "labels", "name", "values")
    kind = "histogram"

    def __init__(self, name: str, help: str, bounds: tuple[float, ...], labels: tuple[str, ...] = ()) -> None:
        self.name = name
        self.help = help
        self.bounds = bounds  # upper bounds, rising; +Inf is implied
        self.labels = labels
        # label values -> counts of each bucket, the +Inf one last, then the sum
        self.values: dict[tuple[str, ...], list[float]] = {}

    def observe(self, figure: float, *values: str) -> None:
        """Count one figure."""
        counts = self.values.get(values)
        if counts is None:
            assert len(values) == len(self.labels), (self.name, values)
            counts = self.values[values] = [0.0] * (len(self.bounds) + 2)
        counts[bisect_left(self.bounds, figure)] += 1
        counts[-1] += figure


SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The metrics of one process. docs/operations.md explains each, and the alert that it deserves."""

    def __init__(self) -> None:
        # Long: a list, a line or two a metric
        # comet: who is connected, and how connections end
        self.connections = Gauge("imd_connections", "Connections open now, authenticated or not.", ("transport",))
        self.channels = Gauge("imd_channels", "Authenticated connections now.")
        self.rooms = Gauge("imd_rooms", "Rooms with a member here now.")
        self.accepted = Counter("imd_connections_accepted", "Connections accepted.", ("transport",))
        self.closed = Counter("imd_connections_closed", "Connections ended, by close reason.", ("reason",))
        self.authentications = Counter("imd_authentications", "Handshakes, by result.", ("result",))
        self.packets_in = Counter(
            "imd_packets_in", "Packets from clients, by operation (others are one).", ("operation",)
        )
        self.submitted = Counter("imd_packets_submitted", "Client packets sent on to logic, by result.", ("result",))
        self.acks = Counter("imd_acks", "Acks of version-2 clients, by what became of them.", ("outcome",))
        self.attendances = Counter(
            "imd_attendances",
            "Comings and goings of members in rooms that tell their members, by what became of them.",
            ("outcome",),
        )
        # comet: what was written
        self.deliveries = Counter(
            "imd_deliveries",
            "Pushed packets per channel, by target: delivered, filtered, left (the channel went before its turn); of kept"
            " ones duplicate (it had them) or deferred (it reads them from the timeline).",
            ("target", "outcome"),
        )
        self.drops = Counter("imd_drops", "Pushed packets not delivered, by layer and reason.", ("layer", "reason"))
        self.replayed = Counter(
            "imd_replayed", "Messages out of timelines given to channels: written, held, or why not.", ("outcome",)
        )
        self.catch_ups = Counter(
            "imd_catch_ups", "Channels that fell behind in a timeline, by who found it: a push, or a check.", ("cause",)
        )
        self.packets_offered = Counter(
            "imd_packets_offered", "Pushed packets offered to channels, by target.", ("target",)
        )
        self.items_taken = Counter("imd_items_taken", "Items of batches that comet took on.")
        self.items_settled = Counter("imd_items_settled", "Items of which comet knows what became.")
        self.items_left = Counter("imd_items_left", "Items that waited when comet stopped: job hears that it is gone.")
        # job and comet: one start of each, "<id>@<boot>"
        self.items_told = PairCounter(
            "imd_items_told", "Items of batches that comet answered job for, by pair.", ("job", "comet")
        )
        self.items_waiting = Gauge("imd_items_waiting", "Items that comet has not offered to all their channels yet.")
        self.outbox_held = Counter("imd_outbox_packets_held", "Pushed packets that had to wait in an outbox.")
        self.outbox_written = Counter("imd_outbox_packets_written", "Those of them that were written after all.")
        self.outbox_packets = Gauge("imd_outbox_packets", "Pushed packets that wait in outboxes now.")
        self.outbox_bytes = Gauge("imd_outbox_bytes", "Bytes held for clients that do not keep up.")
        self.outbox_oldest_seconds = Gauge("imd_outbox_oldest_seconds", "Age of the oldest bytes held for a client.")
        # logic: what was accepted
        self.asked = Counter("imd_pushes_asked", "Pushes asked for, by target.", ("target",))
        self.asking = Gauge("imd_pushes_asking", "Pushes asked for that are not answered yet.")
        self.pushes = Counter("imd_pushes", "Pushes asked for over HTTP, by target and outcome.", ("target", "outcome"))
        # a push to many keys or members is one share in each partition that has some of them
        self.offered = Counter("imd_pushes_offered", "Shares of pushes given to the broker, by target.", ("target",))
        self.offering = Gauge("imd_pushes_offering", "Shares given to the broker that it has not answered for.")
        self.published = Counter(
            "imd_pushes_published", "Shares of pushes that the broker stored, by target.", ("target",)
        )
        self.unpublished = Counter(
            "imd_pushes_unpublished",
            "Shares that the broker did not store, by reason; of unknown ones its answer was lost.",
            ("reason",),
        )
        self.found = Counter("imd_backlog_found", "Entries that an earlier process had left in the broker's file.")
        self.committed = Counter("imd_pushes_committed", "Entries that left the broker, their outcome known.")
        # the store, as this process saw it; the store's own totals, over all processes, are :class:`imd.interfaces.Totals`
        self.messages_kept = Counter("imd_messages_kept", "Messages appended to timelines.")
        self.messages_gone = Counter(
            "imd_messages_gone",
            "Messages that left their timelines: acked by some device, or expired.",
            ("state",),
        )
        self.positions = Counter(
            "imd_positions",
            "Acks of devices, as the store took them: moved, repeated, stale (of another epoch), beyond (of the head).",
            ("outcome",),
        )
        self.epochs = Counter(
            "imd_epochs_renewed",
            "Partitions whose timelines got a new epoch, for the store was empty, had lost something, or a comet knew more.",
            ("reason",),
        )
        self.sends = Counter("imd_sends", "Messages that clients sent, by outcome.", ("outcome",))
        self.hook_calls = Counter("imd_hook_calls", "Packets that the receive hook got, by result.", ("result",))
        self.http_seconds = Histogram(
            "imd_http_seconds", "HTTP requests, by route and status.", SECONDS, ("route", "status")
        )
        # job: what was taken and handed over
        self.taken = Counter("imd_pushes_taken", "Pushes taken off the broker, by target.", ("target",))
        self.settled = Counter("imd_pushes_settled", "Pushes whose outcome is known, by target.", ("target",))
        self.given_up = Counter(
            "imd_pushes_given_up",
            "Pushes taken that come again, for they were not committed: open, or settled.",
            ("state",),
        )
        self.uncommitted = Gauge("imd_pushes_uncommitted", "Pushes taken off the broker and not committed.")
        self.open_pushes = Gauge("imd_pushes_open", "Pushes taken off the broker whose outcome is not known.")
        self.addressed = Counter(
            "imd_packets_addressed", "Packets to each key, and to each comet for rooms and all, that pushes became."
        )
        self.answered = Counter("imd_packets_answered", "Packets addressed that a comet answered for.")
        self.moved = Counter("imd_packets_moved", "Packets whose client was found elsewhere: addressed again.")
        self.deferred = Counter(
            "imd_packets_deferred",
            "Kept packets that job handed to nobody, by reason: they are in the timeline.",
            ("reason",),
        )
        self.packets_given_up = Counter(
            "imd_packets_given_up", "Packets that were under way when their partition went."
        )
        self.packets_under_way = Gauge("imd_packets_under_way", "Packets addressed whose outcome is not known.")
        # job and comet: one start of each, "<id>@<boot>"
        self.items_answered = PairCounter(
            "imd_items_answered", "Items of batches that a comet answered for, by pair.", ("job", "comet")
        )
        self.items_unsure = PairCounter(
            "imd_items_unsure", "Items sent without an answer, perhaps delivered, by pair.", ("job", "comet")
        )
        self.handed_over = Counter(
            "imd_packets_handed_over", "Packets to channels as comets report them, by outcome.", ("outcome",)
        )
        self.delivery_seconds = Histogram(
            "imd_delivery_seconds", "From a push's acceptance to its known outcome.", SECONDS
        )
        self.trace_hops = Counter(
            "imd_trace_hops", "Hops of traced pushes: noted, or lost (their store was away or slow).", ("outcome",)
        )
        self.merged = Counter("imd_pushes_merged", "Room pushes that left in one item with another.")
        self.partitions = Gauge("imd_partitions_owned", "Broker partitions that this job owns now.")
        self.backlog_entries = Gauge("imd_backlog_entries", "Entries in the broker whose outcome is not known yet.")
        self.broker_appended = Gauge("imd_broker_appended", "Entries ever appended, as the broker itself has counted.")
        self.broker_committed = Gauge(
            "imd_broker_committed", "Entries ever committed, as the broker itself has counted."
        )
        self.timeline_messages = Gauge(
            "imd_timeline_messages",
            "Messages of all timelines, as their store itself has counted: kept, and of those held, acked or expired.",
            ("state",),
        )
        self.backlog_oldest_seconds = Gauge("imd_backlog_oldest_seconds", "Age of the oldest of them.")
        # between processes, and to products
        self.rpc_seconds = Histogram(
            "imd_rpc_seconds", "RPC calls from here, by method and result.", SECONDS, ("method", "result")
        )
        self.rpc_served = Counter(
            "imd_rpc_served", "RPC requests answered here, by method and result.", ("method", "result")
        )
        self.rpc_late = Counter("imd_rpc_late_replies", "Replies that came after their deadline.", ("method",))
        self.backend_seconds = Histogram(
            "imd_backend_seconds", "Calls to a product, by role, call and result.", SECONDS, ("role", "call", "result")
        )
        self.links = Gauge("imd_links", "RPC peers by role and state (up, down).", ("role", "state"))
        # the process
        self.process = Gauge("imd_process", "1 for this process, by its name in the ledger: <id>@<boot>.", ("name",))
        # a supervisor of several comets
        self.processes = Gauge("imd_processes", "Processes that this one starts, by how they are now.", ("phase",))
        self.process_ends = Counter(
            "imd_process_ends", "Ends of processes that this one then started again.", ("process",)
        )
        self.start_time_seconds = Gauge(
            "process_start_time_seconds", "When it started, in seconds since the epoch: its counters begin there."
        )
        self.reactor_lag_seconds = Histogram("imd_reactor_lag_seconds", "How late a timer of the reactor was.", SECONDS)

    def all(self) -> list[Counter | Gauge | Histogram]:
        """Every metric, as declared."""
        return list(vars(self).values())
