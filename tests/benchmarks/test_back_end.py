"""A back end's pushes, against a logic that answers what a test says."""

import json
import socket
import threading
from base64 import b64decode
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.back_end import STAMP, BackEnd, NotAccepted, requests


def accepted(bodies: list[bytes]) -> bytes:
    """What logic says of the last of them."""
    said = json.loads(bodies[-1])
    content = b"[" + b",".join([b'{"result":"accepted"}'] * (len(said) if isinstance(said, list) else 1)) + b"]"
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content


class RequestsTests(SynchronousTestCase):
    """What is pushed."""

    def test_each_member_once(self) -> None:
        """In arrays, or alone; each body is as long as was asked for, and has room for the time."""
        for together, shapes in ((2, [list, list, list]), (1, [dict] * 5)):
            made = requests(range(1, 6), together=together, body_bytes=100, keep=True)
            said = [json.loads(each.partition(b"\r\n\r\n")[2]) for each in made]
            self.assertEqual([type(each) for each in said], shapes)
            pushes = [push for each in said for push in (each if isinstance(each, list) else [each])]
            self.assertEqual([push["to"]["mids"] for push in pushes], [[1], [2], [3], [4], [5]])
            for push in pushes:
                stamped = push["body_base64"].replace(STAMP.decode(), "A" * len(STAMP))
                self.assertEqual(len(b64decode(stamped, validate=True)), 100)
                self.assertNotIn("keep", push)

    def test_live(self) -> None:
        """They say so."""
        (made,) = requests(range(1, 2), together=1, body_bytes=12, keep=False)
        self.assertIs(json.loads(made.partition(b"\r\n\r\n")[2])["keep"], False)


class BackEndTests(SynchronousTestCase):
    """Over one connection."""

    def serve(self, answer: Callable[[list[bytes]], bytes]) -> BackEnd:
        """A server for it, which keeps the bodies that it gets."""
        self.bodies: list[bytes] = []
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def run() -> None:
            peer, _ = listener.accept()
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with peer, peer.makefile("rb") as lines:
                while head := lines.readline():
                    while (line := lines.readline()) != b"\r\n":
                        head += line
                    self.bodies.append(lines.read(int(head.partition(b"Content-Length: ")[2].split()[0])))
                    whole = answer(self.bodies)
                    for part in (whole[:20], whole[20:]):  # cut anywhere
                        peer.sendall(part)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        prepared = requests(range(1, 7), together=3, body_bytes=20, keep=True)
        back_end = BackEnd(listener.getsockname()[1], prepared, together=3, connections=1)
        self.addCleanup(back_end.close)
        return back_end

    def test_paced(self) -> None:
        """So many in the time, each once it is due, with that time in its bodies."""
        pushed = self.serve(accepted).push(50, 0.2, lambda: None)
        self.assertEqual((pushed.requests, pushed.pushes, len(self.bodies)), (10, 30, 10))
        times = [
            int.from_bytes(b64decode(push["body_base64"])[:8], "big")
            for each in self.bodies
            for push in json.loads(each)
        ]
        self.assertEqual(len(set(times)), 10)
        self.assertEqual(times, sorted(times))
        self.assertAlmostEqual((times[-1] - times[0]) / 1e9, 9 / 50, places=3)

    def test_flat_out(self) -> None:
        """The next one once the last is answered."""
        pushed = self.serve(accepted).push(0, 0.05, lambda: None)
        self.assertEqual(pushed.requests, len(self.bodies))
        self.assertGreater(pushed.requests, 1)

    def test_refused(self) -> None:
        """What is cheap because it was not done is no figure."""
        for answer in (
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\naway",
            b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"conflict"',
        ):
            with self.assertRaises(NotAccepted):
                self.serve(lambda _, answer=answer: answer).push(0, 0.05, lambda: None)  # type: ignore[misc]  # a default
