"""Pushes over HTTP, against a server that answers what a test says."""

import json
import threading
from base64 import b64decode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.case import Load
from benchmarks.http_pusher import HttpPusher
from benchmarks.load_client import ROOM
from benchmarks.pusher import PushFailed


class HttpPusherTests(SynchronousTestCase):
    """A logic in a thread."""

    def setUp(self) -> None:
        self.heard: list[dict[str, object]] = []
        self.status = 200
        case = self

        class Logic(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                case.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(case.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"no")

            def log_message(self, format: str, *args: object) -> None:
                """It says nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Logic)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self.pusher = HttpPusher(server.server_address[1])
        for clean in (server.server_close, thread.join, server.shutdown, self.pusher.close):
            self.addCleanup(clean)

    def test_paced(self) -> None:
        """So many in the time, of the size asked for, to the room."""
        self.assertEqual(self.pusher.send(Load(50, 0.2, 100), lambda: None), 10)
        self.assertEqual([said["to"] for said in self.heard], [{"room": ROOM}] * 10)
        self.assertEqual({len(b64decode(str(said["body_base64"]))) for said in self.heard}, {100})

    def test_refused(self) -> None:
        """With the words of the answer."""
        self.status = 503
        with self.assertRaisesRegex(PushFailed, "503: no"):
            self.pusher.send(Load(50, 0.1, 100), lambda: None)
