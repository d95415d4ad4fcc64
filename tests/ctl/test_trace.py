"""imdctl trace: what it prints, and what it waits for."""

import os
from collections.abc import Sequence
from typing import Any

import msgspec
from click.testing import CliRunner
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import Site

from imd.ctl.trace import trace
from imd.logic.fate import DeviceFate, Fate, HopTold, State
from imd.protocol.trace import Step
from tests.ctl.test_push import IMDCTL
from tests.support.reactor import reactor

AT = 1_794_000_000_000  # 2026-11-06 21:20:00 UTC
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000007-01"
ACCEPTED = HopTold(Step.ACCEPTED, AT, "logic/l1")
STORED = HopTold(Step.STORED, AT + 2, "logic/l1", "m:17", 5, "17")
WRITTEN = HopTold(Step.WRITTEN, AT + 7, "comet/c1", "m:17", 5, "17", "phone")
ACKED = HopTold(Step.ACKED, AT + 93, "logic/l1", "m:17", 5, "17", "phone")
PHONE = DeviceFate(State.ACKED, "m:17", "17", "phone", at=AT + 93)
PHONE_WRITTEN = DeviceFate(State.WRITTEN, "m:17", "17", "phone", at=AT + 7)
PAD_GONE = DeviceFate(State.EXPIRED, "m:17", "17", "pad", "left_the_window")
NOT_FOUND = b'{"error": {"name": "not_found", "message": "push 7 is not traced: why"}}'


def fate(hops: Sequence[HopTold], *devices: DeviceFate) -> bytes:
    """As logic answers it."""
    return msgspec.json.encode(Fate("7", AT, list(devices), list(hops), PARENT))


class Logic(Resource):
    """Answers what it is given, one after the other, and the last again and again."""

    isLeaf = True

    def __init__(self, *answers: bytes) -> None:
        super().__init__()
        self.answers = list(answers)
        self.asked: list[tuple[bytes, str | None]] = []  # path, Authorization

    def render(self, request: Request) -> bytes:
        self.asked.append((request.uri, request.getHeader("authorization")))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is NOT_FOUND:
            request.setResponseCode(404)
        return answer


class TraceTests(TestCase):
    """The program against a small logic."""

    async def run_trace(self, *arguments: str, answers: Sequence[bytes], **environ: str) -> tuple[str, str, int]:
        """(stdout, stderr, exit status)."""
        self.logic = Logic(*answers)
        port = reactor.listenTCP(0, Site(self.logic), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        out, err, code = await getProcessOutputAndValue(
            IMDCTL[0],
            (*IMDCTL[1:], "trace", "7", *arguments),
            env={**os.environ, "IMDCTL_URL": f"http://127.0.0.1:{port.getHost().port}", **environ},
            reactor=reactor,
        )
        return out.decode(), err.decode(), code

    async def test_for_people(self) -> None:
        """Each hop with the span since the one before, then each device; the push key goes along."""
        hops = [ACCEPTED, STORED, WRITTEN, ACKED]
        out, err, code = await self.run_trace(answers=[fate(hops, PHONE, PAD_GONE)], IMDCTL_PUSH_KEY="imd_x")
        self.assertEqual((err, code), ("", 0))
        self.assertEqual(
            [line.split() for line in out.splitlines()],
            [
                ["push", "7,", "accepted", "2026-11-06", "21:20:00.000", "UTC,", "trace", PARENT[3:35]],
                ["21:20:00.000", "accepted", "logic/l1"],
                ["21:20:00.002", "+2", "ms", "stored", "logic/l1", "m:17", "#5"],
                ["21:20:00.007", "+5", "ms", "written", "comet/c1", "m:17", "#5", "member", "17,", "phone"],
                ["21:20:00.093", "+86", "ms", "acked", "logic/l1", "m:17", "#5", "member", "17,", "phone"],
                ["devices"],
                ["member", "17,", "phone", "acked", "m:17", "after", "93", "ms"],
                ["member", "17,", "pad", "expired", "m:17", "left_the_window"],
            ],
        )
        self.assertEqual(self.logic.asked, [(b"/v1/messages/7", "Bearer imd_x")])

    async def test_for_scripts(self) -> None:
        """What HTTP has, as one object."""
        body = fate([ACCEPTED], PHONE)
        self.assertEqual(await self.run_trace("--json", answers=[body]), (body.decode() + "\n", "", 0))

    async def test_not_traced(self) -> None:
        """One line with logic's words, which say what to do."""
        done = await self.run_trace(answers=[NOT_FOUND])
        self.assertEqual(done, ("", "Error: not_found: push 7 is not traced: why\n", 1))

    async def test_nobody_was_there(self) -> None:
        """Said in words."""
        out, _, code = await self.run_trace(answers=[fate([ACCEPTED])])
        self.assertEqual(code, 0)
        self.assertIn("no device is known", out)

    async def test_follow(self) -> None:
        """From before the trace is there until the device has acked; each hop is printed once, one that is late too."""
        answers = [
            NOT_FOUND,
            fate([ACCEPTED, WRITTEN], PHONE_WRITTEN),
            fate([ACCEPTED, STORED, WRITTEN], PHONE_WRITTEN),
            fate([ACCEPTED, STORED, WRITTEN, ACKED], PHONE),
        ]
        out, err, code = await self.run_trace("--follow", answers=answers)
        self.assertEqual((err, code), ("", 0))
        words = [line.split() for line in out.splitlines()]
        self.assertEqual(
            [line[1] if line[0] == "21:20:00.000" else line[3] for line in words if line[0].startswith("21:")],
            ["accepted", "written", "stored", "acked"],
        )
        self.assertIn("-5 ms", out)
        self.assertEqual(out.count("devices\n"), 1)

    async def test_follow_gives_up(self) -> None:
        """With a status of its own, and what is known by then."""
        body = fate([ACCEPTED, WRITTEN], PHONE_WRITTEN)
        out, _, code = await self.run_trace("--follow", "--wait", "0.1", answers=[body])
        self.assertEqual((code, out.count("written")), (3, 2))
        out, _, code = await self.run_trace("--follow", "--wait", "0", "--json", answers=[body])
        self.assertEqual((code, out), (3, body.decode() + "\n"))

    async def test_follow_ends_with_what_cannot_be_acked(self) -> None:
        """Expired, dropped, and live pushes that were written."""
        live = DeviceFate(State.WRITTEN, mid="17", device="phone", at=AT)
        dropped = DeviceFate(State.DROPPED, device="key", reason="outbox_full", at=AT)
        out, _, code = await self.run_trace("--follow", answers=[fate([ACCEPTED], PAD_GONE, live, dropped)])
        self.assertEqual(code, 0)
        self.assertIn("anonymous, key", out)


class ArgumentTests(SynchronousTestCase):
    """Wrong ones: exit status 2, one line that says what would be right."""

    def test_no_id(self) -> None:
        """A push's id is a number."""
        for arguments in ((), ("x",), ("-1",), (str(2**63),)):
            result: Any = CliRunner().invoke(trace, list(arguments))
            self.assertEqual(result.exit_code, 2, arguments)
