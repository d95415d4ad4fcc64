"""A test case of real processes: what it starts ends with it."""

import os
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.support.certificates import Certificates, make_certificates
from tests.support.twistd import Twistd, settings


class SystemCase(TestCase):
    """Waits in its tests have their own deadlines; ``timeout`` is for what nobody foresaw."""

    timeout = 150
    certificates: Certificates  # once ``tls`` has made them

    def later(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> Deferred[Any]:
        """Start a coroutine as a clean-up that is waited for."""
        return Deferred.fromCoroutine(call())

    def make(self, role: str = "imd", *, id: str = "", arguments: tuple[str, ...] = (), **sections: Any) -> Twistd:
        """A process that is not started; ``sections`` of its configuration as keywords."""
        process = Twistd(role, id=id, sets=settings(**sections), arguments=arguments)
        self.addCleanup(process.end)
        return process

    async def start(self, role: str = "imd", **how: Any) -> Twistd:
        """One that is ready."""
        return await self.make(role, **how).start().ready()

    def tls(self) -> dict[str, Any]:
        """Of ``[comet]``: both TLS listeners. Sets :attr:`certificates`."""
        folder = os.path.abspath(self.mktemp())
        os.mkdir(folder)
        self.certificates = make_certificates(folder)
        return {
            "tls": "127.0.0.1:0",
            "websocket_tls": "127.0.0.1:0",
            "certificate": self.certificates.cert,
            "private_key": self.certificates.key,
        }
