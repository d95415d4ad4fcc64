"""The client's side of the wire, byte by byte."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.client.core import Answered, ClientCore, Pushed
from imd.errors import CloseReason, ProtocolError
from imd.protocol.packet import Packet, encode
from imd.protocol.wire import Wire

PUSH = bytes.fromhex("00000012 0010 0001 000003e8 00000000 6869")
MERGED = bytes.fromhex("00000034 0010 0001 00000009 00000000") + PUSH * 2


class ClientCoreTests(SynchronousTestCase):
    """Requests out, events in."""

    def test_golden_requests(self) -> None:
        """Requests are the protocol page's bytes, numbered from 1."""
        core = ClientCore(framed=False)
        self.assertEqual(core.request(2), (1, bytes.fromhex("00000010 0010 0001 00000002 00000001")))
        self.assertEqual(core.request(12, b"a"), (2, bytes.fromhex("00000011 0010 0001 0000000c 00000002 61")))

    def test_golden_answers(self) -> None:
        """An answer finds its request by sequence, on both transports."""
        for framed in (False, True):
            core = ClientCore(framed=framed)
            core.request(2)
            core.request(12, b"a")
            room = core.receive(bytes.fromhex("00000011 0010 0001 0000000d 00000002 61"))
            online = core.receive(bytes.fromhex("00000014 0010 0001 00000003 00000001 00000005"))
            self.assertEqual((room, online), ([Answered(2, b"a")], [Answered(1, b"\0\0\0\5")]))

    def test_pushes(self) -> None:
        """Merged pushes come one by one: bare on TCP, wrapped on WebSocket."""
        two = [Pushed(1000, b"hi")] * 2
        self.assertEqual(ClientCore(framed=False).receive(PUSH * 2), two)
        self.assertEqual(ClientCore(framed=True).receive(MERGED), two)

    def test_tcp_cut_anywhere(self) -> None:
        """A stream of pushes and answers, cut at each place."""
        data = PUSH + encode(Packet(8, b"", 1)) + PUSH
        for cut in range(len(data) + 1):
            core = ClientCore(framed=False)
            core.request(7, b"{}")
            events = core.receive(data[:cut]) + core.receive(data[cut:])
            self.assertEqual(events, [Pushed(1000, b"hi"), Answered(1, b""), Pushed(1000, b"hi")])

    def test_own_operations_are_echoed(self) -> None:
        """An operation that is no request of the protocol is answered under its own number."""
        core = ClientCore(framed=False)
        core.request(1234, b"x")
        self.assertEqual(core.receive(encode(Packet(1234, b"", 1))), [Answered(1, b"")])

    def test_late_answers_are_dropped(self) -> None:
        """What nobody waits for any more, what was answered already, and what was never asked."""
        core = ClientCore(framed=False)
        core.request(2)
        core.forget(1)
        core.forget(99)
        answer = encode(Packet(3, b"\0\0\0\0", 1))
        self.assertEqual(core.receive(answer * 2 + encode(Packet(13, b"", 7))), [])

    def test_sequence_goes_round_without_zero(self) -> None:
        """After the largest int32 comes 1: 0 is a push's."""
        core = ClientCore(framed=False)
        core._sequence = 2**31 - 1
        self.assertEqual(core.request(2)[0], 1)

    def test_lying_server(self) -> None:
        """A message that is not whole packets is refused by name."""
        core = ClientCore(framed=True)
        for message, reason in (
            (PUSH + b"x", CloseReason.MESSAGE_LENGTH_MISMATCH),
            (Wire(PUSH[:-1]).frame[2:], CloseReason.BAD_PACKET_LENGTH),
        ):
            with self.assertRaises(ProtocolError) as caught:
                core.receive(message)
            self.assertEqual(caught.exception.reason, reason)

    @given(st.binary(max_size=100), st.booleans())
    def test_garbage(self, data: bytes, framed: bool) -> None:
        """Any bytes are events or a ProtocolError."""
        try:
            ClientCore(framed=framed).receive(data)
        except ProtocolError:
            return
