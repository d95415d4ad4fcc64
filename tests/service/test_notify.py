"""What systemd hears."""

import os
import socket
import subprocess
import sys
import tempfile

from twisted.trial.unittest import SynchronousTestCase

from imd.service.notify import Notifier, is_supervised


class NotifierTests(SynchronousTestCase):
    """Datagrams on the socket that systemd names."""

    def test_words(self) -> None:
        """Ready, a status, a sign of life and the end, as sd_notify(3) spells them."""
        path = os.path.join(tempfile.mkdtemp(), "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(path)
            systemd.settimeout(5)
            notifier = Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "10000000"})
            notifier.ready("up")
            notifier.status("broker:\naway")
            notifier.alive()
            notifier.stopping()
            notifier.stopping("a fault:\nthis one")
            heard = [systemd.recv(100) for _ in range(5)]
        self.assertEqual(
            heard,
            [
                *(b"READY=1\nSTATUS=up", b"STATUS=broker: away", b"WATCHDOG=1"),
                *(b"STOPPING=1\nSTATUS=stopping", b"STOPPING=1\nSTATUS=a fault: this one"),
            ],
        )
        self.assertEqual(notifier.watchdog_seconds, 5)

    def test_supervisor(self) -> None:
        """Hears the same words, a line each, on the pipe that it left open; one that stands still holds nobody up, and one that
        is gone is no fault."""
        code = (
            "import os, sys; from imd.service.notify import Notifier, is_supervised\n"
            "assert is_supervised(os.environ); os.dup2(int(sys.argv[1]), 3)\n"
            "notifier = Notifier(os.environ); notifier.ready('up'); notifier.alive()\n"
            "for _ in range(10000): notifier.status('x' * 100)\n"
            "os.write(1, b'still here'); os.read(0, 1); notifier.alive()"
        )
        ours, theirs = os.pipe()
        words = [sys.executable, "-c", code, str(theirs)]
        environ = {**os.environ, "SUPERVISOR_FD": "3"}
        with subprocess.Popen(
            words, env=environ, pass_fds=(theirs,), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child:
            os.close(theirs)
            assert child.stdout is not None
            self.assertEqual(child.stdout.read(10), b"still here")
            self.assertEqual(os.read(ours, 30), b"READY=1\nSTATUS=up\nWATCHDOG=1\nS")
            os.close(ours)
            child.communicate(b"\n")
            self.assertEqual(child.returncode, 0)
        self.assertFalse(is_supervised({}))

    def test_without_systemd(self) -> None:
        """Nobody is told, nothing fails; nor when systemd's socket is gone."""
        Notifier({}).ready("up")
        self.assertEqual(Notifier({}).watchdog_seconds, 0)
        Notifier({"NOTIFY_SOCKET": "/nonexistent/notify"}).ready("up")
