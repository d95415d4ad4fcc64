"""The supervisor, before the reactor runs; what it does then is for tests/system/test_cores.py."""

import socket

from twisted.internet.defer import Deferred
from twisted.python.usage import Options as UsageOptions
from twisted.trial.unittest import TestCase

from imd.errors import ImdError
from imd.service.comet import Options
from imd.service.comets import _once, supervise
from imd.service.daemon import Daemon
from tests.support.ports import reserve_port
from tests.support.reactor import unlaunch


class SuperviseTests(TestCase):
    """From a command line."""

    def made(self, *sets: str, count: int = 2) -> Daemon:
        free = ("comet.tcp=127.0.0.1:0", "comet.websocket=127.0.0.1:0")
        options = Options()
        options.parseOptions([word for pair in (*free, *sets) for word in ("--set", pair)])
        parent = UsageOptions()
        parent.update({"nodaemon": 1})
        options.parent = parent
        self.addCleanup(unlaunch)
        return supervise(options, count, cores=[0])

    def test_greeting(self) -> None:
        """Where clients connect, and where the figures of each are."""
        port = reserve_port(-10, 1)  # the supervisor's, and the second comet's
        lines = self.made("server.id=host", f"admin.listen=127.0.0.1:{port - 10}")._greet().splitlines()
        self.assertEqual(lines[0], "imd-comet is ready")
        self.assertEqual(lines[-2], f"  host-1              http://127.0.0.1:{port}/metrics")
        self.assertEqual(len([line for line in lines if "clients" in line]), 2)

    def test_address_in_use(self) -> None:
        """The clients' or the operator's, ours or a comet's: one line on the terminal, before the fork."""
        port = reserve_port(-11, -1)  # the supervisor's, and the first comet's
        with socket.create_server(("127.0.0.1", port)):
            for pair, count in (
                (f"comet.tcp=127.0.0.1:{port}", 1),
                (f"admin.listen=127.0.0.1:{port}", 1),
                (f"admin.listen=127.0.0.1:{port - 11}", 2),
            ):
                ended = self.assertRaises(SystemExit, self.made, pair, count=count)
                self.assertRegex(
                    str(ended),
                    rf"^\w+\.\w+ = 127\.0\.0\.1:{port}: cannot listen there: address already in use; another",
                )

    def test_parts(self) -> None:
        """Each comet is one, named by its id; after them comes what waits for all."""
        daemon = self.made("server.id=host", "admin.listen=127.0.0.1:0", count=3)
        names = [part.name for part in daemon._build(daemon)]
        self.assertEqual(names, ["signals", "admin.listen", "host-1", "host-2", "host-3", "comets"])

    def test_nothing_runs_before_the_fork(self) -> Deferred[None]:
        """Nor after it, when it is stopped at once."""

        async def run() -> None:
            daemon = self.made("admin.listen=")
            self.assertEqual(daemon.troubles(), {"process": "stopping"})
            await daemon.stopService()

        return Deferred.fromCoroutine(run())


class OnceTests(TestCase):
    def test_said_once(self) -> None:
        """What keeps one comet from starting mostly keeps all: the first to say so ends them."""
        said: list[str] = []
        failed = _once(lambda error: said.append(str(error)))
        failed(ImdError("one"))
        failed(ImdError("two"))
        self.assertEqual(said, ["one"])
