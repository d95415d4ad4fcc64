"""What the processes say to each other: one struct a request, one a reply, MessagePack between.

On ZeroMQ a request is four parts, ``[request id, method, budget, body]``, a reply three, ``[request id, status, body]``.

- request id: 8 bytes, unsigned big-endian, unique on its link;
- method: the ASCII name of a :class:`Method`;
- budget: 4 bytes, unsigned big-endian, milliseconds from receipt after which nobody waits (clocks differ, spans do not);
- status: 2 bytes, unsigned big-endian: 0, then the body is the reply's struct; else an error's code, then it is its words.
"""

from enum import Enum, unique
from typing import NamedTuple

import msgspec

from imd.protocol.timeline import Message, Place
from imd.protocol.trace import Hop


class Value(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base of the structs on this wire. Fields are positional: append with a default, never reorder."""


class Done(Value, frozen=True):
    """A reply that has nothing to add."""


# comet -> logic


class Connect(Value, frozen=True, gc=True):
    """A client wants in. Answered only once presence names it."""

    server: str
    boot: int
    key: str  # the client's own, or comet's proposal
    mid: int = 0
    room: str = ""  # the whole id, or empty
    platform: str = ""
    accepts: tuple[int, ...] = ()
    token: str = ""
    address: str = ""  # the client's IP, for logs and policy
    version: int = 1  # of its op 7
    device: str = ""  # what it calls itself; empty = its key


class Connected(Value, frozen=True, gc=True):
    """Who the client is now; what the token says has won."""

    key: str
    mid: int
    room: str = ""
    accepts: tuple[int, ...] = ()
    grants: tuple[str, ...] = ()  # rooms that its token names, which it may join though their type asks for a grant
    expires_at_ms: int = 0  # when its token does, ms since the epoch; 0 = never, or it showed none
    platform: str = ""


class ConnectMany(Value, frozen=True, gc=True):
    """Clients of one start of one comet who want in at one time: at most 1,000."""

    clients: tuple[Connect, ...]


class Verdict(Value, frozen=True, gc=True):
    """What becomes of one of them. With neither ``connected`` nor an error it takes waiting: to be asked for alone, by
    :class:`Connect`, so that the others need not wait with it; nothing was done about it."""

    connected: Connected | None = None
    code: int = 0  # of the error; 0 = none
    words: str = ""  # the error's


class Verdicts(Value, frozen=True, gc=True):
    """One a client, in the request's order. Answered only once presence names all that are connected."""

    verdicts: tuple[Verdict, ...]


class Disconnect(Value, frozen=True):
    """A connection ended. Removes only what (server, boot) still owns."""

    server: str
    boot: int
    key: str
    mid: int = 0


class DisconnectMany(Value, frozen=True, gc=True):
    """Connections of one start of one comet that ended: at most 1,000."""

    server: str
    boot: int
    entries: tuple[tuple[str, int], ...]  # (key, mid)


class Renew(Value, frozen=True, gc=True):
    """A comet lives, with a page of what it holds: at most 1,000 entries and 1,000 rooms."""

    server: str
    boot: int
    entries: tuple[tuple[str, int], ...] = ()  # (key, mid)
    rooms: tuple[tuple[str, int], ...] = ()  # (room, members here); 0 = still hosted, nobody in it
    public: bool = False  # it listens beyond this machine: a logic that trusts every client refuses it
    leaving: bool = False  # it stops: its lease ends now, and with it whatever is left of its entries


class Renewed(Value, frozen=True, gc=True):
    """What logic makes of a renewal."""

    lease_lapsed: bool = False  # presence had forgotten this server: send every page again, now
    replaced: tuple[str, ...] = ()  # of the page's keys, those that a newer connection elsewhere owns
    rooms: tuple[tuple[str, int], ...] = ()  # (room, members cluster-wide) of the page's rooms


class Receive(Value, frozen=True):
    """A packet from a client that is no operation of comet's own."""

    server: str
    key: str
    mid: int
    operation: int
    body: bytes
    room: str = ""


class Host(Value, frozen=True):
    """This comet wants the pushes of a room (``wanted``), or no longer. Answered once job can see it."""

    server: str
    boot: int
    room: str
    wanted: bool = True


class Follow(Value, frozen=True):
    """Where somebody stands in a timeline, and how much of what follows is wanted."""

    timeline: str
    after: int = -1  # everything up to it is known; -1 = nothing is asked for but the head
    epoch: str = ""  # of ``after``; empty = not known: nothing is proven then
    limit: int = 0  # messages, at most
    # A comet wrote the message at ``after``: if it is not there, the store went back. The word of a client proves nothing.
    witnessed: bool = False


class Read(Value, frozen=True, gc=True):
    """What these timelines have: at most 1,000 of them, answered up to about 1 MiB in all. What did not fit is ``more``,
    perhaps of a page without messages; some page has one, if any is wanted, so that asking on comes to an end."""

    server: str
    follows: tuple[Follow, ...]


class Page(Value, frozen=True, gc=True):
    """Of one timeline, at one moment."""

    timeline: str
    head: Place  # its last message
    # Whether nothing is missing between ``after`` and the messages here, or the head when none were wanted. True when nothing
    # was asked for. False: the epoch is another, or the window does not reach back that far.
    recovered: bool = True
    messages: tuple[
        Message, ...
    ] = ()  # the first that are left after ``after``, in order; none when the epoch is another
    more: bool = False  # there are more behind them


class Pages(Value, frozen=True, gc=True):
    """One page a follow, in their order."""

    pages: tuple[Page, ...]


class Ack(Value, frozen=True):
    """A device has handled everything up to ``seq``."""

    timeline: str
    device: str  # ``<mid>:<device>``
    seq: int
    epoch: str = ""


class Acks(Value, frozen=True, gc=True):
    """At most 1,000 at a time. A device's position never goes back within an epoch."""

    server: str
    acks: tuple[Ack, ...]


class Send(Value, frozen=True):
    """A client sends a message to a room or a member. Who may, logic decides."""

    server: str
    key: str
    mid: int  # who sends: verified
    operation: int
    body: bytes
    room: str = ""  # to this room, or
    to: int = 0  # to this member
    joined: bool = False  # it is in the room
    client_id: str = ""  # its idempotency key; empty = none


class Sent(Value, frozen=True):
    """It was accepted."""

    id: int
    at_ms: int
    place: Place = Place(0)  # seq 0 = it was live


class Refresh(Value, frozen=True):
    """A client shows a new token before the old one expires."""

    server: str
    key: str
    mid: int
    token: str


class Refreshed(Value, frozen=True, gc=True):
    """It is good, and the same member's."""

    expires_at_ms: int = 0  # as in :class:`Connected`
    grants: tuple[str, ...] = ()


class Attendance(Value, frozen=True):
    """A member came into a room, or left it, as far as one comet can see."""

    room: str
    mid: int
    joined: bool


class Attendances(Value, frozen=True, gc=True):
    """Of rooms whose type tells its members; at most 1,000 at a time."""

    server: str
    events: tuple[Attendance, ...]


# job -> comet


@unique
class Kind(Enum):
    """What an item of a batch is for."""

    __hash__ = object.__hash__  # an Enum's own is a function in Python

    KEYS = 1
    ROOM = 2
    ALL = 3
    KICK = 4


class Item(Value, frozen=True, gc=True):
    """Packets for some of a comet's channels: one push, or several to one room, merged."""

    kind: Kind
    packets: bytes = b""  # complete version-1 packets, back to back, in order
    count: int = 1  # how many packets
    operation: int = 0  # KEYS, ALL: what the channels' accept sets are asked
    keys: tuple[str, ...] = ()  # KEYS, KICK
    room: str = ""  # ROOM
    speed: int = 0  # ALL: connections a second on this comet; 0 = at once
    marks: tuple[tuple[int, int], ...] = ()  # (push id, when it was accepted in ms) of each packet
    # Where it is kept. ROOM: the place of each packet. KEYS: the place in the inbox of each key's member, one a key; its
    # count is 1 then. Empty = live.
    places: tuple[Place, ...] = ()
    traced: bool = False  # the outcome shall say what became of each key, or channel: its count is 1 then
    reason: int = 0  # KICK: the code of the close reason; 0 = the key may be a newer connection's
    # KEYS of members: whose each key is. Who has one of them by now and is another member is not meant: the key is unknown.
    mids: tuple[int, ...] = ()


class Batch(Value, frozen=True, gc=True):
    """Items for one start of one comet, in order. A comet of another boot refuses it whole."""

    server: str
    boot: int
    items: tuple[Item, ...]
    partition: int = -1  # of the broker, where they come from; -1 = not said
    fence: int = 0  # its owner's: a comet that has seen a higher one refuses the batch with :class:`imd.errors.Fenced`
    sender: str = (
        ""  # the start of the job that sends it, "<id>@<boot>": what is answered to it is counted under that name
    )


class Outcome(Value, frozen=True, gc=True):
    """What became of one item. Counts are packets times channels."""

    delivered: int = 0  # handed to the socket or to the channel's outbox
    filtered: int = 0  # the channel does not accept the operation
    scheduled: int = 0  # ALL with a speed: channels that a paced sweep will reach; comet counts their outcomes
    dropped: tuple[tuple[str, int], ...] = ()  # (reason, count)
    unknown: tuple[str, ...] = ()  # keys that are not connected here
    duplicate: int = 0  # kept: the channel had it already
    deferred: int = 0  # kept: not written now; the channel is behind, and will read it from the timeline
    hops: tuple[Hop, ...] = ()  # of a traced item, at most 1,000


class Outcomes(Value, frozen=True, gc=True):
    """One outcome an item, in the batch's order."""

    outcomes: tuple[Outcome, ...]


class Signature(NamedTuple):
    """The types of one method's request and reply."""

    request: type[Value]
    reply: type[Value]


@unique
class Method(Enum):
    """Every RPC method. The value is its name on the wire."""

    __hash__ = object.__hash__  # an Enum's own is a function in Python

    CONNECT = b"connect"
    DISCONNECT = b"disconnect"
    CONNECT_MANY = b"connect_many"
    DISCONNECT_MANY = b"disconnect_many"
    RENEW = b"renew"
    RECEIVE = b"receive"
    HOST = b"host"
    PUSH = b"push"
    READ = b"read"
    ACK = b"ack"
    SEND = b"send"
    REFRESH = b"refresh"
    ATTEND = b"attend"


SIGNATURES: dict[Method, Signature] = {
    Method.CONNECT: Signature(Connect, Connected),
    Method.DISCONNECT: Signature(Disconnect, Done),
    Method.CONNECT_MANY: Signature(ConnectMany, Verdicts),
    Method.DISCONNECT_MANY: Signature(DisconnectMany, Done),
    Method.RENEW: Signature(Renew, Renewed),
    Method.RECEIVE: Signature(Receive, Done),
    Method.HOST: Signature(Host, Done),
    Method.PUSH: Signature(Batch, Outcomes),
    Method.READ: Signature(Read, Pages),
    Method.ACK: Signature(Acks, Done),
    Method.SEND: Signature(Send, Sent),
    Method.REFRESH: Signature(Refresh, Refreshed),
    Method.ATTEND: Signature(Attendances, Done),
}

_encode = msgspec.msgpack.Encoder().encode
_decoders: dict[type[Value], msgspec.msgpack.Decoder[Value]] = {
    kind: msgspec.msgpack.Decoder(kind) for signature in SIGNATURES.values() for kind in signature
}


def dump(value: Value) -> bytes:
    """A request or reply as MessagePack."""
    return _encode(value)


def load(kind: type[Value], data: bytes) -> Value:
    """The reverse of :func:`dump`. Raises :class:`msgspec.DecodeError` unless ``data`` is a valid ``kind``."""
    try:
        return _decoders[kind].decode(data)
    except UnicodeDecodeError:  # msgspec lets it through
        raise msgspec.DecodeError("a string is not UTF-8") from None
