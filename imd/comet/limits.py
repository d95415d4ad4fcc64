"""Limits: every bound that a comet keeps, named and with its unit."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from imd.comet.policy import SlowPolicy
from imd.errors import ConfigError
from imd.protocol.packet import MAX_BODY_BYTES
from imd.protocol.room_type import RoomTypes

WAITING_BODIES = 16  # of the largest size, among the waiting packets of one client


@dataclass(frozen=True, slots=True)
class Limits:
    """All are above zero: zero never means unbounded. Raises :class:`ConfigError` otherwise."""

    handshake_seconds: float = 8  # from accept to op 8, the WebSocket upgrade included
    heartbeat_seconds: float = 240  # what clients are told
    heartbeat_max: int = 2  # heartbeats that may be missed: the deadline is the product
    max_connections: int = 15_000  # of this process; the hard file limit is often 20,000
    max_connections_per_address: int = 15_000  # as many as in all: balancers and NAT hide thousands behind one
    packets_per_second: float = 100  # from one client, on average
    packets_burst: int = 200  # that may come at once
    max_body_bytes: int = MAX_BODY_BYTES  # of a packet from a client
    waiting_packets: int = 64  # from one client, held while an earlier one of its packets waits for logic
    outbox_bytes: int = 1_048_576  # held for one client that does not keep up, bookkeeping included
    slow_policy: SlowPolicy = SlowPolicy.DISCONNECT  # of inboxes, broadcasts, and rooms of a type not named below
    slow_policies: Mapping[str, SlowPolicy] = field(default_factory=dict)  # room type -> policy
    room_types: RoomTypes = field(default_factory=RoomTypes)  # who may join, what is kept
    inboxes_kept: bool = True  # members' inboxes are
    buckets: int = 32  # that the channels are kept in: a broadcast lists one at a time
    deliveries_per_turn: int = 512  # channels that one reactor turn writes to one by one: about 5 ms
    delivery_queue_bytes: int = 67_108_864  # of items waiting for their turn
    sweeps: int = 16  # paced broadcasts side by side
    linger_seconds: float = 30  # a room stays hosted after its last member left
    renew_seconds: float = 10  # between renewals; presence's lease is a few times that
    full_cycle_seconds: float = 600  # in which every entry is renewed once
    rooms: int = 100  # that one version-2 client may be in
    resumes_per_second: float = (
        1_000  # clients whose timelines are looked up as they come in, or join, on average; more are sent away
    )
    resumes_burst: int = 2_000  # that may come at once
    reads: int = 4  # requests for timelines under way at logic; what comes meanwhile is gathered into the next
    page_messages: int = 100  # of a timeline, read at a time for one client
    check_seconds: float = (
        30  # between two looks at whether a followed timeline went on without its messages coming here
    )
    departures: int = 100_000  # connections whose end presence has not been told yet
    stop_seconds: float = 10  # for telling presence, when this process ends

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, int | float) and not isinstance(value, bool) and not value > 0:
                raise ConfigError(f"{each.name} must be above zero, not {value}")

    @property
    def squad_size(self) -> int:
        """Members of a room that one reactor turn writes to in one call: that takes about half as long as one by one."""
        return 2 * self.deliveries_per_turn

    @property
    def idle_seconds(self) -> float:
        """Without an op 2 for so long, a client is gone."""
        return self.heartbeat_seconds * self.heartbeat_max

    @property
    def waiting_bytes(self) -> int:
        """Of the bodies of the packets that wait from one client."""
        return WAITING_BODIES * self.max_body_bytes
