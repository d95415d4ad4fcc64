"""imdctl push: what the command line becomes, and what is refused before anything is sent."""

import os
import subprocess
import sys

from click.testing import CliRunner, Result
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.server import Site

from imd.ctl.push import push
from tests.ctl.test_push_api import ACCEPTED, Logic
from tests.support.reactor import reactor

IMDCTL = (sys.executable, "-c", "from imd.ctl.main import main; main()")


class ArgumentTests(SynchronousTestCase):
    """Wrong ones: exit status 2, one line that says what would be right."""

    def assert_refused(self, *arguments: str, words: str, status: int = 2, **environ: str) -> None:
        """Run it; it must end before a reactor is needed."""
        result: Result = CliRunner().invoke(push, list(arguments), env=environ)
        self.assertEqual(result.exit_code, status, result.output)
        self.assertIn(words, result.stderr)
        self.assertIsInstance(result.exception, SystemExit)

    def test_without_a_target(self) -> None:
        """Whom?"""
        self.assert_refused("hi", words="Give --to-room, --to-mid, --to-key or --to-all")

    def test_without_a_body(self) -> None:
        """What?"""
        self.assert_refused("--to-all", words="Missing argument 'BODY'")

    def test_wrong_values(self) -> None:
        """What logic would refuse is refused here already."""
        self.assert_refused("hi", "--to-mid", "x", words="'x' is not a valid integer")
        self.assert_refused("hi", "--to-mid", str(2**63), words="mids")
        self.assert_refused("hi", "--to-all", "--op", str(2**31), words="op")
        self.assert_refused("hi", "--to-all", "--speed", "-1", words="speed")


class PushTests(TestCase):
    """The program against a small logic."""

    async def run_push(
        self, *arguments: str, body: bytes = ACCEPTED, status: int = 200, **environ: str
    ) -> tuple[str, str, int]:
        """(stdout, stderr, exit status)."""
        self.logic = Logic(status, body, {})
        port = reactor.listenTCP(0, Site(self.logic), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        out, err, code = await getProcessOutputAndValue(
            IMDCTL[0],
            (*IMDCTL[1:], "push", *arguments),
            env={**os.environ, "IMDCTL_URL": f"http://127.0.0.1:{port.getHost().port}", **environ},
            reactor=reactor,
        )
        return out.decode(), err.decode(), code

    async def test_every_target_travels(self) -> None:
        """Repeated and mixed options are one push."""
        out, err, code = await self.run_push(
            *("--to-room", "live://1", "--to-room", "live://2", "--to-mid", "-7", "--to-key", "k", "--to-all"),
            *("--op", "-3", "--speed", "5", "--idempotency-key", "once", "hé"),
        )
        self.assertEqual((out, err, code), ("accepted 7\n", "", 0))
        asked = self.logic.asked[0][3]
        to = {"keys": ["k"], "mids": [-7], "room": None, "rooms": ["live://1", "live://2"], "all": True}
        self.assertEqual(asked.pop("to"), to)
        expected = {"op": -3, "body": "hé", "body_base64": None, "idempotency_key": "once", "speed": 5}
        self.assertEqual(asked, {**expected, "keep": None, "trace": False})

    async def test_kept_or_live(self) -> None:
        """As it is told; without a word as logic does by default."""
        for options, keep in (((), None), (("--keep",), True), (("--live",), False)):
            await self.run_push("--to-mid", "7", *options, "hi")
            self.assertEqual(self.logic.asked[0][3]["keep"], keep)

    async def test_a_traced_push_says_how_to_see_it(self) -> None:
        """On stderr, so that stdout stays what scripts read."""
        out, err, code = await self.run_push("--to-mid", "7", "--trace", "hi")
        self.assertTrue(self.logic.asked[0][3]["trace"])
        self.assertEqual((out, err, code), ("accepted 7\n", "see what becomes of it: imdctl trace 7\n", 0))

    async def test_json_is_for_scripts(self) -> None:
        """One object."""
        out, _, code = await self.run_push("--to-all", "hi", "--json")
        self.assertEqual((out, code), ('{"id":"7","result":"accepted"}\n', 0))

    async def test_refusal_is_one_line(self) -> None:
        """On stderr, with exit status 1 and no traceback."""
        body = b'{"error": {"name": "bad_request", "message": "to.room: too long"}}'
        done = await self.run_push("--to-all", "hi", body=body, status=400)
        self.assertEqual(done, ("", "Error: bad_request: to.room: too long\n", 1))


class StdinTests(SynchronousTestCase):
    """A body that is read."""

    def test_any_bytes(self) -> None:
        """The program takes them all, and says that nobody is there to push to (port 1 is nobody's)."""
        command = (*IMDCTL, "push", "--url", "http://127.0.0.1:1", "--to-all", "-")
        done = subprocess.run(command, input=b"\xff\x00", capture_output=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stderr.startswith(b"Error: http://127.0.0.1:1: cannot connect: "), done.stderr)
        self.assertEqual(done.stderr.count(b"\n"), 1)
