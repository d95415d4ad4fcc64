"""What every process has."""

import socket

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from imd.errors import ConfigError
from tests.support.composition_case import CompositionCase


class AdvertisedTests(CompositionCase):
    """What peers dial."""

    def test_as_listened(self) -> None:
        """The endpoint that was taken, unless told."""
        process = self.process("comet")
        self.assertEqual(process.advertised("tcp://127.0.0.1:4567"), "tcp://127.0.0.1:4567")

    def test_told(self) -> None:
        """rpc.advertise, whole; with the port that was taken where it says so."""
        for advertise, endpoint, dialled in (
            ("tcp://10.0.0.5:3109", "tcp://0.0.0.0:3109", "tcp://10.0.0.5:3109"),
            ("tcp://10.0.0.5:*", "tcp://0.0.0.0:4567", "tcp://10.0.0.5:4567"),
            ("tcp://[2001:db8::1]:*", "tcp://[::]:4567", "tcp://[2001:db8::1]:4567"),
        ):
            process = self.process(
                "comet", f"rpc.advertise={advertise}", "rpc.listen=tcp://*:*", "rpc.plaintext_on_network=true"
            )
            self.assertEqual(process.advertised(endpoint), dialled)

    def test_a_wildcard_needs_it(self) -> None:
        """Nobody can dial 0.0.0.0: it is refused with the key to set."""
        with self.assertRaisesRegex(ConfigError, r"rpc\.advertise"):
            self.process("comet", "rpc.listen=tcp://0.0.0.0:*", "rpc.plaintext_on_network=true")


class ProcessTests(CompositionCase):
    """Who it is."""

    def test_instance(self) -> None:
        """Its id is the host's name unless told; figures are added; a job has no endpoint."""
        named = self.process("comet", "server.id=c7", "server.zone=z1").instance("comet", "tcp://a:1", conn_count=3)
        self.assertEqual((named.id, named.zone, named.rpc, named.conn_count), ("c7", "z1", "tcp://a:1", 3))
        self.assertEqual(self.process("job").instance("job").id, socket.gethostname())

    def test_silence(self) -> None:
        """A peer is given up after three of rpc.heartbeat_seconds, as etc/ says."""
        options = self.process("comet", "rpc.heartbeat_seconds=2").zmq_options
        self.assertEqual(options.heartbeat_ms + options.heartbeat_timeout_ms, 6000)

    def test_parts(self) -> Deferred[None]:
        """The operator's listener opens first, so it can say what start-up waits for, and answers."""

        async def run() -> None:
            process = self.process("job")
            parts = process.parts()
            self.assertEqual(parts[0].name, "admin.listen")
            await self.opened(parts)
            self.assertIn(b"200 OK", await deferToThread(self.asked, process.sockets["admin.listen"].address.port))

        return Deferred.fromCoroutine(run())

    def test_no_admin(self) -> None:
        """An empty address is off."""
        names = [part.name for part in self.process("job", "admin.listen=").parts()]
        self.assertEqual(names, ["zeromq", "rpc security"])

    @staticmethod
    def asked(port: int) -> bytes:
        """What /readyz answers."""
        with socket.create_connection(("127.0.0.1", port), 10) as client:
            client.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return client.makefile("rb").read()
