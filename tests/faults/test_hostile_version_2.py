"""Clients of version 2 that mean harm, or lie, against a running `twistd imd`. A bystander must notice nothing."""

import json
import struct
import time
from collections.abc import Iterator
from random import Random
from typing import Any, ClassVar

from imd.protocol.body import MAX_RESUME, MAX_ROOMS
from imd.protocol.operation import Operation as Op
from imd.protocol.packet import HEADER_BYTES, Packet, decode_message, encode
from imd.protocol.push_header import decode_push_header
from tests.faults.imd_process import eventually
from tests.faults.plain_client import PlainClient
from tests.faults.test_hostile_clients import HostileClientCase

LAST = 2**63 - 1  # the highest seq that there could be
REQUESTS = (Op.SEND, Op.JOIN, Op.LEAVE, Op.ACK, Op.SYNC, Op.REFRESH)
NO_SEQS = ("-1", "9223372036854775808", "1e3", "1.5", "NaN", "1e999", '"1"', "true", "[]", "{}", "[[[[]]]]")
ROOMS = (
    'rooms.chat={keep=true, count=20000, send="members"}',
    'rooms.club={keep=true, join="members", send="joined", presence_events=true}',
)


class NewerClient(PlainClient):
    """Speaks version 2 over TCP, and whatever else it is told to."""

    def read(self) -> Packet:
        head = self._exactly(HEADER_BYTES)
        size = struct.unpack(">i", head[:4])[0] - HEADER_BYTES
        return decode_message(head + self._exactly(size), 1 << 26, extensions=True)

    def tell(self, operation: int, body: bytes | dict[str, Any] = b"", sequence: int = 1) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send(operation, data, sequence, version=2)

    def ask(self, operation: int, body: bytes | dict[str, Any] = b"") -> tuple[int, Any]:
        """(operation, JSON) of the answer; pushes before it are skipped."""
        self.tell(operation, body, sequence=77)
        while (packet := self.read()).sequence != 77 and packet.operation != Op.GOODBYE:
            pass
        return packet.operation, json.loads(packet.body or b"null")

    def refusal(self, operation: int, body: bytes | dict[str, Any] = b"") -> str:
        """The name of the error that answers it."""
        answer, error = self.ask(operation, body)
        assert answer == Op.ERROR, (answer, error)
        return str(error["name"])

    def pushes(self, count: int) -> Iterator[tuple[str, int]]:
        """(timeline, seq) of the next ones."""
        for _ in range(count):
            header = decode_push_header(self.read().extension)
            yield header.timeline, header.seq

    def goodbye(self) -> dict[str, Any]:
        """The last word before the connection ends."""
        last = None
        try:
            while True:
                last = self.read()
        except (EOFError, ConnectionError):
            assert last is not None and last.operation == Op.GOODBYE, last
            return dict(json.loads(last.body))


class NewerCase(HostileClientCase):
    """Rooms of kept types, and larger packets than usual, so that limits of number are met first."""

    SETTINGS: ClassVar[tuple[str, ...]] = (*ROOMS, "comet.max_body_bytes=65536")

    def newer(self, receive_buffer: int = 0, **auth: Any) -> tuple[NewerClient, dict[str, Any]]:
        """A client, and what op 8 said."""
        client = self.unknown(receive_buffer)
        operation, reply = client.ask(Op.AUTH, auth)
        self.assertEqual(operation, Op.AUTH_REPLY, reply)
        return client, reply

    def unknown(self, receive_buffer: int = 0) -> NewerClient:
        """It has not said who it is."""
        client = NewerClient(self.imd.ports["tcp"], receive_buffer=receive_buffer)
        self.addCleanup(client.close)
        return client

    def keep(self, room: str, count: int = 1, size: int = 10) -> None:
        """Messages in the room's timeline."""
        push = {"to": {"room": room}, "op": 1000, "body": "x" * size}
        for start in range(0, count, 1000):
            status, answer = self.imd.post("/v1/push", json.dumps([push] * min(1000, count - start)).encode())
            self.assertEqual(status, 200, answer)

    def epochs(self) -> float:
        """How often all clients of some timelines were made to reload."""
        return self.imd.metric("imd_timeline_epochs_total")


class NewerHandshakeTests(NewerCase):
    def test_wrong_kinds(self) -> None:
        """Each is told bad_body, and that it is no use to come again."""
        kinds: list[bytes] = [b"", b"[]", b"\xff", b"[" * 60_000, b'{"a":' * 10_000, b'{"rooms":"\\ud800"}']
        for field, values in {
            "rooms": ("1", '"x"', "{}", "[1]", "[null]", '[""]', json.dumps(["r" * 256]), "[" * 3000 + "]" * 3000),
            "device": ("1", "[]", json.dumps("d" * 129)),
            "mid": ("1.0", '"x"', '""', '"9223372036854775808"', "9" * 5000, '"-"', '"1_0"'),
            "resume": (
                *("[]", '"x"', "1", '{"a":1}', '{"a":[]}', '{"a":{"epoch":1}}'),
                *(f'{{"a":{{"seq":{seq}}}}}' for seq in NO_SEQS),
                json.dumps({"a": {"epoch": "e" * 65}}),
                json.dumps({"a" * 256: {}}),
                json.dumps({f"chat://{number}": {} for number in range(MAX_RESUME + 1)}),
            ),
        }.items():
            kinds += [f'{{"{field}":{value}}}'.encode() for value in values]
        kinds.append(json.dumps({"rooms": [f"chat://{number}" for number in range(MAX_ROOMS + 1)]}).encode())
        for body in kinds:
            client = self.unknown()
            client.tell(Op.AUTH, body)
            goodbye = client.goodbye()
            self.assertEqual((goodbye["reason"], goodbye["reconnect"]), ("bad_body", False), body[:60])

    def test_lies_about_where_it_stands(self) -> None:
        """As many as there may be: none is believed, and nobody else's numbering suffers."""
        self.keep("chat://0", 3)
        follower, before = self.newer(rooms=["chat://0"])
        epoch, epochs = before["timelines"]["chat://0"]["epoch"], self.epochs()
        names = [f"chat://{number}" for number in range(MAX_ROOMS)]
        for claimed in ("", "e", epoch, "\0", "é" * 32):
            resume = {name: {"seq": LAST, "epoch": claimed} for name in ("", *names)}
            _, reply = self.newer(mid=5, rooms=names, resume=resume)
            self.assertEqual(set(reply["timelines"]), {"", *names})
            self.assertEqual({each["recovered"] for each in reply["timelines"].values()}, {False})
        liar, _ = self.newer()
        for after in (4, LAST):
            operation, reply = liar.ask(Op.JOIN, {"room": "chat://0", "after": after, "epoch": epoch})
            self.assertEqual((operation, reply["recovered"], reply["seq"]), (Op.JOIN_REPLY, False, 3))
            _, reply = liar.ask(Op.SYNC, {"timeline": "chat://0", "after": after, "epoch": epoch, "limit": 1000})
            self.assertEqual((reply["recovered"], reply["more"]), (False, False))
        self.assertEqual(self.epochs(), epochs)
        self.keep("chat://0")
        self.assertEqual(list(follower.pushes(1)), [("chat://0", 4)])

    def test_rooms_that_it_may_not_join(self) -> None:
        """One of a hundred, anonymous: it is sent away, and is in none of them."""
        client = self.unknown()
        client.tell(Op.AUTH, {"rooms": ["chat://a", "club://x", "chat://b"]})
        self.assertEqual(client.goodbye()["reason"], "room_refused")
        eventually(lambda: self.imd.metric("imd_rooms") == 1)

    def test_gone_during_its_handshake(self) -> None:
        """With a hundred rooms to be looked up, again and again: nothing of it stays."""
        rooms = [f"chat://gone-{number}" for number in range(MAX_ROOMS)]
        for number in range(60):
            client = self.unknown()
            client.tell(Op.AUTH, {"mid": 1, "key": f"gone-{number % 7}", "rooms": rooms})
            time.sleep(number / 2000)
            client.reset()
        eventually(lambda: self.imd.metric("imd_channels") == 1 and self.imd.metric("imd_rooms") == 1)


class NewerOpenSessionTests(NewerCase):
    def test_wrong_kinds(self) -> None:
        """Bodies that are none end the connection with bad_body."""
        cases: dict[int, list[bytes]] = {operation: [b"", b"[]", b"\xff", b"[" * 9000] for operation in REQUESTS}
        cases[Op.JOIN] += [b'{"room":"chat://1","after":%s}' % seq.encode() for seq in NO_SEQS]
        cases[Op.JOIN] += [b"{}", b'{"room":""}', b'{"room":1}', json.dumps({"room": "r" * 256}).encode()]
        cases[Op.LEAVE] += [b"{}", b'{"room":""}', b'{"room":[]}']
        cases[Op.ACK] += [b'{"":%s}' % seq.encode() for seq in NO_SEQS]
        cases[Op.ACK] += [json.dumps({f"chat://{number}": 1 for number in range(3000)}).encode()]
        cases[Op.SYNC] += [b'{"timeline":"","after":%s}' % seq.encode() for seq in NO_SEQS]
        cases[Op.SYNC] += [
            b'{"timeline":"","after":0,"limit":%s}' % limit for limit in (b"0", b"-1", b"1001", b"2147483648", b"1e9")
        ]
        wrong_sends: list[dict[str, Any]] = [
            *({"to": {}}, {"to": {"room": "a", "mid": 1}}, {"to": {"mid": 0}}, {"to": {"mid": 2**63}}, {"to": []}),
            *({"op": 8}, {"op": 999}, {"op": 2**31}, {"op": -1}, {"op": 1000.5}, {"op": True}),
            *({"body": 1}, {"body": None}, {"body_base64": "eA=="}, {"body": None, "body_base64": "?"}),
            *({"client_id": "c" * 129}, {"client_id": 1}),
        ]
        good = {"to": {"room": "chat://1"}, "op": 1000, "body": "x"}
        cases[Op.SEND] += [json.dumps({**good, **wrong}).encode() for wrong in wrong_sends]
        cases[Op.REFRESH] += [b"{}", b'{"token":1}', b'{"token":[]}']
        for operation, bodies in cases.items():
            for body in bodies:
                client, _ = self.newer(mid=9)
                client.tell(operation, body)
                self.assertEqual(client.goodbye()["reason"], "bad_body", (operation, body[:60]))

    def test_what_it_does_not_follow(self) -> None:
        """Is neither read nor acked, nor is an inbox of nobody; the connection stays."""
        self.keep("chat://secret", 2)
        client, _ = self.newer(rooms=["live://1"])
        for timeline in ("chat://secret", "live://1", "", "m:1", "r:chat://secret", "club://x"):
            sync = {"timeline": timeline, "after": 0, "limit": 1000}
            self.assertEqual(client.refusal(Op.SYNC, sync), "not_allowed", timeline)
        before = self.imd.metric("imd_acks_total", outcome="unfollowed")
        client.tell(Op.ACK, {"chat://secret": 2, "": 1, "live://1": 0})
        eventually(lambda: self.imd.metric("imd_acks_total", outcome="unfollowed") == before + 3)
        self.assertEqual(client.ask(Op.LEAVE, {"room": "chat://secret"})[0], Op.LEAVE_REPLY)

    def test_acks_of_what_it_did_not_get(self) -> None:
        """Move nothing."""
        client, _ = self.newer(mid=8, rooms=["chat://acked"])
        self.keep("chat://acked", 2)
        list(client.pushes(2))
        before = self.imd.metric("imd_acks_total", outcome="beyond")
        for seq in (3, 2**31, LAST):
            client.tell(Op.ACK, {"chat://acked": seq, "": seq})
        eventually(lambda: self.imd.metric("imd_acks_total", outcome="beyond") == before + 6)

    def test_sends_that_are_not_allowed(self) -> None:
        """By its room, by whom it is for, by who it is; each is told, and nothing comes of it."""
        member, _ = self.newer(mid=11, rooms=["chat://talk", "live://talk"])
        nobody, _ = self.newer(rooms=["chat://talk"])
        talk = {"op": 1000, "body": "x"}
        for client, to in (
            (member, {"room": "live://talk"}),  # nobody sends to its type
            (member, {"room": "club://talk"}),  # it is not in
            (member, {"mid": 11}),
            (member, {"mid": "9223372036854775807"}),
            (nobody, {"room": "chat://talk"}),
        ):
            self.assertEqual(client.refusal(Op.SEND, {"to": to, **talk}), "not_allowed", to)
        self.assertEqual(nobody.refusal(Op.JOIN, {"room": "club://talk"}), "not_allowed")
        answer, reply = member.ask(Op.SEND, {"to": {"room": "chat://talk"}, **talk})
        self.assertEqual((answer, reply["seq"]), (Op.SEND_REPLY, 1))

    def test_one_client_id_for_many(self) -> None:
        """The same message is stored once, another is refused; another member's id is another one."""
        one, _ = self.newer(mid=12)
        two, _ = self.newer(mid=13)
        message = {"to": {"room": "chat://once"}, "op": 1000, "body": "x", "client_id": "\0 é"}
        first = one.ask(Op.SEND, message)
        self.assertEqual([one.ask(Op.SEND, message) for _ in range(5)], [first] * 5)
        self.assertEqual(one.refusal(Op.SEND, {**message, "body": "y"}), "idempotency_conflict")
        self.assertEqual(two.ask(Op.SEND, {**message, "body": "y"})[1]["seq"], 2)

    def test_floods(self) -> None:
        """What is dear is refused in words at first; whoever goes on like that is let go."""
        for operation, body in (
            (Op.SYNC, {"timeline": "chat://flood", "after": 0, "limit": 1000}),
            (Op.SEND, {"to": {"room": "chat://flood"}, "op": 1000, "body": "x"}),
            (Op.REFRESH, {"token": "garbage"}),
            (Op.JOIN, {"room": "chat://flood", "after": 0, "epoch": "e"}),
            (Op.LEAVE, {"room": "chat://flood"}),
            (Op.ACK, {"chat://flood": 0}),
            (1000, {"for": "the hook"}),
        ):
            client, _ = self.newer(mid=14, rooms=["chat://flood"])
            packet = encode(Packet(operation, json.dumps(body).encode(), 1, 2))
            try:
                client.stream.sendall(packet * 3000)
            except ConnectionError:
                continue
            self.assertEqual(client.goodbye()["reason"], "rate_limited", operation)

    def test_storm_of_joins(self) -> None:
        """Rooms that nobody is in, each with a timeline of its own: bounded by the rate, refused in words, gone soon after."""
        refused = 0
        for number in range(10):
            client, _ = self.newer()
            for room in range(60):
                operation, error = client.ask(Op.JOIN, {"room": f"chat://storm-{number}-{room}"})
                refused += operation == Op.ERROR
                if operation == Op.ERROR:
                    self.assertEqual(error["name"], "overloaded")
                    self.assertGreater(error["retry_after_ms"], 0)
            client.reset()
        self.assertGreater(refused, 10 * 30)
        eventually(lambda: self.imd.metric("imd_rooms") == 1)

    def test_more_rooms_than_allowed(self) -> None:
        """Is refused; those that it has stay."""
        client, _ = self.newer(rooms=[f"live://many-{number}" for number in range(MAX_ROOMS)])
        self.assertEqual(client.refusal(Op.JOIN, {"room": "live://one-more"}), "too_many")
        self.assertEqual(client.ask(Op.JOIN, {"room": "live://many-0"})[0], Op.JOIN_REPLY)

    def test_operations_of_version_1(self) -> None:
        """Ops 12, 14 and 16 between its own ones: one room, another accept set, and every kept message once."""
        client, _ = self.newer(mid=15, rooms=["chat://a", "chat://b"])
        for operation, body in (
            (Op.SUB, b"1000"),
            (Op.UNSUB, b"1000"),
            (Op.SUB, b"1001"),
            (Op.CHANGE_ROOM, b"chat://b"),
        ):
            client.tell(operation, body, sequence=5)
            self.assertEqual(client.read(), Packet(operation + 1, body, 5, 2))
        self.keep("chat://a")
        self.keep("chat://b", 2)
        self.assertEqual(list(client.pushes(2)), [("chat://b", 1), ("chat://b", 2)])
        self.assertEqual(client.refusal(Op.SYNC, {"timeline": "chat://a", "after": 0}), "not_allowed")
        client.tell(Op.CHANGE_ROOM, b"chat://a")
        self.assertEqual(client.read().operation, Op.CHANGE_ROOM_REPLY)
        client.tell(Op.CHANGE_ROOM, b"\xff")
        self.assertEqual(client.goodbye()["reason"], "bad_body")

    def test_a_version_1_client_with_newer_operations(self) -> None:
        """They are its application's, as in goim: an echo without a body, and nothing else happens."""
        self.keep("chat://old", 3)
        client = self.client(key="old", room_id="chat://old", accepts=[1000])
        for operation in range(32, 49):
            client.send(operation, b'{"room":"chat://x","timeline":"chat://old","after":0,"token":"x"}', operation)
            self.assertEqual(client.read(), Packet(operation, b"", operation))
        self.keep("chat://old")
        self.assertEqual(client.read(), Packet(1000, b"x" * 10))

    def test_other_versions(self) -> None:
        """A packet's version beyond op 7's changes nothing but the reply's."""
        client, _ = self.newer()
        for version in (0, 1, 3, -1, 32767):
            client.send(Op.HEARTBEAT, b"", 3, version)
            packet = client.read()
            self.assertEqual((packet.operation, packet.version), (Op.HEARTBEAT_REPLY, version))

    def test_random_requests(self) -> None:
        """Thousands of bodies that are nearly good: each connection stays, or ends for a reason of the client's."""
        random = Random(20)
        atoms: list[Any] = [
            "",
            "chat://1",
            "x" * 300,
            0,
            1,
            -1,
            LAST,
            2**63,
            1.5,
            None,
            True,
            [],
            {},
            [1],
            {"room": "a"},
        ]
        names = ("room", "after", "epoch", "timeline", "limit", "to", "op", "body", "client_id", "token", "")
        reasons = set()
        for _ in range(150):
            client, _ = self.newer(mid=random.choice([0, 1]), rooms=["chat://1"])
            for _ in range(12):
                body = {random.choice(names): random.choice(atoms) for _ in range(random.randrange(5))}
                if random.random() < 0.5:
                    body = {"room": "chat://1", "timeline": "chat://1", "after": 0, "token": "", **body}
                client.tell(random.choice((*REQUESTS, *range(30, 50), -1, 0, 2**31 - 1)), body)
            client.tell(Op.GOODBYE, b"[")
            client.tell(Op.JOIN, b"[")
            reasons.add(client.goodbye()["reason"])
        self.assertLessEqual(reasons, {"bad_body", "rate_limited"})


class NewerCatchUpTests(NewerCase):
    SETTINGS: ClassVar[tuple[str, ...]] = (*ROOMS, "logic.max_request_bytes=4194304")

    def test_whoever_does_not_read(self) -> None:
        """Clients that lack 10,000 messages each and never read cost no more than a page; whoever reads then has them all, in
        order, and live ones after them. Some vanish in between."""
        self.keep("chat://long", 10_000, 1000)
        first, reply = self.newer(rooms=["chat://long"])
        first.close()
        epoch = reply["timelines"]["chat://long"]["epoch"]
        resume = {"rooms": ["chat://long"], "resume": {"chat://long": {"seq": 0, "epoch": epoch}}}
        before = self.imd.rss_kb
        clients = [self.newer(4096, **resume)[0] for _ in range(60)]
        self.keep("chat://long", 1000, 1000)
        time.sleep(1)
        self.assertLess(self.imd.rss_kb - before, 60 * 400)
        self.assertEqual(self.imd.metric("imd_outbox_bytes"), 0)
        for client in clients[2:]:
            client.reset()
        for client in clients[:2]:
            self.assertEqual(list(client.pushes(11_000)), [("chat://long", seq) for seq in range(1, 11_001)])
        self.keep("chat://long")
        for client in clients[:2]:
            self.assertEqual(list(client.pushes(1)), [("chat://long", 11_001)])
        eventually(lambda: self.imd.metric("imd_channels") == 3)

    def test_requests_that_wait_for_its_own_outbox(self) -> None:
        """Syncs of a client that does not read wait, a few of them; it ends for asking on, and not with our memory."""
        self.keep("chat://sync", 2000, 1000)
        client, reply = self.newer(4096, rooms=["chat://sync"])
        epoch = reply["timelines"]["chat://sync"]["epoch"]
        before = self.imd.rss_kb
        for _ in range(150):
            client.tell(Op.SYNC, {"timeline": "chat://sync", "after": 0, "limit": 1000, "epoch": epoch})
        self.assertEqual(client.goodbye()["reason"], "rate_limited")
        self.assertLess(self.imd.rss_kb - before, 20_000)


class ResumeStormTests(NewerCase):
    SETTINGS: ClassVar[tuple[str, ...]] = (*ROOMS, "comet.resumes_per_second=5", "comet.resume_burst=10")

    def test_past_the_rate(self) -> None:
        """Most are sent away, each with a time that grows with their number; who follows nothing comes in."""
        clients = [self.unknown() for _ in range(100)]
        for number, client in enumerate(clients):
            client.tell(Op.AUTH, {"mid": 1 + number, "rooms": ["chat://1"]})
        answers = [client.read() for client in clients]
        away = [json.loads(answer.body) for answer in answers if answer.operation == Op.GOODBYE]
        self.assertGreater(len(away), 70)
        self.assertEqual({(each["reason"], each["reconnect"]) for each in away}, {("resume_limited", True)})
        self.assertGreater(max(each["retry_after_ms"] for each in away), 10_000)
        self.newer(rooms=["live://1"])
        self.client(key="old", mid=7, room_id="chat://1")


class NewerHttpTests(NewerCase):
    def test_messages_that_are_none(self) -> None:
        """Ids that cannot be are refused in words, unknown ones are not found."""
        for id in (
            "x",
            "-1",
            "1.5",
            "1e3",
            "0x1",
            "%00",
            "%FF",
            "..%2F..",
            "9" * 19,
            "9" * 4000,
            "%1b[31m",
            "1%0a",
            "٣",
        ):
            status, answer = self.imd.get("/v1/messages/" + id.encode("ascii", "ignore").decode() or "x")
            self.assertIn(status, (400, 404, 414), id)
            self.assertNotIn(b"\x1b", answer)
        self.assertEqual(self.imd.get(f"/v1/messages/{LAST}")[0], 404)
        self.assertEqual(self.imd.get("/v1/messages/0/x")[0], 404)
        self.assertEqual(self.imd.get("/v1/messages/")[0], 400)

    def test_fields_of_wrong_kinds(self) -> None:
        """keep and trace are booleans, and keep is refused where nothing is kept."""
        push = {"to": {"room": "chat://http"}, "op": 1000, "body": "x"}
        for field in ("keep", "trace"):
            values: list[Any] = [1, "true", [], {}, 1.5, *([None] if field == "trace" else [])]
            for value in values:
                status, answer = self.imd.post("/v1/push", json.dumps({**push, field: value}).encode())
                self.assertEqual((status, json.loads(answer)["error"]["name"]), (400, "bad_request"), (field, value))
        for to in ({"keys": ["k"]}, {"all": True}, {"room": "live://1"}):
            self.assertEqual(self.imd.post("/v1/push", json.dumps({**push, "to": to, "keep": True}).encode())[0], 400)

    def test_traceparents_that_are_none(self) -> None:
        """The push is taken as if there were none."""
        body = json.dumps({"to": {"room": "chat://http"}, "op": 1000, "body": "x"}).encode()
        good = f"00-{'a' * 32}-{'b' * 16}-01"
        for parent in (
            *(
                "",
                "x",
                "00",
                good[:-1],
                good + "-",
                good + "x",
                f"ff{good[2:]}",
                good.upper(),
                f"01{good[2:]}-{'x' * 300}",
            ),
            *(f"00-{'0' * 32}-{'b' * 16}-01", f"00-{'a' * 32}-{'0' * 16}-01", "-" * 60_000, "\xff" * 55),
        ):
            status, answer = self.imd.post("/v1/push", body, {"traceparent": parent})
            self.assertIn(status, (200, 400, 431), parent[:60])
            if status == 200:
                self.assertEqual(self.imd.get(f"/v1/messages/{json.loads(answer)['id']}")[0], 404, parent[:60])
