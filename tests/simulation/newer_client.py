"""A client of version 2, written from docs/protocol.md alone: it takes nothing of imd's client, and believes nobody."""

from struct import unpack_from
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from imd.comet.policy import SlowPolicy
from imd.protocol.operation import Operation
from imd.protocol.packet import Packet, PacketDecoder, encode
from tests.simulation.book import Book
from tests.simulation.client import FOREVER, OPERATIONS, Client, Receipt, Stay, Visit

if TYPE_CHECKING:
    from tests.simulation.comet import CometProcess
    from tests.simulation.simulation import Simulation

FOUND_SECONDS = 10.0  # within which a loss is found out, though few processes are there
MAX_HELD = 50  # pushes behind a gap; the furthest go first
FORGETS = 0.1  # the share of connections for which the device has lost the last that it had stored


class Sending(NamedTuple):
    """A message of this client that was not answered yet."""

    to: dict[str, str]
    operation: int
    body: str
    client_id: str


class NewerVisit(Visit):
    """One connection."""

    version = 2

    def __init__(
        self, sim: "Simulation", client: Client, comet: "CometProcess", *, serial: int, key: str, mid: int
    ) -> None:
        super().__init__(sim, client, comet, serial=serial, key=key, mid=mid)
        assert isinstance(client, NewerClient)
        self.me: NewerClient = client
        self._decoder = PacketDecoder(max_body_bytes=1 << 20, extensions=True)
        self._sequence = 0
        self._asked: dict[int, tuple[int, Any]] = {}  # sequence -> (operation, what it was about)
        self.follows: set[str] = set()  # timelines, as clients call them: from the answer on, until they leave
        self.leaving: set[str] = set()  # op 34 is under way
        self.again: set[str] = set()  # timelines of which it asked for what it may have
        self._held: dict[str, dict[int, bytes]] = {}  # timeline -> seq -> body behind a gap
        self._syncing: set[str] = set()  # timelines whose gap is asked for
        self.claimed: dict[str, tuple[int, str]] = {}  # in op 7, or op 32
        self.goodbye: dict[str, Any] | None = None  # op 6
        self.acked: dict[str, tuple[int, str, float]] = {}  # timeline -> (seq, epoch, when)

    # --- what it says

    def ask(self, operation: int, body: object, about: Any = None) -> None:
        """A request that is answered, by a reply or by op 48."""
        self._sequence += 1
        self._asked[self._sequence] = (operation, about)
        data = msgspec.json.encode(body)
        self.stream.send(encode(Packet(operation, data, self._sequence, 2)))

    def authenticate(self) -> None:
        me = self.me
        me.store_late()
        self.claimed = {name: (book.last, book.epoch) for name, book in me.books.items()}
        places = {name: {"seq": seq, "epoch": epoch} for name, (seq, epoch) in self.claimed.items()}
        if self.mid == 0:
            places.pop("", None)
        body = {
            "mid": str(self.mid),
            "key": self.key,
            "rooms": sorted(me.rooms),
            "platform": "sim",
            "accepts": me.accepts,
            "resume": places,
            "device": me.name,
        }
        self.ask(Operation.AUTH, body)

    def join(self, room: str) -> None:
        """Op 32."""
        body: dict[str, object] = {"room": room}
        book = self.me.books.get(room)
        self.claimed.pop(room, None)
        if book is not None:
            self.claimed[room] = (book.last, book.epoch)
            body |= {"after": book.last, "epoch": book.epoch}
        if room in self.follows:
            self.again.add(room)
        self.ask(Operation.JOIN, body, room)

    def leave(self, room: str) -> None:
        """Op 34."""
        self.leaving.add(room)
        self.me.rooms.discard(room)
        for stay in self.stays:
            if stay.room == room:
                stay.until = min(stay.until, self._sim.world.now)
        self.ask(Operation.LEAVE, {"room": room}, room)

    def ack(self) -> None:
        """Op 36, of all that it follows."""
        books = {name: self.me.books[name] for name in self.follows if name in self.me.books}
        if books:
            now = self._sim.world.now
            self.acked |= {name: (book.last, book.epoch, now) for name, book in books.items()}
            body = msgspec.json.encode({name: book.last for name, book in books.items()})
            self.stream.send(encode(Packet(Operation.ACK, body, 0, 2)))

    def sync(self, name: str, after: int, limit: int) -> None:
        """Op 38."""
        self.again.add(name)
        book = self.me.books[name]
        body = {"timeline": name, "after": after, "limit": limit, "epoch": book.epoch}
        self.ask(Operation.SYNC, body, (name, after, book.epoch))

    def say(self, sending: Sending) -> None:
        """Op 4."""
        body = {"to": sending.to, "op": sending.operation, "body": sending.body, "client_id": sending.client_id}
        self.ask(Operation.SEND, body, sending)

    # --- what it hears

    def hung_up(self) -> None:
        if not self.over and self.opened_at < FOREVER and self.goodbye is None:
            self._sim.world.fault(f"{self.name} was not told why its connection ends")
        super().hung_up()

    def _packet(self, packet: Packet) -> None:
        if self.goodbye is not None:
            self._wrong(f"got operation {packet.operation} after the goodbye")
        if packet.extension:
            self._push(packet)
        elif packet.operation == Operation.GOODBYE:
            self.goodbye = msgspec.json.decode(packet.body)
            self._sim.world.note(self.name, f"is told goodbye: {packet.body.decode()}")
        elif packet.operation == Operation.HEARTBEAT_REPLY:
            pass
        elif packet.operation == Operation.SUB_REPLY:
            for each in packet.body.split(b","):
                self.accepts.setdefault(int(each), self._sim.world.now)
        elif packet.sequence in self._asked:
            operation, about = self._asked.pop(packet.sequence)
            self._answer(operation, about, packet)
        else:
            self._wrong(f"got operation {packet.operation} with the sequence {packet.sequence}")

    def _answer(self, operation: int, about: Any, packet: Packet) -> None:
        body = msgspec.json.decode(packet.body)
        if packet.operation == Operation.ERROR:
            self._refused(operation, about, body)
        elif operation == Operation.AUTH:
            self._welcome(body)
        elif operation == Operation.JOIN:
            self._joined(about, body)
        elif operation == Operation.LEAVE:
            self._left(about)
        elif operation == Operation.SYNC:
            name, after, epoch = about
            self._synced(name, after, epoch, body)
        elif operation == Operation.SEND:
            self.me.sent(about, body)
        elif operation == Operation.REFRESH and body:
            self._wrong(f"has a token that ends: {body}")

    def _welcome(self, body: dict[str, Any]) -> None:
        now = self._sim.world.now
        standings = body["timelines"]
        self._sim.world.note(self.name, f"is in: {standings}")
        self.opened_at = now
        self.key = body["key"]
        self.accepts = dict.fromkeys(self.me.accepts, now)
        expected = {*self.me.rooms, *([""] if self.mid else [])}
        if set(standings) != expected:
            self._wrong(f"is told of {sorted(standings)} instead of {sorted(expected)}")
        for name, standing in standings.items():
            self._stands(name, standing)
        for room in self.me.rooms:
            self.stays.append(Stay(room, now))
        self.me.opened(self)

    def _joined(self, room: str, body: dict[str, Any]) -> None:
        self._sim.world.note(self.name, f"is in {body}")
        if room not in self.leaving:
            self.me.rooms.add(room)
            self.stays.append(Stay(room, self._sim.world.now))
        self._stands(room, body)

    def _left(self, room: str) -> None:
        self.leaving.discard(room)
        self.follows.discard(room)
        self._held.pop(room, None)
        self._syncing.discard(room)

    def _stands(self, name: str, standing: dict[str, Any]) -> None:
        """Where a timeline stands, and what that means for what is known of it."""
        self.follows.add(name)
        self._held.pop(name, None)
        self._syncing.discard(name)
        claimed = self.claimed.get(name)
        self.me.begins(self, name, standing["seq"], standing["epoch"], standing["recovered"], claimed)

    def _push(self, packet: Packet) -> None:
        _, seq, _, length = unpack_from(">qqqh", packet.extension)
        name = packet.extension[26:].decode()
        if len(packet.extension) != 26 + length:
            self._wrong(f"got a header of {len(packet.extension)} bytes with a name of {length}")
        if packet.operation == Operation.PRESENCE:
            return
        if self.opened_at == FOREVER:
            self._wrong("got a push before op 8")
        if not seq:
            self.received.append(Receipt(self._sim.world.now, packet.operation, packet.body))
            self._sim.world.note(self.name, f"reads {packet.body.decode()}")
            return
        self._sim.world.note(self.name, f"reads {name or 'inbox'} {seq}: {packet.body.decode()}")
        if name not in self.follows:
            self._wrong(f"got {seq} of {name or 'inbox'}, which it does not follow")
            return
        if not name:
            self.inbox.append(packet.body)
        book = self.me.books[name]
        if seq == book.last + 1:
            book.handle(seq, packet.body)
            self._go_on(name, book)
        elif seq <= book.last:
            if name not in self.again:
                self._wrong(f"{seq} of {name or 'inbox'} was written twice")
            if book.contradicts(seq, packet.body) and not self._sim.store.losses:
                self._wrong(f"{seq} of {name or 'inbox'} is another message now")
        else:
            self._gap(name, book, seq, packet.body)

    def _gap(self, name: str, book: Book, seq: int, body: bytes) -> None:
        if name not in self.again and not self._may_lose(name):
            self._wrong(f"there is a gap without a reason: {seq} of {name or 'inbox'} after {book.last}")
        held = self._held.setdefault(name, {})
        held[seq] = body
        if len(held) > MAX_HELD:
            del held[max(held)]
        if name not in self._syncing:
            self._syncing.add(name)
            self.sync(name, book.last, 100)

    def _go_on(self, name: str, book: Book) -> None:
        """With what is held, as far as it follows."""
        held = self._held.get(name, {})
        while (each := held.pop(book.last + 1, None)) is not None:
            book.handle(book.last + 1, each)
        for seq in [seq for seq in held if seq <= book.last]:
            del held[seq]

    def _synced(self, name: str, after: int, epoch: str, body: dict[str, Any]) -> None:
        self._sim.world.note(self.name, f"has synced {body}")
        if name not in self.follows or name not in self._syncing:
            return
        book = self.me.books[name]
        if body["epoch"] != book.epoch:
            self.stream.close()
            self.lost("finds another epoch, and connects anew")
            return
        if not body["recovered"]:
            self.me.check_loss(self, name, after, epoch, body["epoch"])
            held = self._held.get(name, {})
            base = min(held) - 1 if held else body["last"]
            book.begin(body["epoch"], max(base, book.last), self._sim.world.now)
        self._go_on(name, book)
        if self._held.get(name) and (body["more"] or min(self._held[name]) > book.last + 1):
            self.sync(name, book.last, 100)
        else:
            self._syncing.discard(name)

    def _refused(self, operation: int, about: Any, body: dict[str, Any]) -> None:
        self._sim.world.note(self.name, f"is refused {body}")
        if operation == Operation.SYNC and about[0] in self._syncing:
            self._sim.world.after(1 + body.get("retry_after_ms", 0) / 1000, self._sync_again, about[0])
        elif operation == Operation.JOIN and about in self.follows:
            self.stream.close()
            self.lost("does not know whether it is in a room")
        elif operation == Operation.SEND:
            self.me.not_sent(about, body)
        elif operation == Operation.REFRESH and body["name"] == "unauthorized":
            self._wrong(f"showed a good token: {body}")

    def _sync_again(self, name: str) -> None:
        if not self.over and name in self._syncing:
            self.sync(name, self.me.books[name].last, 100)

    def _may_lose(self, name: str) -> bool:
        """Whether a policy may take messages out of the middle: then they are counted."""
        limits = self._sim.plan.limits
        policy = limits.slow_policies.get(name.partition("://")[0], limits.slow_policy) if name else limits.slow_policy
        return policy is not SlowPolicy.DISCONNECT and self.dropped()

    def dropped(self) -> bool:
        """Whether its comet has dropped anything by a policy."""
        return any(self.comet.metrics.drops.value("comet", reason) for reason in DROPS)

    def _wrong(self, words: str) -> None:
        self._sim.world.fault(f"{self.name} {words}")


DROPS = ("full", "outbox_oldest", "outbox_superseded")


class NewerClient(Client):
    """A device that remembers where it stands in each timeline, and what it has handled."""

    visit_type = NewerVisit

    def __init__(self, sim: "Simulation", *, number: int, keys: list[str], mid: int) -> None:
        super().__init__(sim, number=number, keys=keys, mid=mid)
        self.rooms: set[str] = set()  # where it is, or will be when it comes again
        self.books: dict[str, Book] = {}  # timeline, as clients call it -> what it has of it
        self.sendings: list[Sending] = []  # to be sent again
        self._serial = 0

    def prepare(self) -> None:
        chance, plan = self._chance, self._sim.plan
        if chance.random() < 0.5:
            self.rooms = set(chance.sample(plan.rooms, chance.randint(0, min(len(plan.rooms), plan.limits.rooms))))

    def become_calm(self) -> None:
        super().become_calm()
        self._sim.world.after(2.0, self._ack)

    def pause_seconds(self, visit: Visit) -> float:
        assert isinstance(visit, NewerVisit)
        goodbye = visit.goodbye or {}
        after_ms: int = goodbye.get("retry_after_ms", 0)
        return after_ms / 1000

    def store_late(self) -> None:
        """Sometimes it has not stored the last messages that it has handled."""
        for book in self.books.values():
            if self._chance.random() < FORGETS:
                book.forget(self._chance.randint(1, 3))

    def opened(self, visit: Visit) -> None:
        super().opened(visit)
        assert isinstance(visit, NewerVisit)
        sendings, self.sendings = self.sendings, []
        for sending in sendings:
            visit.say(sending)

    def ended(self, visit: Visit) -> None:
        assert isinstance(visit, NewerVisit)
        for operation, about in visit._asked.values():
            if operation == Operation.SEND and self._chance.random() < 0.8:
                self.sendings.append(about)
        super().ended(visit)

    def _ack(self) -> None:
        if isinstance(self._visit, NewerVisit) and self._visit.opened_at < FOREVER:
            self._visit.ack()
        if not self._resting:
            self._sim.world.after(2.0, self._ack)

    def act(self, visit: Visit, act: str) -> None:
        assert isinstance(visit, NewerVisit)
        chance, plan = self._chance, self._sim.plan
        if act == "room":
            room = chance.choice(plan.rooms)
            if room in visit.leaving or any(operation == Operation.JOIN for operation, _ in visit._asked.values()):
                return
            if room in self.rooms and chance.random() < 0.8:
                self._sim.world.note(visit.name, f"leaves {room}")
                visit.leave(room)
            elif room in self.rooms or len(self.rooms) < plan.limits.rooms:
                self._sim.world.note(visit.name, f"joins {room}")
                visit.join(room)
        elif act == "send":
            self._send(visit)
        elif act == "sub" and chance.random() < 0.5:
            visit.ask(Operation.REFRESH, {"token": "as good as any, for a server that trusts"})
        elif act == "ack":
            visit.ack()
        elif act == "sync":
            followed = sorted(name for name in visit.follows if self.books.get(name) and self.books[name].epoch)
            if followed:
                name = chance.choice(followed)
                visit.sync(name, chance.randint(0, self.books[name].last), chance.choice((1, 100)))
        else:
            super().act(visit, act)

    def _send(self, visit: NewerVisit) -> None:
        chance = self._chance
        self._serial += 1
        rooms = sorted(room for room in self.rooms if room.startswith("chat"))
        to = {"room": chance.choice(rooms)} if rooms and chance.random() < 0.6 else {"mid": str(chance.randint(1, 3))}
        words = f"{self.name}-{self._serial}"
        visit.say(Sending(to, chance.choice(OPERATIONS), f"s{words}", words))

    def sent(self, sending: Sending, body: dict[str, Any]) -> None:
        """Op 5."""
        room = sending.to.get("room", "")
        timeline = f"r:{room}" if room else f"m:{sending.to['mid']}"
        self._sim.back_end.accepted.append(sending.body.encode())
        kept = self._sim.store.truth.now.get(timeline, {}).get(body["seq"])
        if body["seq"] and (kept is None or kept.body != sending.body.encode()) and not self._sim.store.losses:
            self._sim.world.fault(f"{self.name} was told that {sending.body} is {body['seq']} of {timeline}")

    def not_sent(self, sending: Sending, body: dict[str, Any]) -> None:
        """Op 48 to op 4."""
        allowed = {"unavailable", "overloaded", "not_allowed"}
        if body["name"] == "not_allowed" and self._mid and "room" not in sending.to:
            self._sim.world.fault(f"{self.name} may not send: {body}")
        if body["name"] not in allowed and not 30 <= body["code"] <= 38:
            self._sim.world.fault(f"{self.name} could not send: {body}")
        if body["name"] != "not_allowed":
            self.sendings.append(sending)

    def begins(
        self,
        visit: NewerVisit,
        name: str,
        seq: int,
        epoch: str,
        recovered: bool,
        claimed: tuple[int, str] | None,
    ) -> None:
        """It follows a timeline from now on."""
        now, book = self._sim.world.now, self.books.get(name)
        rules = self._sim.plan.rules
        keep = rules.of_room(name, None) if name else rules.of_members(None)
        if bool(epoch) is not bool(keep.messages):
            self._sim.world.fault(f"{visit.name} is told of {name or 'inbox'} the epoch {epoch!r}")
        if not epoch:
            if seq or not recovered:
                self._sim.world.fault(f"{visit.name} is told that {name or 'inbox'}, which is live, is at {seq}")
            return
        if claimed is None or book is None:
            if not recovered:
                self._sim.world.fault(f"{visit.name} asked for nothing of {name or 'inbox'}, and was refused that")
            book = self.books.setdefault(name, Book())
            book.begin(epoch, seq, now)
        elif recovered:
            if claimed[1] != epoch or claimed[0] > seq:
                self._sim.world.fault(f"{visit.name} claimed {claimed}, and was told true of {(seq, epoch)}")
        else:
            self.check_loss(visit, name, *claimed, epoch)
            book.begin(epoch, seq, now)

    def check_loss(self, visit: NewerVisit, name: str, seq: int, claimed: str, epoch: str) -> None:
        """It was told that something is missing: there must be a reason."""
        store = self._sim.store
        timeline = f"r:{name}" if name else f"m:{self._mid}"
        since = self.books[name].began_at - FOUND_SECONDS
        if any(loss > since for loss in store.losses) or timeline in store.truth.forgotten:
            return
        head = store.timelines._state.heads.get(timeline)
        if claimed == epoch and head is not None and seq + 1 < head.first:
            return  # too long ago
        self._sim.world.fault(f"{visit.name} is told that {name or 'inbox'} is lost behind {seq}, and it is not")
