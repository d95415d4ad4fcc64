"""Several processes of clients, before a bare loop."""

import socket
import threading
from pathlib import Path

from benchmarks.capacity import Demand
from benchmarks.crowd import Crowd, Reached, Times
from benchmarks.program import Program, ProgramFailed
from imd.protocol.operation import Operation
from imd.protocol.packet import Packet, encode
from tests.benchmarks.program_case import ProgramCase


class TimesTests(ProgramCase):
    """What processes counted, added up."""

    def test_at(self) -> None:
        """The least that the share did not take longer than."""
        times = Times()
        for us, packets in ((3000.0, 1), (1000.0, 48), (2000.0, 1), (1000.0, 50)):
            times.add(us, packets)
        self.assertEqual([times.at(share) for share in (0.5, 0.98, 0.99, 1)], [1, 1, 2, 3])
        self.assertEqual(Times().at(0.5), 0)


class CrowdTests(ProgramCase):
    """Twenty clients in three processes."""

    def setUp(self) -> None:
        self.log = Path(self.mktemp())
        self.loop = Program([str(self.built("send_loop")), "--connections", "20"], log=self.log)
        self.addCleanup(self.loop.end)
        self.crowd = self.crowd_of(Demand(20, 8), self.loop.wait_for("listening")["port"])
        self.addCleanup(self.crowd.end)

    def crowd_of(self, demand: Demand, port: int) -> Crowd:
        program, scratch = self.built("load_client"), Path(self.folder.name)
        return Crowd(program, demand=demand, port=port, handshakes=8, heartbeat_seconds=1, scratch=scratch)

    def test_everything_is_counted(self) -> None:
        """Over all processes, and from zero each time."""
        known: list[int] = []
        self.crowd.connect(known.append)
        self.assertEqual((len(self.crowd.pids), known[-1]), (3, 20))
        self.loop.wait_for("in")
        for messages in (4, 1):
            self.crowd.begin()
            self.loop.say(f"send {20 * messages} 0.05 1 100")
            self.assertEqual(self.loop.wait_for("sent")["messages"], messages)
            reached = self.crowd.look()
            while reached.packets < 20 * messages:
                reached = self.crowd.look()
            self.assertEqual(reached, Reached(packets=20 * messages, fewest=messages, most=messages, gone=0))
            self.assertGreater(self.crowd.times().at(1), 0)
        self.assertGreater(self.crowd.cpu_seconds, 0)

    def test_turned_away(self) -> None:
        """Who was closed before it was let in dials again, and that is counted."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def serve() -> None:
            listener.accept()[0].close()
            client, _ = listener.accept()
            with client:
                client.recv(1024)
                client.sendall(encode(Packet(Operation.AUTH_REPLY, sequence=1)))
                client.recv(1024)

        server = threading.Thread(target=serve)
        server.start()
        self.addCleanup(server.join)
        crowd = self.crowd_of(Demand(1, 1), listener.getsockname()[1])
        self.addCleanup(crowd.end)  # first: the server waits for it
        crowd.connect(lambda known: None)
        self.assertEqual(crowd.redials, 1)

    def test_nobody_listens(self) -> None:
        """A connection that is not let in ends the run, with its words."""
        self.loop.end()
        with self.assertRaisesRegex(ProgramFailed, "connection 0: Connection refused"):
            self.crowd.connect(lambda known: None)
