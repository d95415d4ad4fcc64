"""A test case that puts processes together as service does: free ports, embedded backends, the real reactor."""

from collections.abc import Sequence
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from imd.config import Role, load
from imd.errors import ImdError
from imd.metrics import Metrics
from imd.service.daemon import Part
from imd.service.process import Process, bind, process
from tests.support.reactor import reactor

FREE = {
    "imd": ("comet.tcp", "comet.websocket", "logic.http", "admin.listen"),
    "comet": ("comet.tcp", "comet.websocket", "admin.listen"),
    "logic": ("logic.http", "admin.listen"),
    "job": ("admin.listen",),
}


class CompositionCase(TestCase):
    """What a test makes or opens is closed after it, in reverse."""

    def setUp(self) -> None:
        self.failures: list[ImdError] = []  # what processes stopped for
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)

    def process(self, role: Role, *sets: str) -> Process:
        """One of the role, listening nowhere yet."""
        free = [f"{key}=127.0.0.1:0" for key in FREE[role]]
        settings = load(role, sets=[*free, f"broker.path={self.folder}/imd.sqlite", *sets])
        made = process(
            role,
            settings,
            sockets=bind(role, settings),
            reactor=reactor,
            metrics=Metrics(),
            troubles=dict,
            fail=self.failures.append,
        )
        self.addCleanup(made.context.destroy, 0)
        for bound in made.sockets.values():
            self.addCleanup(bound.socket.close)
        return made

    async def opened(self, parts: Sequence[Part]) -> None:
        """Each is open, and is closed after the test."""
        for part in parts:
            await part.resource.open()
            self.addCleanup(self.closed, part)

    def closed(self, part: Part) -> Deferred[None]:
        """As a clean-up that is waited for."""
        return Deferred.fromCoroutine(part.resource.close())
