"""packet.js, in a real browser: the wire as docs/protocol.md has it, byte by byte."""

from typing import Any

from twisted.internet.defer import Deferred

from imd.protocol.packet import Packet, encode
from tests.support.chromium import ChromiumError
from tests.web.page_case import PageCase, drive

LOAD = """
  const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const unhex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  const plain = (packets) => packets.map((packet) => ({...packet, body: hex(packet.body)}));
"""
HEARTBEAT = "00000010001000010000000200000001"
CHANGE_ROOM = "00000011001000010000000c0000000261"
HI = "0000001200100001000003e8000000006869"
TWO = "00000034001000010000000900000000" + HI * 2


class PacketTests(PageCase):
    async def script(self, body: str) -> Any:
        """What a script answers that has the module's names."""
        tab = await self.open(self.serve())
        return await tab.evaluate(f"import('/web/packet.js').then((m) => {{ {LOAD} {body} }})")

    def test_golden_bytes(self) -> Deferred[None]:
        """Packets are the golden bytes, both ways; text goes in UTF-8."""

        async def run() -> None:
            made = await self.script(
                """return [
                  m.encode({operation: 2, sequence: 1}),
                  m.encode({operation: 12, sequence: 2, body: "a"}),
                  m.encode({operation: 1000, body: new Uint8Array([0x68, 0x69])}),
                  m.encode({operation: -1, sequence: 2147483647, version: -2, body: "你"}),
                ].map(hex)"""
            )
            odd = encode(Packet(-1, "你".encode(), 2**31 - 1, -2)).hex()
            self.assertEqual(made, [HEARTBEAT, CHANGE_ROOM, HI, odd])

        return drive(run())

    def test_unpack(self) -> Deferred[None]:
        """A raw message is its packets, pushed; any other is one packet, a reply; a longer header is skipped."""

        async def run() -> None:
            longer = "00000014" + "0012" + "0002" + "000003e8" + "00000005" + "ffff" + "6869"
            raw, bare, skipped = await self.script(
                f"""return ["{TWO}", "{HEARTBEAT}", "{longer}"].map((text) => {{
                  const [pushed, packets] = m.unpack(unhex(text));
                  return [pushed, plain(packets)];
                }})"""
            )
            hi = {"version": 1, "operation": 1000, "sequence": 0, "body": "6869"}
            self.assertEqual(raw, [True, [hi, hi]])
            self.assertEqual(bare, [False, [{"version": 1, "operation": 2, "sequence": 1, "body": ""}]])
            self.assertEqual(skipped, [False, [{"version": 2, "operation": 1000, "sequence": 5, "body": "6869"}]])

        return drive(run())

    def test_cut_anywhere(self) -> Deferred[None]:
        """Bytes that are cut, too many or lying are a RangeError at every cut, never a packet of neighbours."""

        async def run() -> None:
            kinds = await self.script(
                f"""const whole = unhex("{TWO}");
                const lies = ["0000000f", "ffffffff", "7fffffff", "00000000"].map((length) => unhex(length + "{TWO}".slice(8)));
                for (const header of ["0000", "7fff"]) lies.push(unhex("{HI}".slice(0, 8) + header + "{HI}".slice(12)));
                const inner = unhex("{TWO}"); inner[19] = 0x7f; lies.push(inner);
                const cuts = Array.from(whole.keys()).slice(1).map((cut) => whole.slice(0, cut));
                return [...cuts, ...lies].map((bytes) => {{
                  try {{ m.unpack(bytes); return "taken"; }} catch (error) {{ return error.name; }}
                }})"""
            )
            self.assertEqual(set(kinds), {"RangeError"})
            self.assertEqual(len(kinds), len(TWO) // 2 - 1 + 7)

        return drive(run())

    def test_views(self) -> Deferred[None]:
        """A part of a larger buffer is read as that part."""

        async def run() -> None:
            self.assertEqual(
                await self.script(
                    f'const part = unhex("ffff{HI}").subarray(2); return m.textOf(m.unpack(part)[1][0].body)'
                ),
                "hi",
            )

        return drive(run())

    def test_bodies(self) -> Deferred[None]:
        """Text is UTF-8 or null, a number four bytes or null."""

        async def run() -> None:
            self.assertEqual(
                await self.script(
                    """return [m.textOf(unhex("e4bda0")), m.textOf(unhex("ff")), m.textOf(unhex("")),
                      m.int32Of(unhex("00000005")), m.int32Of(unhex("ffffffff")), m.int32Of(unhex("05"))]"""
                ),
                ["你", None, "", 5, -1, None],
            )

        return drive(run())

    def test_errors_show(self) -> Deferred[None]:
        """A script that fails in the browser fails its test."""

        async def run() -> None:
            with self.assertRaises(ChromiumError):
                await self.script("throw new Error('no')")

        return drive(run())
