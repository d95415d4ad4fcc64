"""RPC bodies: every struct there and back, its positions, garbage."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.protocol import rpc
from imd.protocol.timeline import Message, Place
from imd.protocol.trace import Hop, Step

EXAMPLES: dict[rpc.Value, list[object]] = {
    rpc.Connect("s", 1, "k", 2, "t://r", "web", (3,), "jwt", "::1"): ["s", 1, "k", 2, "t://r", "web", [3], "jwt", "::1"],
    rpc.Connected("k", 2, "t://r", (3,)): ["k", 2, "t://r", [3]],
    rpc.Disconnect("s", 1, "k", 2): ["s", 1, "k", 2],
    rpc.Done(): [],
    rpc.Renew("s", 1, (("k", 2),), (("t://r", 3),)): ["s", 1, [["k", 2]], [["t://r", 3]]],
    rpc.Renewed(True, ("k",), (("t://r", 3),)): [True, ["k"], [["t://r", 3]]],
    rpc.Receive("s", "k", 2, 1000, b"b", "t://r"): ["s", "k", 2, 1000, b"b", "t://r"],
    rpc.ConnectMany((rpc.Connect("s", 1, "k"),)): [[["s", 1, "k", 0, "", "", [], "", "", 1, ""]]],
    rpc.Verdicts((rpc.Verdict(rpc.Connected("k", 2)), rpc.Verdict(None, 3, "words"))): [
        [[["k", 2, "", [], [], 0, ""], 0, ""], [None, 3, "words"]],
    ],
    rpc.DisconnectMany("s", 1, (("k", 2),)): ["s", 1, [["k", 2]]],
    rpc.Host("s", 1, "t://r", False): ["s", 1, "t://r", False],
    rpc.Batch("s", 1, (rpc.Item(rpc.Kind.ROOM, b"p", 2, 3, ("k",), "t://r", 4, ((5, 6),), (Place(7, "e"),), True, 8, (9,)),)): [
        "s", 1, [[2, b"p", 2, 3, ["k"], "t://r", 4, [[5, 6]], [[7, "e"]], True, 8, [9]]],
    ],
    rpc.Outcomes((rpc.Outcome(1, 2, 3, (("slow", 4),), ("k",), 5, 6, (Hop(Step.WRITTEN, 7, "p", "m:1", 8, 1, "d", "r"),)),)): [
        [[1, 2, 3, [["slow", 4]], ["k"], 5, 6, [["written", 7, "p", "m:1", 8, 1, "d", "r", "", ""]]]],
    ],
    rpc.Read("s", (rpc.Follow("r:a", 5, "e", 10),)): ["s", [["r:a", 5, "e", 10, False]]],
    rpc.Pages((rpc.Page("r:a", Place(7, "e"), False, (Message(6, 1, 2, 3, b"b"),), True),)): [
        [["r:a", [7, "e"], False, [[6, 1, 2, 3, b"b"]], True]],
    ],
    rpc.Acks("s", (rpc.Ack("m:1", "1:phone", 5, "e"),)): ["s", [["m:1", "1:phone", 5, "e"]]],
    rpc.Send("s", "k", 2, 1000, b"b", "t://r", 3, True, "c"): ["s", "k", 2, 1000, b"b", "t://r", 3, True, "c"],
    rpc.Sent(1, 2, Place(3, "e")): [1, 2, [3, "e"]],
    rpc.Refresh("s", "k", 2, "jwt"): ["s", "k", 2, "jwt"],
    rpc.Refreshed(5, ("t://r",)): [5, ["t://r"]],
    rpc.Attendances("s", (rpc.Attendance("t://r", 2, True),)): ["s", [["t://r", 2, True]]],
}  # fmt: skip


class RpcTests(SynchronousTestCase):
    """To bytes and back."""

    def test_examples(self) -> None:
        """Each struct travels as the array of its fields, in this order, whole."""
        for value, fields in EXAMPLES.items():
            data = rpc.dump(value)
            travelled = msgspec.msgpack.decode(data)
            self.assertEqual(travelled[: len(fields)], fields)
            self.assertEqual(rpc.load(type(value), data), value)

    def test_every_method_has_an_example(self) -> None:
        """No struct is without one, and each method has its types."""
        self.assertEqual(set(rpc.SIGNATURES), set(rpc.Method))
        needed = {kind for signature in rpc.SIGNATURES.values() for kind in signature}
        self.assertLessEqual(needed, {type(value) for value in EXAMPLES})

    def test_newer_peers(self) -> None:
        """Fields that a newer peer appended are ignored; what an older one lacks has its default."""
        self.assertEqual(rpc.load(rpc.Done, msgspec.msgpack.encode([1, "x"])), rpc.Done())
        older = msgspec.msgpack.encode(["s", 1, "t://r"])
        self.assertEqual(rpc.load(rpc.Host, older), rpc.Host("s", 1, "t://r", True))

    def test_wrong_shapes(self) -> None:
        """A missing field, a wrong type, a map, nothing, or more after it: DecodeError."""
        for data in (
            b"",
            b"\xc0",
            msgspec.msgpack.encode({"server": "s"}),
            msgspec.msgpack.encode(["s", 1]),
            msgspec.msgpack.encode([1, 1, "r"]),
            msgspec.msgpack.encode(["s", "1", "r"]),
            rpc.dump(rpc.Host("s", 1, "r")) + b"x",
            rpc.dump(rpc.Host("s", 1, "room")).replace(b"room", b"\xff\xff\xff\xff"),
        ):
            self.assertRaises(msgspec.DecodeError, rpc.load, rpc.Host, data)

    @given(st.sampled_from(list(EXAMPLES)), st.data())
    def test_damage(self, value: rpc.Value, data: st.DataObject) -> None:
        """Any damage loads or raises DecodeError, and nothing else."""
        damaged = bytearray(rpc.dump(value))
        for _ in range(2):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        for stored in (bytes(damaged), bytes(damaged[:-1]), data.draw(st.binary(max_size=30))):
            try:
                rpc.load(type(value), stored)
            except msgspec.DecodeError:
                continue
