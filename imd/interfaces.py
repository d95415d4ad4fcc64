"""Every seam on one page, and the values that cross it. What a backend or a transport must guarantee is said here."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from imd.errors import CloseReason
from imd.protocol import rpc
from imd.protocol.packet import Packet
from imd.protocol.push import Push
from imd.protocol.timeline import Place
from imd.protocol.trace import Hop

# --- time -------------------------------------------------------------------------------------------------------------


class Timer(Protocol):
    """A call that is due later (Twisted's ``IDelayedCall``)."""

    def active(self) -> bool: ...
    def cancel(self) -> None: ...


class Clock(Protocol):
    """The reactor's time; Twisted's ``task.Clock`` in tests. ``seconds`` is for spans: it never goes back, and is no date."""

    def seconds(self) -> float: ...
    def callLater(self, delay: float, callable: Callable[..., object], /, *args: Any, **kwargs: Any) -> Timer: ...


class Reactor(Clock, Protocol):
    """The clock of a thread that others may hand calls to (Twisted's ``IReactorFromThreads``)."""

    def callFromThread(self, callable: Callable[..., object], /, *args: Any, **kwargs: Any) -> None: ...


class Resource(Protocol):
    """What service opens and closes: a connection to a product, a link to a peer."""

    async def open(self) -> None:
        """Begin. A product that is away is no failure: keep trying, and say so in :meth:`trouble`."""

    async def close(self) -> None:
        """Finish what is under way, let go. Never raises for a product that is away."""

    def trouble(self) -> str | None:
        """None when usable; else one sentence for ``/readyz``, without secrets."""


# --- comet and its transports -----------------------------------------------------------------------------------------


class Sink(Protocol):
    """A socket that does not block."""

    def send(self, data: bytes, /) -> int:
        """How many of the bytes the kernel took. Raises ``OSError`` when it takes none: for now, or for ever."""

    def fileno(self) -> int:
        """Its descriptor; -1 once it is closed."""


class Battery(Protocol):
    """Sinks that get the same bytes. Thrown away, and made anew of those that are left, when one of them pauses or goes: a
    descriptor may be all that it knows of a sink, and a closed one's number is soon another client's."""

    def fire(self, data: bytes, /) -> list[tuple[int, int]]:
        """Send to each. Answers those that did not take all: the place in the sequence it was made of, and how many bytes were
        taken. Never raises ``OSError``, and ends nobody: whoever writes the rest to the connection finds what is wrong."""


# Makes a battery: a loop in Python, or a better one where there is one. No sink twice.
Arm = Callable[[Sequence[Sink]], Battery]


class Connection(Protocol):
    """What a session needs of a client's transport. Bytes given to ``write`` are ready for the socket."""

    framed: bool  # WebSocket: a packet travels in a frame
    address: str  # the peer's IP

    @property
    def transport(self) -> str:
        """``tcp``, ``tls``, ``ws`` or ``wss``, for metrics."""

    @property
    def sink(self) -> Sink | None:
        """Past ``write``, for who writes to very many: the socket itself. None when every byte must go by ``write`` (TLS).

        It may be sent to while the session is open and not between ``pause_writing`` and ``resume_writing``: then nothing
        waits that would have to go first. What it does not take, for whatever reason, goes to ``write``.
        """

    def write(self, data: bytes) -> None:
        """Send ``data``, or queue it behind what was written before. Calls the session's ``pause_writing`` when the kernel has
        enough and something is queued."""

    def close(self, reason: CloseReason) -> None:
        """End: what was written goes out if the peer reads within a few seconds, then the connection is cut.
        A WebSocket close frame carries ``reason.code`` and ``reason.label``. ``session.lost`` follows, once."""


class SessionPort(Protocol):
    """What a client's transport tells the session that comet made for its :class:`Connection`."""

    def packet_received(self, packet: Packet) -> None:
        """The client sent a packet. In order; never after :meth:`Connection.close` was called, nor after :meth:`lost`."""

    def frame_received(self) -> None:
        """The client sent what costs time as a packet does and is none: a fragment of one, a ping, a pong. When, as above."""

    def fail(self, reason: CloseReason, detail: str = "") -> None:
        """The client broke its transport's rules, or hung up by them, or a call failed: the session writes its goodbye to a
        client that gets one, nothing after that, and calls :meth:`Connection.close`, perhaps at once."""

    def pause_writing(self) -> None:
        """The kernel has enough: what is written now is held in memory."""

    def resume_writing(self) -> None:
        """What was held has left."""

    def lost(self, reason: CloseReason) -> None:
        """The connection is gone; the last call, exactly once for each session. ``reason`` is the one that
        :meth:`Connection.close` was given, else how the peer ended it."""


# Admission: a transport calls it with each new connection. None = refused, and the connection has been closed.
Accept = Callable[[Connection], SessionPort | None]


class LogicClient(Protocol):
    """What comet asks of logic. Every call may raise :class:`imd.errors.Unavailable`; then whether it was done is unknown."""

    async def connect(self, request: rpc.Connect) -> rpc.Connected:
        """Who is this? When it returns, presence names the connection. Raises :class:`imd.errors.AuthRefused`.

        Those who ask at one time may share a request; each is answered, or refused, for itself."""

    async def disconnect(self, request: rpc.Disconnect) -> rpc.Done:
        """It ended: forget it, unless its key belongs to a newer connection by now. Shares requests as :meth:`connect` does."""

    async def renew(self, request: rpc.Renew) -> rpc.Renewed:
        """This comet lives and holds these; who else is in its rooms?"""

    async def receive(self, request: rpc.Receive) -> rpc.Done:
        """A client sent a packet of its application: the receive hook gets it."""

    async def host(self, request: rpc.Host) -> rpc.Done:
        """When it returns, a push to the room accepted from now on comes to this comet (or no longer does)."""

    async def read(self, request: rpc.Read) -> rpc.Pages:
        """What timelines have; see :class:`Timelines`."""

    async def ack(self, request: rpc.Acks) -> rpc.Done:
        """Devices have handled these."""

    async def send(self, request: rpc.Send) -> rpc.Sent:
        """A client's message was accepted. Raises :class:`imd.errors.NotAllowed`, :class:`imd.errors.IdempotencyConflict`,
        :class:`imd.errors.BodyTooLarge`, :class:`imd.errors.BadRequest`, :class:`imd.errors.Overloaded`."""

    async def refresh(self, request: rpc.Refresh) -> rpc.Refreshed:
        """Raises :class:`imd.errors.AuthRefused` when the new token is not good, or another member's."""

    async def attend(self, request: rpc.Attendances) -> rpc.Done:
        """Members came and went: the rooms' other members hear of it."""


class CometClient(Protocol):
    """What job asks of a comet."""

    async def push(self, request: rpc.Batch) -> rpc.Outcomes:
        """Deliver in order and say what became of each item. Raises :class:`imd.errors.PeerUnavailable` when it vanished,
        :class:`imd.errors.BadRequest` when the batch was for another boot, :class:`imd.errors.Fenced` when a newer owner of its
        partition was here: nothing was delivered then."""


class Comets(Protocol):
    """The comets that job can reach now."""

    def find(self, server: str) -> tuple[int, CometClient] | None:
        """(boot, link) of a comet, None when it is not in the registry."""

    def all(self) -> Mapping[str, tuple[int, CometClient]]:
        """server -> (boot, link) of every comet in the registry."""

    def reachable(self) -> bool:
        """Whether a comet can be asked now, or there is none. False = there are some, and no link to any of them is up: this
        job may be the one that is cut off."""


# --- broker -----------------------------------------------------------------------------------------------------------


class Receipt(NamedTuple):
    """What the broker did with one push."""

    id: int  # the push's; for a repeated idempotency key the earlier push's
    repeated: bool = False  # nothing was stored: this idempotency key had been used for the same push
    conflict: bool = False  # nothing was stored: it had been used for a different one
    places: tuple[Place, ...] = ()  # of each of the push's timelines, in their order; for a repeated one the earlier's


class Entry(NamedTuple):
    """A push as the broker hands it out."""

    token: bytes  # names the entry in its partition, for :meth:`Broker.commit`
    push: Push
    places: tuple[Place, ...] = ()  # of the push's timelines, in their order; empty = live


class Backlog(NamedTuple):
    """What waits in the broker."""

    entries: int  # appended and not committed
    oldest_at_ms: int  # when the oldest of them was appended; 0 when there is none
    # Counted by the store itself, with the same atomic steps, since it began: they outlive every process.
    appended: int = 0
    committed: int = 0


class Broker(Protocol):
    """The queue between logic and job: P partitions, each in order. Calls raise :class:`imd.errors.BrokerUnavailable`."""

    partitions: int

    async def publish(self, pushes: Sequence[tuple[int, Push]]) -> list[Receipt]:
        """Append each (partition, push); when it returns, all are durable as the product means it.

        A push with :attr:`Push.timelines` is appended to each of them in the same atomic step, and never to one alone.
        Pushes to one partition keep their order. A push with an idempotency key that the partition saw within the
        configured time is not stored again. Raises :class:`imd.errors.Overloaded` when the backlog is at its limit.
        """

    async def rewind(self, partition: int) -> int:
        """A new owner begins: the next ``read`` starts at the first entry that was not committed. Answers the owner's fence: it
        is higher than every earlier owner's (at least ms since the epoch, so that it rises though the store was lost)."""

    async def read(self, partition: int, limit: int, wait_seconds: float) -> list[Entry]:
        """The next entries in order, at most ``limit``; empty when none came within ``wait_seconds``.

        Only the owner calls it, one call at a time. What a cancelled call had taken, ``rewind`` brings back.
        """

    async def commit(self, partition: int, tokens: Sequence[bytes], fence: int = 0) -> None:
        """The outcome of these is known: never hand them out again. Raises :class:`imd.errors.Fenced`, and does nothing, when
        the partition has a newer owner than ``fence`` (0 = does not ask)."""

    async def backlog(self) -> Backlog:
        """Over all partitions."""


# --- timelines --------------------------------------------------------------------------------------------------------


class Swept(NamedTuple):
    """What a sweep did: messages that left their timelines because of their age or number."""

    acked: int = 0  # some device had handled them
    expired: int = 0  # none had
    more: bool = False  # there is more to do


class Totals(NamedTuple):
    """Messages of all timelines since the store began, counted by the store itself: kept = held + acked + expired."""

    kept: int  # appended
    held: int  # there now
    acked: int  # gone, handled by some device
    expired: int  # gone, handled by none


class Timelines(Protocol):
    """Kept messages. Appended by :meth:`Broker.publish`. Calls raise :class:`imd.errors.TimelineUnavailable`.

    A timeline's seqs rise by one from 1 within an epoch. The epoch changes when the store was emptied, or went back to an
    older state, and when a timeline that nobody touched for long was forgotten: then nothing that a client remembers of it
    can be proven.
    """

    async def read(self, follows: Sequence[rpc.Follow]) -> list[rpc.Page]:
        """One page for each, in their order, each as of one moment. ``recovered`` is never claimed without proof: the epoch is
        the same, ``after`` is not beyond the head, and every message behind it is still there. Messages that are too old
        are not. A comet that wrote what is beyond the head (``witnessed``) has seen what the store lost: the epoch changes."""

    async def ack(self, acks: Sequence[rpc.Ack]) -> None:
        """Move the devices' positions forward; an ack of another epoch, or beyond the head, is dropped and counted."""

    async def positions(self, timeline: str) -> dict[str, int]:
        """Device -> the last seq it has handled, in this epoch; of the 1,000 that did so last."""

    async def sweep(self, partition: int, limit: int) -> Swept:
        """Let go of messages that are too old, of at most ``limit`` timelines."""

    async def totals(self) -> Totals:
        """Over all partitions."""


class Sighting(NamedTuple):
    """What a process saw of a partition of a store: of whatever is not there afterwards, something is lost."""

    epoch: str  # of the partition
    tenure: str  # of one run of the product over these data
    appended: int  # how many pushes it had taken


class Witness(Protocol):
    """Remembers what was seen of a store, outside of it, while no process runs."""

    async def recall(self) -> Mapping[int, Sequence[Sighting]]:
        """Partition -> what was seen last, by any process. Raises :class:`imd.errors.Unavailable`."""

    def note(self, partition: int, sightings: Sequence[Sighting]) -> None:
        """This was seen. Written soon, not at once: it may come short of the truth, never go beyond it."""


class Traces(Protocol):
    """What became of the pushes that are traced, for as long as configured. Calls raise :class:`imd.errors.Unavailable`."""

    async def note(self, hops: Sequence[tuple[int, Hop]]) -> None:
        """Add each (push id, hop); those over the limit of one push are dropped."""

    async def acked(self, acks: Sequence[rpc.Ack], at_ms: int, process: str) -> None:
        """Note ACKED for each traced message of these timelines, in the ack's epoch and up to its seq, that the device has not
        acked yet. Costs next to nothing while nothing of them is traced."""

    async def read(self, id: int) -> list[Hop]:
        """In the order in which they were noted; empty when the push was not traced, or too long ago."""


# --- presence and rooms -----------------------------------------------------------------------------------------------


class Location(NamedTuple):
    """One start of one comet."""

    server: str
    boot: int  # ms since the epoch when it started; rises from start to start


class Leases(Protocol):
    """Which comets live. What they entered into presence and rooms counts while their lease does, and no longer."""

    async def renew(self, location: Location) -> bool:
        """Extend for the configured time. False when it had lapsed or never was: its entries may be gone.
        A boot older than the one that holds the lease is refused with :class:`imd.errors.ServerIdTaken`."""

    async def release(self, location: Location) -> None:
        """End now, if it is still this boot's."""


class Presence(Protocol):
    """Who is connected where. Calls raise :class:`imd.errors.PresenceUnavailable`. Only live leases are ever answered."""

    async def attach(self, location: Location, key: str, mid: int, platform: str = "") -> Location | None:
        """The key is here now; the newest wins. Answers where a still-living older connection of the key is, if elsewhere."""

    async def attach_many(self, location: Location, arrivals: Sequence[tuple[str, int, str]]) -> dict[str, Location]:
        """:meth:`attach` of each (key, mid, platform), in this order. Answers the keys that displace somebody, with whom."""

    async def devices(self, mid: int, platform: str) -> list[tuple[str, Location]]:
        """(key, where) of the member's connections that came with this platform, the longest there first."""

    async def detach(self, location: Location, key: str, mid: int) -> bool:
        """Compare and delete, in one step: False, and nothing changed, when the key is another location's by now."""

    async def detach_many(self, location: Location, entries: Sequence[tuple[str, int]]) -> None:
        """:meth:`detach` of each (key, mid)."""

    async def renew(self, location: Location, entries: Sequence[tuple[str, int]]) -> list[str]:
        """Keep these (key, mid) entries; enter those that are missing. Answers the keys that are another living location's."""

    async def locate_keys(self, keys: Collection[str]) -> dict[str, Location]:
        """Unknown keys are left out."""

    async def locate_members(self, mids: Collection[int]) -> dict[int, dict[str, Location]]:
        """mid -> key -> where. Members without a connection are left out. mid 0 (anonymous) is nobody."""


class Rooms(Protocol):
    """Which comets host a room, and how many are in it. Calls raise :class:`imd.errors.PresenceUnavailable`."""

    async def host(self, location: Location, room: str) -> None:
        """This comet wants the room's pushes."""

    async def unhost(self, location: Location, room: str) -> None:
        """It no longer does; its count goes too."""

    async def report(self, location: Location, counts: Sequence[tuple[str, int]]) -> dict[str, int]:
        """Members of these rooms on this comet (each becomes hosted); answers their members over all living comets."""

    async def hosts(self, rooms: Collection[str]) -> dict[str, list[Location]]:
        """Living comets per room; rooms without any are left out."""

    async def counts(self, rooms: Collection[str]) -> dict[str, int]:
        """Members over all living comets; rooms without any are left out."""

    async def top(self, room_type: str, limit: int) -> list[tuple[str, int]]:
        """(room id, members) of the type's rooms with members, largest first, ties by id."""


# --- registry ---------------------------------------------------------------------------------------------------------


class Instance(msgspec.Struct, frozen=True):
    """One process in the registry."""

    role: str  # "comet", "logic" or "job"
    id: str  # unique among the role's living processes; for a comet its server id
    boot: int  # ms since the epoch when it started
    rpc: str  # the ZeroMQ endpoint that peers dial; empty = none
    hostname: str = ""
    region: str = ""
    zone: str = ""
    env: str = ""
    version: str = ""
    addrs: tuple[str, ...] = ()  # public addresses, for clients
    weight: int = 1
    offline: bool = False  # takes no new clients (draining)
    conn_count: int = 0
    ip_count: int = 0  # distinct client addresses
    updated_at_ms: int = 0
    rpc_public_key: str = ""  # CURVE, Z85; empty = plaintext


class Registry(Protocol):
    """Which processes exist. When the product is away the last known ones stay; what was registered comes back with it."""

    async def register(self, instance: Instance) -> None:
        """Enter it until :meth:`unregister` or this process ends. Raises :class:`imd.errors.ServerIdTaken` while another
        living process has its (role, id). While the product is away it returns, and registers when it is back."""

    async def update(self, instance: Instance) -> None:
        """Replace what was registered under the same (role, id)."""

    async def unregister(self, instance: Instance) -> None:
        """Take it out now."""

    def watch(self, role: str, listener: Callable[[Sequence[Instance]], None]) -> Callable[[], None]:
        """Call ``listener`` in the reactor's thread with every living instance of a role, now (when known) and at each
        change. Answers a function that ends it."""

    async def lease_worker_id(self) -> int:
        """0 to 1023, no other living process has it: the part of push ids that makes them unique."""

    def trouble(self) -> str | None:
        """None while everything that was registered from here is in it: until then a name may turn out to be taken."""


class Assignment(Protocol):
    """Shares the broker's partitions among the living jobs: each is one job's at a time."""

    async def start(self, changed: Callable[[frozenset[int]], Awaitable[None]]) -> None:
        """Take part. ``changed`` gets all that is owned now, at each change, one call at a time; a partition that it no
        longer holds goes to another job only after ``changed`` has returned (or this process is gone)."""

    async def stop(self) -> None:
        """Leave; the others take over."""


# --- logic's own ------------------------------------------------------------------------------------------------------


class Identity(NamedTuple):
    """Who a client is, as its credentials say."""

    mid: int
    key: str = ""  # empty = as the client or comet proposed
    room: str | None = None  # None = as the client asked
    accepts: tuple[int, ...] | None = None  # None = as the client asked
    platform: str | None = None  # None = as the client says
    grants: tuple[str, ...] = ()  # rooms that it may join though their type asks for a grant
    expires_at_ms: int = 0  # when its credentials do, ms since the epoch; 0 = never


class Authenticator(Protocol):
    """One per ``[auth] mode``."""

    async def authenticate(self, request: rpc.Connect) -> Identity:
        """Raises :class:`imd.errors.AuthRefused`, or :class:`imd.errors.Unavailable` when it cannot say."""


class ReceiveHook(Protocol):
    """What becomes of the packets that clients send."""

    async def __call__(self, packet: rpc.Receive) -> None:
        """Errors are logged and counted; the client gets its echo all the same."""
