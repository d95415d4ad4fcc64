"""What each comet of several is told."""

import os
import sys
from pathlib import Path

from twisted.python.usage import Options as UsageOptions
from twisted.trial.unittest import SynchronousTestCase

from imd.config import load
from imd.errors import ConfigError
from imd.service.bound_socket import BoundSocket
from imd.service.comet import Options
from imd.service.order import Order, environment, load_as, order

FREE = ("comet.tcp=127.0.0.1:0", "comet.websocket=")


class OrderTests(SynchronousTestCase):
    """From the supervisor's own options."""

    def options(self, *sets: str, config: str = "", **twistd: object) -> Options:
        """As twistd parsed them."""
        options = Options()
        words = ["--id", "host", *(["--config", config] if config else [])]
        options.parseOptions([*words, *(word for pair in (*FREE, *sets) for word in ("--set", pair))])
        parent = UsageOptions()
        parent.update({"nodaemon": 1, **twistd})
        options.parent = parent
        return options

    def orders(self, *sets: str, count: int = 2, **how: str) -> list[Order]:
        options = self.options(*sets, **how)
        settings = load_as(options, [])
        self.bound = BoundSocket("comet.tcp", settings.comet.tcp, reuse_port=True)
        self.addCleanup(self.bound.socket.close)
        return [order(options, settings, {"comet.tcp": self.bound}, number) for number in range(1, count + 1)]

    def test_names(self) -> None:
        """Each has its own; none has the supervisor's."""
        self.assertEqual([each.name for each in self.orders(count=3)], ["host-1", "host-2", "host-3"])

    def test_ports(self) -> None:
        """The clients' is one and the same, and never 0; the operators' are ten above ours and on, peers' are ours and on."""
        found = self.orders(
            "admin.listen=127.0.0.1:3191", "rpc.listen=tcp://127.0.0.1:3109", "rpc.advertise=tcp://[::1]:9"
        )
        self.assertEqual({each.settings.comet.tcp for each in found}, {f"127.0.0.1:{self.bound.address.port}"})
        self.assertEqual([each.settings.admin.listen for each in found], ["127.0.0.1:3201", "127.0.0.1:3202"])
        self.assertEqual([each.settings.rpc.listen for each in found], ["tcp://127.0.0.1:3109", "tcp://127.0.0.1:3110"])
        self.assertEqual([each.settings.rpc.advertise for each in found], ["tcp://[::1]:9", "tcp://[::1]:10"])

    def test_free_ports_and_paths(self) -> None:
        """Port 0 and * stay: each takes a free one. A path gets the number. What is off stays off."""
        one, two = self.orders("admin.listen=127.0.0.1:0", "rpc.listen=tcp://127.0.0.1:*")
        self.assertEqual((one.settings.admin.listen, two.settings.admin.listen), ("127.0.0.1:0",) * 2)
        self.assertEqual((one.settings.rpc.listen, two.settings.rpc.advertise), ("tcp://127.0.0.1:*", ""))
        one, two = self.orders("admin.listen=unix:/run/admin", "rpc.listen=ipc:///run/rpc")
        self.assertEqual(
            (one.settings.admin.listen, two.settings.admin.listen), ("unix:/run/admin-1", "unix:/run/admin-2")
        )
        self.assertEqual((one.settings.rpc.listen, two.settings.rpc.listen), ("ipc:///run/rpc-1", "ipc:///run/rpc-2"))
        self.assertEqual(self.orders("admin.listen=")[0].settings.admin.listen, "")

    def test_no_room(self) -> None:
        """Ports end somewhere: found out before anything is started."""
        with self.assertRaisesRegex(ConfigError, r"admin\.listen: 127\.0\.0\.1:65536: an address is"):
            self.orders("admin.listen=127.0.0.1:65526")
        with self.assertRaisesRegex(ConfigError, r"^rpc\.listen: nowhere: an address is"):
            self.orders("rpc.listen=tcp://nowhere", "rpc.plaintext_on_network=true")

    def test_command(self) -> None:
        """Says the same as the settings, by whole paths, with the supervisor's words first; others override them."""
        path = Path(self.mktemp())
        path.write_text("[comet]\nbuckets = 3\n")
        (one,) = self.orders("log.level=warn", count=1, config=str(path))
        self.assertEqual(one.command[0], sys.executable)
        self.assertEqual(one.command[1:4], [os.path.abspath(sys.argv[0]), "--nodaemon", "--pidfile="])
        self.assertEqual(one.command[4:7], ["imd-comet", "--config", str(path.absolute())])
        pairs = one.command[8::2]
        self.assertEqual(set(one.command[7::2]), {"--set"})
        self.assertEqual(load("comet", path, {}, pairs), one.settings)
        self.assertEqual((one.settings.log.level, one.settings.comet.buckets), ("warn", 3))

    def test_log(self) -> None:
        """Goes where the supervisor's goes; a daemon's is a file."""
        here = os.getcwd()
        for twistd, words in (
            ({}, []),
            ({"logfile": "-"}, []),
            ({"logfile": "x.log"}, ["--logfile", f"{here}/x.log"]),
            ({"nodaemon": 0}, ["--logfile", f"{here}/twistd.log"]),
            ({"syslog": True, "prefix": "imd"}, ["--syslog", "--prefix", "imd"]),
            ({"syslog": True}, ["--syslog", "--prefix", "twisted"]),
            ({"logger": "my.observer"}, ["--logger", "my.observer"]),
        ):
            options = self.options("admin.listen=", **twistd)
            command = order(options, load_as(options, []), {}, 1).command
            self.assertEqual(command[4 : command.index("imd-comet")], words)

    def test_environment(self) -> None:
        """systemd hears of the supervisor alone."""
        ours = {"HOME": "/", "NOTIFY_SOCKET": "x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "2", "IMD_LOG_LEVEL": "warn"}
        self.assertEqual(environment(ours), {"HOME": "/", "IMD_LOG_LEVEL": "warn"})
