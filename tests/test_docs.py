"""Documentation and code agree."""

import re
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import get_args

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from imd.config import Role, load
from imd.config.settings import Settings
from imd.errors import CloseReason
from imd.protocol.body import MAX_ACCEPTS, MAX_KEY_BYTES, MAX_PLATFORM_BYTES, MAX_ROOM_BYTES
from imd.protocol.operation import Operation
from imd.protocol.packet import Packet, encode
from imd.protocol.wire import Wire

ROOT = Path(__file__).resolve().parent.parent
ROLES: tuple[Role, ...] = get_args(Role)


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
        ]
        blocks = re.findall(r"```golden\n(.*?)```", self.page, re.DOTALL)
        lines = [line for block in blocks for line in block.splitlines()]
        self.assertEqual([bytes.fromhex(line[35:]) for line in lines], made)
