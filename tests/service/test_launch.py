"""From a command line to a service."""

import gc
import socket
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.python.usage import Options as UsageOptions
from twisted.trial.unittest import TestCase

from imd.config import Role
from imd.service.daemon import Daemon, Part
from imd.service.launch import COMET_CYCLES, launch
from imd.service.options import Options
from imd.service.process import Process
from tests.support.reactor import eventually, unlaunch


class JobOptions(Options):
    """The role that listens least."""

    role: ClassVar[Role] = "job"


class CometOptions(Options):
    """The role that clients come to."""

    role: ClassVar[Role] = "comet"


class LaunchTests(TestCase):
    """With an admin listener."""

    def launched(self, *sets: str, build: Any = None, kind: type[Options] = JobOptions) -> Daemon:
        options = kind()
        options.parseOptions([word for pair in sets for word in ("--set", pair)])
        parent = UsageOptions()
        parent.update({"nodaemon": 1})
        options.parent = parent
        self.addCleanup(unlaunch)
        return launch(options, build or (lambda process: process.parts()))

    def test_address_in_use(self) -> None:
        """One line on the terminal, before the fork, and exit status 1."""
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            ended = self.assertRaises(SystemExit, self.launched, f"admin.listen=127.0.0.1:{port}")
        self.assertRegex(
            str(ended), rf"^admin\.listen = 127\.0\.0\.1:{port}: cannot listen there: address already in use;"
        )

    def test_nothing_runs_before_the_fork(self) -> Deferred[None]:
        """No ZeroMQ context, no part: they are made once the reactor runs."""
        built: list[Process] = []

        def build(process: Process) -> list[Part]:
            built.append(process)
            return process.parts()

        daemon = self.launched("admin.listen=127.0.0.1:0", build=build)
        self.assertEqual(built, [])

        async def run() -> None:
            self.addCleanup(gc.unfreeze)
            daemon.startService()
            await eventually(lambda: daemon.troubles() == {})
            (process,) = built
            self.assertEqual((process.role, daemon.name), ("job", "imd-job"))
            await daemon.stopService()
            self.assertTrue(process.context.closed)

        return Deferred.fromCoroutine(run())

    def test_a_comet_looks_for_cycles_less_often(self) -> Deferred[None]:
        """Than other roles do."""
        python = gc.get_threshold()
        self.addCleanup(gc.set_threshold, *python)
        self.addCleanup(gc.unfreeze)

        async def threshold(kind: type[Options]) -> int:
            daemon = self.launched(
                "admin.listen=", "comet.tcp=127.0.0.1:0", "comet.websocket=", build=lambda process: [], kind=kind
            )
            daemon.startService()
            await eventually(lambda: daemon.troubles() == {})
            await daemon.stopService()
            return gc.get_threshold()[0]

        async def run() -> None:
            self.assertEqual(await threshold(JobOptions), python[0])
            self.assertEqual(await threshold(CometOptions), COMET_CYCLES)

        return Deferred.fromCoroutine(run())
