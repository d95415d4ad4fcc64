"""What systemd hears."""

import os
import socket
import tempfile

from twisted.trial.unittest import SynchronousTestCase

from imd.service.notify import Notifier


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
            heard = [systemd.recv(100) for _ in range(4)]
        self.assertEqual(
            heard, [b"READY=1\nSTATUS=up", b"STATUS=broker: away", b"WATCHDOG=1", b"STOPPING=1\nSTATUS=stopping"]
        )
        self.assertEqual(notifier.watchdog_seconds, 5)

    def test_without_systemd(self) -> None:
        """Nobody is told, nothing fails; nor when systemd's socket is gone."""
        Notifier({}).ready("up")
        self.assertEqual(Notifier({}).watchdog_seconds, 0)
        Notifier({"NOTIFY_SOCKET": "/nonexistent/notify"}).ready("up")
