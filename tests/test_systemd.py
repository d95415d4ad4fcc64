"""The units: systemd understands them, they are shut in, and what they start exists."""

import re
import shlex
import subprocess
from pathlib import Path

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

from imd.config import load
from imd.config.settings import Comet
from imd.service.cores import MAX_PROCESSES

ROOT = Path(__file__).parent.parent
UNITS = sorted((ROOT / "systemd").glob("*.service"))
TARGETS = sorted((ROOT / "systemd").glob("*.target"))
TWISTD = "/opt/imd/bin/twistd"

RING_KIB = 64  # of locked memory, which all processes of a user share
MAX_EXPOSURE = 1.2  # of 10, as systemd-analyze counts
# May differ from unit to unit.
OUTSIDE_THE_SANDBOX = {"ExecStart", "Environment", "EnvironmentFile", "LimitMEMLOCK", "LimitNOFILE"}


def directives(unit: Path, section: str) -> list[tuple[str, str]]:
    """(name, value) in order; a name may come twice."""
    body = unit.read_text().partition(f"[{section}]\n")[2].partition("\n[")[0]
    lines = (line.partition("=") for line in body.splitlines() if line and not line.startswith("#"))
    return [(name, value) for name, _, value in lines]


class UnitTests(SynchronousTestCase):
    """The files as they are."""

    def test_all_are_here(self) -> None:
        """One unit a process, and comet's is a template."""
        names = [unit.name for unit in UNITS]
        self.assertEqual(names, ["imd-comet@.service", "imd-job.service", "imd-logic.service", "imd.service"])

    def test_what_they_start_exists(self) -> None:
        """A plugin of ours, with that process' shipped file, under the settings that the unit makes."""
        plugins = {maker.tapname for maker in getPlugins(IServiceMaker)}
        for unit in UNITS:
            service = dict(directives(unit, "Service"))
            program, *arguments = shlex.split(service["ExecStart"])
            self.assertEqual((program, arguments[:2]), (TWISTD, ["--nodaemon", "--pidfile="]))
            plugin, option, config, *rest = arguments[2:]
            self.assertIn(plugin, plugins)
            self.assertEqual(plugin, unit.stem.removesuffix("@"))
            self.assertEqual(option, "--config")
            role = next(role for role in ("comet", "logic", "job", "imd") if plugin.removeprefix("imd-") == role)
            self.assertEqual(config, f"/etc/imd/{role}.toml")
            environ = dict(pair.split("=", 1) for pair in service.get("Environment", "").replace("%i", "1").split())
            sets = ["server.id=host-1"] if rest == ["--id", "%H-%i"] else []
            self.assertEqual(rest, ["--id", "%H-%i"] if sets else [])
            settings = load(role, ROOT / "etc" / f"{role}.toml", environ, sets)  # raises for what it does not know
            self.assertEqual(settings.comet.reuse_port, plugin == "imd-comet")

    def test_restart_and_readiness(self) -> None:
        """Each says when it is ready and alive, comes back whatever happens, and has time to stop in good order."""
        for unit in UNITS:
            service = dict(directives(unit, "Service"))
            self.assertEqual((service["Type"], service["Restart"]), ("notify", "always"))
            self.assertGreater(int(service["WatchdogSec"]), 0)
            self.assertGreaterEqual(int(service["TimeoutStopSec"]), 2 * Comet().stop_seconds)
            if "comet" in unit.name or unit.name == "imd.service":
                self.assertGreater(int(service["LimitNOFILE"]), 2 * Comet().max_connections)

    def test_locked_memory(self) -> None:
        """Whoever may send by io_uring has room for its ring, beside those of as many comets as one command starts."""
        for unit in UNITS:
            service = dict(directives(unit, "Service"))
            if "comet" in unit.name or unit.name == "imd.service":
                limit = service["LimitMEMLOCK"]
                self.assertEqual(limit[-1], "M")
                self.assertGreaterEqual(int(limit[:-1]) * 1024, MAX_PROCESSES * RING_KIB)

    def test_sandboxes_are_alike(self) -> None:
        """What one is denied all are denied."""
        boxes = [[pair for pair in directives(unit, "Service") if pair[0] not in OUTSIDE_THE_SANDBOX] for unit in UNITS]
        for box in boxes[1:]:
            self.assertEqual(box, boxes[0])

    def test_target_takes_the_cluster(self) -> None:
        """imd.target starts and stops the three, comets by a target of their own, never the one-process imd."""
        for unit in UNITS:
            if unit.name == "imd.service":
                self.assertIn(("Conflicts", "imd.target imd-comets.target"), directives(unit, "Unit"))
                self.assertEqual(dict(directives(unit, "Install"))["WantedBy"], "multi-user.target")
                continue
            target = "imd-comets.target" if unit.name == "imd-comet@.service" else "imd.target"
            for name in ("PartOf", "Before"):
                self.assertIn((name, target), directives(unit, "Unit"))
            self.assertEqual(dict(directives(unit, "Install"))["WantedBy"], target)

    def test_target_takes_the_comets(self) -> None:
        """imd-comets.target comes and goes with imd.target, and can be enabled without it."""
        comets, whole = TARGETS
        self.assertEqual((comets.name, whole.name), ("imd-comets.target", "imd.target"))
        self.assertIn("imd-comets.target", dict(directives(whole, "Unit"))["Wants"].split())
        self.assertIn(("PartOf", "imd.target"), directives(comets, "Unit"))
        self.assertEqual(dict(directives(comets, "Install"))["WantedBy"], "multi-user.target")


class SystemdTests(SynchronousTestCase):
    """What systemd says, with a twistd that is here."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        twistd = self.folder / "twistd"
        twistd.write_text("#!/bin/sh\n")
        twistd.chmod(0o755)
        for unit in (*UNITS, *TARGETS):
            name = unit.name.replace("@.", "@1.")
            (self.folder / name).write_text(unit.read_text().replace(TWISTD, str(twistd)))
        self.names = sorted(path.name for path in self.folder.glob("imd*"))

    def analyze(self, *arguments: str) -> str:
        """What systemd-analyze says; it must be content."""
        done = subprocess.run(
            ["systemd-analyze", *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def test_verify(self) -> None:
        """No unknown directive, no wrong value, no missing program."""
        said = self.analyze("verify", "--man=no", "--recursive-errors=no", *(f"./{name}" for name in self.names))
        self.assertEqual([line for line in said.splitlines() if "imd" in line], [])

    def test_exposure(self) -> None:
        """The sandbox is as tight as the units claim."""
        for name in self.names:
            if name.endswith(".service"):
                said = self.analyze("security", "--offline=true", "--no-pager", f"./{name}")
                found = re.search(r"exposure level for .*: ([0-9.]+) ", said)
                assert found is not None, said
                self.assertLessEqual(float(found[1]), MAX_EXPOSURE, said)
