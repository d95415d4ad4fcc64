"""The loop in Python, and what every battery rests on."""

import os
import random
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from imd.comet.limits import Limits
from imd.interfaces import Arm, Sink
from imd.protocol.packet import Packet, encode
from imd.transport.battery import SocketBattery
from tests.contract.battery import BatteryContract
from tests.support.comet_fakes import to_room
from tests.support.listening_comet import ListeningComet
from tests.support.raw_peer import RawPeer, connect_raw
from tests.support.reactor import reactor
from tests.support.websocket_bytes import frame


class SocketBatteryTests(BatteryContract, SynchronousTestCase):
    """One in Python."""

    def arm(self) -> Arm:
        return SocketBattery


class Numbers:
    """A battery that knows its sinks by their descriptors alone, as one in C does; it says which it sent to."""

    def __init__(self, sinks: Sequence[Sink], used: set[int]) -> None:
        self._descriptors = [sink.fileno() for sink in sinks]
        self._used = used

    def fire(self, data: bytes, /) -> list[tuple[int, int]]:
        self._used.update(self._descriptors)
        short = []
        for place, descriptor in enumerate(self._descriptors):
            try:
                sent = os.write(descriptor, data)
            except OSError:
                sent = 0
            if sent < len(data):
                short.append((place, sent))
        return short


class DescriptorTests(TestCase):
    """A comet on real sockets, whose clients come and go between pushes."""

    def setUp(self) -> None:
        self.used: set[int] = set()  # descriptors that were sent to
        self.comet = ListeningComet(
            reactor=reactor,
            folder=Path(self.mktemp()),
            limits=Limits(renew_seconds=3600),
            arm=lambda sinks: Numbers(sinks, self.used),
        )
        self.chance = random.Random(4)

    def test_a_number_that_is_used_again(self) -> Deferred[None]:
        """Its next owner never reads what was meant for the one before, however that one went."""

        async def run() -> None:
            try:
                for transport in ("tcp", "ws"):
                    await self.storm(transport)
            finally:
                await self.comet.stop()

        return Deferred.fromCoroutine(run())

    async def storm(self, transport: str) -> None:
        """Members of one room go in all ways, strangers take their numbers, and the room is pushed to in between."""
        members = [await self.client(transport, "live://room") for _ in range(8)]
        strangers: list[RawPeer] = []
        for number in range(6):
            await self.push(b"%d" % number, "live://room", members)
            self.used.clear()
            await self.push(b"again", "live://room", members)
            taken = set(self.used)
            for _ in range(3):
                self.part(members.pop(self.chance.randrange(len(members))))
            while self.comet.server.conn_count > len(members) + len(strangers):
                await self.comet.turn(0.001)
            newcomers = [await self.client(transport, "live://elsewhere") for _ in range(3)]
            await self.push(b"still", "live://room", members)
            self.used.clear()
            await self.push(b"here", "live://elsewhere", strangers + newcomers)
            self.assertTrue(taken & self.used, "no number was used again")
            strangers += newcomers
            members += [await self.client(transport, "live://room") for _ in range(3)]
        for peer in members + strangers:
            await peer.send(encode(Packet(2, b"", 9)))
            answer = (await peer.read(22 if peer.framed else 20))[-20:]
            self.assertEqual(answer[:16], encode(Packet(3, b"\0\0\0\0", 9))[:16])  # nothing was before it
            await peer.close()
        while self.comet.server.conn_count:
            await self.comet.turn(0.001)

    async def client(self, transport: str, room: str) -> RawPeer:
        """In its room."""
        peer = await connect_raw(
            reactor=reactor, transport=transport, port=self.comet.port(transport), ca_file=self.comet.files.ca
        )
        await peer.send(encode(Packet(7, b'{"room_id":"%s"}' % room.encode(), 1)))
        await peer.read(18 if peer.framed else 16)  # op 8
        return peer

    async def push(self, body: bytes, room: str, readers: list[RawPeer]) -> None:
        """To the room, of which each member reads it, and nothing else."""
        (outcome,) = (await self.comet.push(to_room(body, room))).outcomes
        self.assertEqual(outcome.delivered, len(readers))
        expected = encode(Packet(1000, body))
        for peer in readers:
            wire = await peer.read(len(expected) + (18 if peer.framed else 0))  # its frame, and the header of op 9
            self.assertTrue(wire.endswith(expected), wire)

    def part(self, peer: RawPeer) -> None:
        """Hang up, politely, with a reset, or with garbage, after which comet hangs up."""
        stream: Any = peer.transport
        match self.chance.randrange(3):
            case 0:
                stream.loseConnection()
            case 1:
                linger = struct.pack("ii", 1, 0)
                stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                stream.abortConnection()
            case 2:
                garbage = b"\xff" * 20
                stream.write(frame(garbage) if peer.framed else garbage)
