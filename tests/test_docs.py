"""Documentation and code agree."""

import re
import tomllib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from imd.client.backoff import FACTOR, FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS, STEADY_SECONDS
from imd.client.steady_client import ACK_SECONDS
from imd.comet.limits import Limits
from imd.comet.operations_v1 import ROOMS_BURST
from imd.comet.operations_v2 import REFRESHES_BURST, SENDS_BURST, SYNCS_BURST
from imd.config import Role, load
from imd.config.settings import Settings
from imd.errors import CloseReason, by_code
from imd.protocol.ack import decode_ack, encode_ack
from imd.protocol.auth_reply import AuthReply
from imd.protocol.body import (
    MAX_ACCEPTS,
    MAX_DEVICE_BYTES,
    MAX_EPOCH_BYTES,
    MAX_KEY_BYTES,
    MAX_PLATFORM_BYTES,
    MAX_RESUME,
    MAX_ROOM_BYTES,
    MAX_ROOMS,
    decode_auth,
    encode_auth,
)
from imd.protocol.error_body import ErrorBody
from imd.protocol.goodbye import Goodbye
from imd.protocol.membership import Join, JoinReply, Leave, LeaveReply
from imd.protocol.operation import Operation
from imd.protocol.packet import Packet, encode
from imd.protocol.presence_event import PresenceEvent
from imd.protocol.push_header import encode_push
from imd.protocol.refresh import Refresh, RefreshReply
from imd.protocol.send import MAX_CLIENT_ID_BYTES, MIN_OPERATION, SendMessage, SendReply
from imd.protocol.sync import MAX_SYNC_MESSAGES, Sync, SyncReply
from imd.protocol.wire import Wire

ROOT = Path(__file__).resolve().parent.parent
ROLES: tuple[Role, ...] = get_args(Role)
AT_MS = 1_700_000_000_000
PLACES = (("chat://1", 3), ("", 3), ("", 0))
KINDS = {4: SendMessage, 5: SendReply, 6: Goodbye, 8: AuthReply, 32: Join, 33: JoinReply, 34: Leave, 35: LeaveReply} | {
    38: Sync, 39: SyncReply, 44: Refresh, 45: RefreshReply, 46: PresenceEvent, 48: ErrorBody,
}  # fmt: skip


def _recoded(kind: Any) -> Callable[[bytes], bytes]:
    """Reads a body of version 2 and writes what was read."""
    return lambda body: kind.decode(body).encode()


BODIES: dict[int, Callable[[bytes], bytes]] = {number: _recoded(kind) for number, kind in KINDS.items()} | {
    7: lambda body: encode_auth(decode_auth(body, 2)),
    36: lambda body: encode_ack(decode_ack(body)),
}


class EtcTests(SynchronousTestCase):
    """etc/*.toml hold every key with its default."""

    def test_the_files_are_the_defaults(self) -> None:
        """Starting with a file from etc/ is starting without one."""
        for role in ROLES:
            with self.subTest(role=role):
                self.assertEqual(load(role, ROOT / "etc" / f"{role}.toml"), load(role))

    def test_every_key_of_a_section_is_there(self) -> None:
        """A file that has a section has all of it; imd.toml has every section."""
        kinds = {field.name: field.type for field in msgspec.structs.fields(Settings)}
        self.assertEqual(set(tomllib.loads((ROOT / "etc/imd.toml").read_text())), set(kinds))
        for role in ROLES:
            for section, keys in tomllib.loads((ROOT / "etc" / f"{role}.toml").read_text()).items():
                kind = kinds[section]
                if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                    with self.subTest(role=role, section=section):
                        self.assertEqual(set(keys), set(kind.__struct_fields__))

    def test_every_key_is_explained(self) -> None:
        """Each key, or the run of keys it stands in, has a comment above."""
        for role in ROLES:
            lines = (ROOT / "etc" / f"{role}.toml").read_text().splitlines()
            for above, line in pairwise(lines):
                if above.startswith("[") and re.match(r"[a-z_]+ = ", line):
                    self.fail(f"etc/{role}.toml: {above} {line}: no comment")

    def test_the_same_key_says_the_same_in_every_file(self) -> None:
        """A comment that changes in one file changes in all."""
        whole = set((ROOT / "etc/imd.toml").read_text().splitlines())
        for role in ROLES:
            for line in (ROOT / "etc" / f"{role}.toml").read_text().splitlines()[1:]:
                if line.startswith("#"):
                    self.assertIn(line, whole, f"etc/{role}.toml")


class ProtocolPageTests(SynchronousTestCase):
    """docs/protocol.md is the wire that the code speaks."""

    def setUp(self) -> None:
        self.page = (ROOT / "docs/protocol.md").read_text()

    def rows(self, heading: str) -> list[list[str]]:
        """The cells of the table below a heading."""
        section = self.page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
        lines = [line for line in section.splitlines() if line.startswith("|")]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]

    def test_operations(self) -> None:
        """Every operation has its row, under its name."""
        named = {row[0]: row[1].replace(" ", "_").upper() for row in self.rows("Operations") if row[0].isdigit()}
        self.assertEqual(named, {str(operation.value): operation.name for operation in Operation})

    def test_close_reasons(self) -> None:
        """Every reason has its row: code, name, redial."""
        named = {(row[0], row[1], row[2]) for row in self.rows("How a connection ends")}
        ours = {(str(reason.code), reason.label, "yes" if reason.redial else "no") for reason in CloseReason}
        self.assertEqual(named, ours)

    def test_limits(self) -> None:
        """The figures of op 7's table are the code's."""
        for figure in (MAX_KEY_BYTES, MAX_ROOM_BYTES, MAX_PLATFORM_BYTES):
            self.assertIn(f"at most {figure} bytes", self.page)
        self.assertIn(f"at most {MAX_ACCEPTS} int32s", self.page)

    def test_golden_bytes(self) -> None:
        """The codec makes exactly the bytes of the page."""
        push = encode(Packet(1000, b"hi"))
        made = [
            encode(Packet(Operation.HEARTBEAT, sequence=1)),
            encode(Packet(Operation.HEARTBEAT_REPLY, b"\0\0\0\5", 1)),
            encode(Packet(Operation.AUTH_REPLY, sequence=1)),
            encode(Packet(Operation.CHANGE_ROOM, b"a", 2)),
            encode(Packet(Operation.CHANGE_ROOM_REPLY, b"a", 2)),
            push,
            Wire(push).frame,
            Wire(push + push).frame,
            *(encode_push(1000, b"hi", id=7, seq=seq, at_ms=AT_MS, timeline=name) for name, seq in PLACES),
            Wire(encode_push(1000, b"hi", id=7, seq=3, at_ms=AT_MS, timeline="")).frame,
            encode(Packet(Operation.ACK, encode_ack({"": 3}), version=2)),
        ]
        blocks = re.findall(r"```golden\n(.*?)```", self.page, re.DOTALL)
        lines = [line for block in blocks for line in block.splitlines()]
        self.assertEqual([bytes.fromhex(line[35:]).hex(" ") for line in lines], [data.hex(" ") for data in made])

    def test_bodies(self) -> None:
        """Every example of a body is read by the codec, which writes the same; and every JSON operation has one."""
        blocks = re.findall(r"```bodies\n(.*?)```", self.page, re.DOTALL)
        examples = [line.split(" ", 1) for block in blocks for line in block.splitlines()]
        for number, text in examples:
            with self.subTest(body=text):
                self.assertEqual(BODIES[int(number)](text.encode()).decode(), text)
        self.assertEqual({int(number) for number, _ in examples}, set(BODIES))
        named = {int(row[0]) for row in self.rows("Operations") if row[0].isdigit() and row[3] == "JSON"}
        self.assertEqual(set(BODIES), named | {Operation.SEND, Operation.AUTH_REPLY})  # of version 1 they are not

    def test_errors(self) -> None:
        """The names of op 48 are those of their codes."""
        errors = self.page.partition("### Errors: 48")[2].partition("### Goodbye")[0]
        rows = re.findall(r"^\| (\d+) \| (\w+) \|", errors, re.MULTILINE)
        self.assertEqual(len(rows), 8)
        self.assertEqual(rows, [(code, by_code(int(code)).name) for code, _ in rows])

    def test_limits_of_version_2(self) -> None:
        """The figures of its tables are the code's."""
        table = self.page.partition("### Limits of version 2")[2].partition("\n## ")[0]
        for figure in (
            f"beside `room_id` | {MAX_ROOMS},",
            f"one op 36 | {MAX_RESUME} ",
            f"an epoch | {MAX_EPOCH_BYTES} bytes",
            f"a room id | {MAX_ROOM_BYTES} bytes",
            f"`client_id` | {MAX_CLIENT_ID_BYTES} bytes",
            f"one op 38 | {MAX_SYNC_MESSAGES} ",
            f"op 12: {ROOMS_BURST} at once",
            f"op 4 | {SENDS_BURST} at once",
        ):
            self.assertIn(figure, table)
        self.assertEqual(
            (MAX_DEVICE_BYTES, SYNCS_BURST, REFRESHES_BURST), (MAX_CLIENT_ID_BYTES, ROOMS_BURST, ROOMS_BURST)
        )
        self.assertIn(f"int32, {MIN_OPERATION} and up", self.page)
        limits = Limits()
        for burst, rate in ((ROOMS_BURST, 10), (SENDS_BURST, 25)):
            self.assertEqual(limits.packets_per_second / (limits.packets_burst / burst), rate)

    def test_what_a_client_must_do(self) -> None:
        """The page asks of others what the Python client does."""
        rules = self.page.partition("### What a client must do")[2].partition("### Handshake")[0]
        self.assertIn(f"{ACK_SECONDS * 1000:.0f} ms", rules)
        delays = [FIRST_DELAY_SECONDS * FACTOR**tries for tries in range(3)]
        self.assertIn("part of {:g} s, then {:g} s, {:g} s".format(*delays), rules)
        self.assertIn(f"up to {MAX_DELAY_SECONDS:g} s", rules)
        self.assertIn(f"for {STEADY_SECONDS:g} s", rules)
