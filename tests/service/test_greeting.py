"""What a process says when it is ready."""

import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.config import Role, load
from imd.service.greeting import greeting
from imd.service.process import bind

_FREE = [f"{key}=127.0.0.1:0" for key in ("comet.tcp", "comet.websocket", "logic.http")]


class GreetingTests(SynchronousTestCase):
    """To be read, and pasted from."""

    def greeted(self, role: Role, *sets: str) -> tuple[str, dict[str, int]]:
        """(the text, key -> the port that was taken)."""
        settings = load(role, sets=sets)
        sockets = bind(role, settings)
        for bound in sockets.values():
            self.addCleanup(bound.socket.close)
        return greeting(role, settings, sockets), {key: bound.address.port for key, bound in sockets.items()}

    def test_imd(self) -> None:
        """Every address as taken, and commands that work with them as they stand."""
        keys = ("comet.tcp", "comet.websocket", "logic.http", "admin.listen")
        text, ports = self.greeted("imd", *(f"{key}=127.0.0.1:0" for key in keys))
        self.assertTrue(text.startswith("imd is ready\n"))
        for line in (
            f"  TCP clients         tcp://127.0.0.1:{ports['comet.tcp']}\n",
            f"  WebSocket clients   ws://127.0.0.1:{ports['comet.websocket']}/sub\n",
            f"  metrics and health  http://127.0.0.1:{ports['admin.listen']}/metrics\n",
            f"imdctl listen --url tcp://127.0.0.1:{ports['comet.tcp']} --room live://1000\n",
            f"curl -d 'hello' 'http://127.0.0.1:{ports['logic.http']}/goim/push/room?operation=1000&type=live&room=1000'\n",
        ):
            self.assertIn(line, text)

    def test_imdctl_out_of_the_path(self) -> None:
        """With `make run` nobody finds an imdctl: the one beside twistd is named."""
        settings = load("imd", sets=["admin.listen=", *_FREE])
        sockets = bind("imd", settings)
        for bound in sockets.values():
            self.addCleanup(bound.socket.close)
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        (folder / "imdctl").touch(mode=0o755)
        program = str(folder / "twistd")
        self.assertIn(f" {folder}/imdctl listen", greeting("imd", settings, sockets, program=program, path="/nowhere"))
        self.assertIn(" imdctl listen", greeting("imd", settings, sockets, program=program, path=str(folder)))

    def test_wildcards(self) -> None:
        """A URL can be dialled, which 0.0.0.0 cannot everywhere."""
        text, ports = self.greeted("comet", "comet.tcp=0.0.0.0:0", "comet.websocket=", "admin.listen=")
        self.assertEqual(text, f"imd-comet is ready\n  TCP clients         tcp://127.0.0.1:{ports['comet.tcp']}")

    def test_paths(self) -> None:
        """A unix socket is named as the configuration names it, and nothing that cannot be pasted is offered to try."""
        folder = tempfile.mkdtemp()  # short enough for a socket
        self.addCleanup(shutil.rmtree, folder)
        off = ("comet.tcp=127.0.0.1:0", "comet.websocket=", "admin.listen=")
        text, _ = self.greeted("imd", f"logic.http=unix:{folder}/http", *off)
        self.assertIn(f"  HTTP API            unix:{folder}/http", text)
        for http in (f"logic.http=unix:{folder}/other", "logic.http="):
            self.assertNotIn("try it", self.greeted("imd", http, *off)[0])

    def test_job(self) -> None:
        """One that listens nowhere says that it is ready."""
        self.assertEqual(self.greeted("job", "admin.listen=")[0], "imd-job is ready")
