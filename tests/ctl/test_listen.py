"""imdctl listen against a small comet: what it says to it, what it prints, how it ends."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from imd.client.core import Pushed
from imd.ctl.listen import as_json, as_text, listen
from imd.protocol.auth_reply import Allowance, AuthReply, Standing
from imd.protocol.operation import Operation
from imd.protocol.packet import Packet, PacketDecoder, encode
from imd.protocol.push_header import PushHeader, encode_push
from tests.support.reactor import reactor


class Comet(Factory):
    """Lets everybody in and pushes the same bodies to each; with ``let_in`` False it hangs up instead."""

    def __init__(self, bodies: list[bytes], *, let_in: bool = True, hang_up: bool = False) -> None:
        self.bodies = bodies
        self.let_in = let_in
        self.hang_up = hang_up  # after the bodies
        self.auths: list[dict[str, Any]] = []
        self.open: set[CometProtocol] = set()
        self.pushed: Deferred[None] = Deferred()  # the first client has them all

    def buildProtocol(self, addr: Any) -> "CometProtocol":
        return CometProtocol(self)


class CometProtocol(Protocol):
    """One client."""

    def __init__(self, comet: Comet) -> None:
        self.comet = comet
        self.decoder = PacketDecoder()

    def connectionMade(self) -> None:
        self.comet.open.add(self)

    def connectionLost(self, reason: Failure = Failure(ProcessDone(0))) -> None:  # noqa: B008  # as Twisted has it
        self.comet.open.discard(self)

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        for packet in self.decoder.feed(data):
            if packet.operation != Operation.AUTH:
                continue  # acks
            self.comet.auths.append(json.loads(packet.body))
            if not self.comet.let_in:
                self.transport.loseConnection()
                return
            self.transport.write(self.greeting(packet))
            if self.comet.hang_up:
                self.transport.loseConnection()
            if not self.comet.pushed.called:
                self.comet.pushed.callback(None)

    def greeting(self, auth: Packet) -> bytes:
        """Op 8, and the bodies: of version 2 kept in the first of its rooms."""
        if auth.version == 1:
            out = [Packet(Operation.AUTH_REPLY, b"", auth.sequence)]
            out += [Packet(1000, body) for body in self.comet.bodies]
            return b"".join(map(encode, out))
        said = json.loads(auth.body)
        room = said["rooms"][0]
        after = said.get("resume", {}).get(room, {"seq": 0})["seq"]
        timelines = {name: Standing(len(self.comet.bodies) * (name == room), "e", True) for name in said["rooms"]}
        if not after:  # as if it had been there before the first
            timelines[room] = Standing(0, "e", True)
        reply = AuthReply("k", 0, "c1", 240, timelines, Allowance(100, 4096, 100)).encode()
        pushes = [
            encode_push(1000, body, id=seq, seq=seq, at_ms=5, timeline=room)
            for seq, body in enumerate(self.comet.bodies, start=1)
        ]
        return encode(Packet(Operation.AUTH_REPLY, reply, auth.sequence, 2)) + b"".join(pushes[after:])


class Run(ProcessProtocol):
    """A run of imdctl."""

    def __init__(self) -> None:
        self.out = self.err = b""
        self.ended: Deferred[int] = Deferred()  # the exit status
        self.printed: Deferred[None] = Deferred()  # the first line is on stdout

    def outReceived(self, data: bytes) -> None:
        self.out += data
        if not self.printed.called:
            self.printed.callback(None)

    def errReceived(self, data: bytes) -> None:
        self.err += data

    def processEnded(self, reason: Failure) -> None:
        value: Any = reason.value
        self.ended.callback(-1 if value.exitCode is None else value.exitCode)


class ListenTests(TestCase):
    """The program in a process of its own."""

    timeout = 30

    def listen(self, comet: Comet, *arguments: str, **environ: str) -> Run:
        """Start it against ``comet``."""
        port = reactor.listenTCP(0, comet, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.url = f"tcp://127.0.0.1:{port.getHost().port}"
        started = Run()
        command = (sys.executable, "-c", "from imd.ctl.main import main; main()", "listen", *arguments)
        environment = {**os.environ, "IMDCTL_COMET": self.url, **environ}
        reactor.spawnProcess(started, command[0], command, env=environment)
        return started

    async def test_count(self) -> None:
        """It says who it is, prints as many as asked for, and hangs up."""
        comet = Comet([b"one", b"two", b"three"])
        started = self.listen(
            comet, "--room", "live://1", "--mid", "7", "--key", "k", "--accept", "5", "--accept", "-6", "--count", "2"
        )
        self.assertEqual(await started.ended, 0, started.err)
        self.assertEqual(started.out, b"1000 one\n1000 two\n")
        first, last = started.err.decode().splitlines()
        self.assertEqual(first, f"connected to {self.url}, in live://1")
        self.assertRegex(last, r"^2 messages in \d+\.\d s$")
        said = {"mid": 7, "key": "k", "room_id": "live://1", "platform": "imdctl", "accepts": [5, -6]}
        self.assertEqual(comet.auths, [said])
        self.assertEqual(comet.open, set())

    async def test_keep_place(self) -> None:
        """Of several rooms each message says where it stands; the next run goes on where the first one stopped."""
        file = self.mktemp()
        rooms = ("--room", "chat://1", "--room", "chat://2", "--keep-place", file, "--count", "2")
        first = self.listen(Comet([b"one", b"two", b"three"]), *rooms)
        self.assertEqual(await first.ended, 0, first.err)
        self.assertEqual(first.out, b"chat://1#1 1000 one\nchat://1#2 1000 two\n")
        self.assertIn(b"in chat://1, chat://2", first.err)
        comet = Comet([b"one", b"two", b"three", b"four"])
        second = self.listen(comet, *rooms, "--json")
        self.assertEqual(await second.ended, 0, second.err)
        lines = [json.loads(line) for line in second.out.splitlines()]
        said = {"op": 1000, "body": "three", "id": "3", "seq": 3, "at": 5, "timeline": "chat://1"}
        self.assertEqual((lines[0], lines[1]["seq"]), (said, 4))
        self.assertEqual(comet.auths[0]["resume"]["chat://1"], {"seq": 2, "epoch": "e"})
        self.assertEqual(comet.open, set())

    async def test_interrupt_of_one_that_resumes(self) -> None:
        """Ctrl-C saves its places too."""
        file = self.mktemp()
        started = self.listen(Comet([b"one"]), "--room", "chat://1", "--keep-place", file)
        await started.printed
        assert started.transport is not None
        started.transport.signalProcess(signal.SIGINT.name.removeprefix("SIG"))
        self.assertEqual(await started.ended, 0, started.err)
        self.assertEqual(json.loads(Path(file).read_bytes()), {"chat://1": {"seq": 1, "epoch": "e"}})
        self.assertNotIn(b"Traceback", started.err)

    async def test_interrupt(self) -> None:
        """Ctrl-C hangs up and ends with the summary, in good order."""
        comet = Comet([b"one"])
        started = self.listen(comet, "--json")
        await started.printed
        assert started.transport is not None
        started.transport.signalProcess(signal.SIGINT.name.removeprefix("SIG"))
        self.assertEqual(await started.ended, 0, started.err)
        self.assertEqual(started.out, b'{"op":1000,"body":"one"}\n')
        self.assertIn(b"\n1 messages in ", started.err)
        self.assertNotIn(b"Traceback", started.err)

    async def test_timeout(self) -> None:
        """Fewer messages than asked for are a failure; without --count there is nothing to fail."""
        started = self.listen(Comet([b"one"]), "--count", "2", "--timeout", "0.3")
        self.assertEqual(await started.ended, 1, started.err)
        self.assertIn(b"\n1 messages in ", started.err)
        started = self.listen(Comet([]), "--timeout", "0.3")
        self.assertEqual(await started.ended, 0, started.err)

    async def test_comes_back(self) -> None:
        """A connection that was lost is made again."""
        comet = Comet([b"one"], hang_up=True)
        started = self.listen(comet, "--count", "2")
        self.assertEqual(await started.ended, 0, started.err)
        self.assertEqual(len(comet.auths), 2)
        self.assertRegex(started.err.decode(), r"the connection ended; again in \d\.\d s\n")
        self.assertIn("connection lost 1 times", started.err.decode())

    async def test_token(self) -> None:
        """From a file, or else from the environment."""
        file = Path(self.mktemp())
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("file.jwt\n")
        comet = Comet([b"one"])
        await self.listen(comet, "--count", "1", IMDCTL_TOKEN="env.jwt").ended
        await self.listen(comet, "--count", "1", "--token-file", str(file), IMDCTL_TOKEN="env.jwt").ended
        self.assertEqual([auth["token"] for auth in comet.auths], ["env.jwt", "file.jwt"])

    async def test_not_let_in(self) -> None:
        """One line that says what may be wrong, status 1, no second try."""
        comet = Comet([], let_in=False)
        started = self.listen(comet)
        self.assertEqual(await started.ended, 1)
        self.assertEqual(started.out, b"")
        self.assertRegex(started.err.decode(), r"^Error: tcp://.* are the credentials good\?\n$")
        self.assertEqual(len(comet.auths), 1)

    async def test_nobody_there(self) -> None:
        """One line."""
        port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
        free = port.getHost().port
        await port.stopListening()
        started = self.listen(Comet([]), "--url", f"tcp://127.0.0.1:{free}")
        self.assertEqual(await started.ended, 1)
        self.assertRegex(
            started.err.decode(),
            rf"^Error: tcp://127.0.0.1:{free}: cannot connect: the connection was refused; is imd running there\?\n$",
        )

    async def test_reader_goes_away(self) -> None:
        """``imdctl listen | head -1`` ends."""
        comet = Comet([b"x" * 100] * 100)
        started = self.listen(comet)
        assert started.transport is not None
        started.transport.closeChildFD(1)
        self.assertEqual(await started.ended, 0, started.err)
        self.assertNotIn(b"Traceback", started.err)


class ArgumentTests(SynchronousTestCase):
    """Wrong ones: exit status 2, and what would be right."""

    def test_wrong_arguments(self) -> None:
        """Before anything is dialled."""
        for arguments, words in (
            (("--url", "127.0.0.1:3101"), "tcp://host:3101"),
            (("--accept", "x"), "'x' is not a valid integer"),
            (("--accept", str(2**31)), "--accept"),
            (("--mid", str(2**63)), "--mid"),
            (("--count", "-1"), "--count"),
            (("surplus",), "unexpected extra argument"),
        ):
            result = CliRunner().invoke(listen, arguments)
            self.assertEqual(result.exit_code, 2, arguments)
            self.assertIn(words, result.stderr)

    def test_missing_token_file(self) -> None:
        """One line, status 1."""
        result = CliRunner().invoke(listen, ["--token-file", "nowhere"])
        self.assertEqual((result.exit_code, result.stderr[:31]), (1, "Error: nowhere: cannot be read:"))


class ShapeTests(SynchronousTestCase):
    """How a message is printed."""

    def test_text_cannot_command_the_terminal(self) -> None:
        """Control characters are escaped, other text is not."""
        self.assertEqual(as_text(Pushed(7, "é\x1b[2J\n\xff".encode())), "7 é\\x1b[2J\\nÿ")
        self.assertEqual(as_text(Pushed(7, b"\xff\x00")), "7 \\xff\\x00")

    def test_places(self) -> None:
        """Version 2 says where a message stands, as far as it stands anywhere."""
        for header, words in (
            (PushHeader(1, 5, 1, "chat://1\n"), "chat://1\\n#5 7 x"),
            (PushHeader(1, 5, 1, ""), "inbox#5 7 x"),
            (PushHeader(1, 0, 1, "live://1"), "live://1 7 x"),
            (PushHeader(1, 0, 1, ""), "7 x"),
        ):
            self.assertEqual(as_text(Pushed(7, b"x", header)), words)

    def test_json_holds_any_bytes(self) -> None:
        """As text where it is text."""
        self.assertEqual(json.loads(as_json(Pushed(7, "é\n".encode()))), {"op": 7, "body": "é\n"})
        self.assertEqual(json.loads(as_json(Pushed(7, b"\xff"))), {"op": 7, "body_base64": "/w=="})
