"""``imdctl`` against a real ``twistd imd``."""

import os
from hashlib import sha256

from twisted.internet.defer import Deferred

from tests.support.command import Command, Ended
from tests.support.ports import reserve_port
from tests.support.reactor import eventually
from tests.support.system_case import SystemCase
from tests.support.twistd import Twistd

TRANSPORTS = ("tcp", "tls", "ws", "wss")


class ImdctlTests(SystemCase):
    def setUp(self) -> None:
        self.folder = os.path.abspath(self.mktemp())
        os.mkdir(self.folder)

    def test_push_and_listen(self) -> Deferred[None]:
        """A push reaches listeners on all four transports, each of which ends after as many as it was told to wait for."""

        async def run() -> None:
            imd = await self.start(comet=self.tls())
            listeners = [
                self.imdctl(
                    *("listen", "--url", imd.urls[name], "--room", "live://r", "--count", "2", "--timeout", "15"),
                    *(("--ca-file", self.certificates.ca) if name in ("tls", "wss") else ()),
                )
                for name in TRANSPORTS
            ]
            for each in listeners:
                await eventually(lambda c=each: "connected" in c.err)  # type: ignore[misc]  # bound here
            for body in ("one", "two"):
                pushed = await self.push(imd, "--to-room", "live://r", body)
                self.assertRegex(pushed.out, r"^accepted \d+\n$")
            for each in listeners:
                ended = await each.ended()
                self.assertEqual((ended.status, ended.out), (0, "1000 one\n1000 two\n"), ended.err)

        return self.later(run)

    def test_too_few(self) -> Deferred[None]:
        """Fewer messages than asked for within the time are a failure."""

        async def run() -> None:
            imd = await self.start()
            ended = await self.imdctl("listen", "--url", imd.urls["tcp"], "--count", "1", "--timeout", "0.5").ended()
            self.assertEqual((ended.status, ended.out), (1, ""))

        return self.later(run)

    def test_push_key(self) -> Deferred[None]:
        """Without the key, or with another one, a push is refused in one line; with it it goes through."""

        async def run() -> None:
            path = f"{self.folder}/imd.toml"
            with open(path, "w") as file:
                file.write('[push]\nrequire_key = "always"\n[[push.keys]]\nname = "shop"\n')
                file.write(f'sha256 = "{sha256(b"imd_right").hexdigest()}"\n')
            imd = await self.start(arguments=("--config", path))
            self.one_line(await self.push(imd, "--to-all", "x"), "key")
            self.one_line(await self.push(imd, "--to-all", "x", key="imd_wrong"), "key")
            self.assertEqual((await self.push(imd, "--to-all", "x", key="imd_right")).status, 0)

        return self.later(run)

    def test_nobody_there(self) -> Deferred[None]:
        """No server: one line that names the address."""

        async def run() -> None:
            port = reserve_port()
            ended = await self.imdctl("push", "--url", f"http://127.0.0.1:{port}", "--to-all", "x").ended()
            self.one_line(ended, f"127.0.0.1:{port}")
            for name in TRANSPORTS:
                ended = await self.imdctl("listen", "--url", f"{name}://127.0.0.1:{port}").ended()
                self.one_line(ended, f"{name}://127.0.0.1:{port}")

        return self.later(run)

    def test_untrusted(self) -> Deferred[None]:
        """A certificate that nobody vouches for: one line that says so."""

        async def run() -> None:
            imd = await self.start(comet=self.tls())
            for name in ("tls", "wss"):
                self.one_line(await self.imdctl("listen", "--url", imd.urls[name]).ended(), "certificate")

        return self.later(run)

    def imdctl(self, *arguments: str, key: str = "") -> Command:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("IMD")}
        command = Command(*arguments, folder=self.folder, environ=environ | ({"IMDCTL_PUSH_KEY": key} if key else {}))
        self.addCleanup(command.end)
        return command

    async def push(self, imd: Twistd, *arguments: str, key: str = "") -> Ended:
        return await self.imdctl("push", "--url", imd.urls["http"].rstrip("/"), *arguments, key=key).ended()

    def one_line(self, ended: Ended, *words: str) -> None:
        """A failure that says what it is about, and nothing else."""
        self.assertEqual((ended.status, ended.out, ended.err.count("\n")), (1, "", 1), ended)
        for word in words:
            self.assertIn(word, ended.err)
