"""What ``pip install`` brings: four plugins, one command, the pages; and nothing of Twisted's own."""

import configparser
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
import zipfile
from pathlib import Path
from typing import ClassVar

from packaging.requirements import Requirement
from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent
PLUGINS = ["imd", "imd-comet", "imd-job", "imd-logic"]
SHIPPED = ("README.md", "LICENSE", "pyproject.toml", "setup.cfg", "imd", "twisted")


def run(*command: str | Path, cwd: Path) -> str:
    """What ``command`` says on stdout; a failure shows all that it said."""
    # without PYTHONPATH: only what is installed is seen
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{command}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


class InstallTests(SynchronousTestCase):
    """A copy of the tree, built and installed by pip without the network."""

    work: ClassVar[Path]  # holds tree/, a copy of what is shipped, and the virtual environments

    @classmethod
    def setUpClass(cls) -> None:
        cls.work = Path(tempfile.mkdtemp(prefix="imd-packaging-"))
        (cls.work / "tree").mkdir()
        for name in SHIPPED:
            source, copy = ROOT / name, cls.work / "tree" / name
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache"))
            else:
                shutil.copy(source, copy)

    @classmethod
    def tearDownClass(cls) -> None:
        shutil.rmtree(cls.work)

    def environment(self, name: str, *install: str | Path) -> Path:
        """The bin/ of a fresh environment with ``install`` in it, which sees our dependencies but not our own install.

        Site-packages named in a .pth are put on the path, but the .pth files inside them (an editable imd) are not read.
        """
        home = self.work / name
        venv.create(home, with_pip=False, symlinks=True)
        site = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        pip = (
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--quiet",
            "--python",
            home / "bin" / "python",
        )
        # ignoring the imd that its metadata shows among our dependencies
        options = ("--ignore-installed", "--no-deps", "--no-build-isolation", "--no-index")
        run(*pip, "install", *options, *install, cwd=self.work)
        return home / "bin"

    def assert_installed(self, bin_folder: Path) -> None:
        """All plugins are offered, and imdctl runs."""
        twistd = "from twisted.scripts.twistd import run; run()"
        offered = run(bin_folder / "python", "-c", twistd, "--help", cwd=self.work)
        self.assertEqual(sorted(set(re.findall(r"^ +(imd\S*) ", offered, re.MULTILINE))), PLUGINS)
        self.assertIn("push", run(bin_folder / "imdctl", "--help", cwd=self.work))

    def test_wheel(self) -> None:
        """A wheel has all that is needed at run time, and no ``__init__.py`` that would overwrite Twisted's."""
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
        run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", self.work, "./tree", cwd=self.work)
        (wheel,) = self.work.glob("imd-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            names = set(archive.namelist())
        self.assertEqual([name for name in names if name.startswith("twisted/")], ["twisted/plugins/imd_plugins.py"])
        tree = self.work / "tree"
        files = {path.relative_to(tree).as_posix() for path in (tree / "imd").rglob("*.*") if path.suffix != ".pyc"}
        self.assertIn("imd/py.typed", files)
        self.assertEqual(sorted(files - names), [])
        self.assertEqual([name for name in names if name.startswith("tests")], [])
        self.assertTrue(any(name.endswith("licenses/LICENSE") for name in names), names)
        self.assert_installed(self.environment("plain", wheel))

    def test_editable(self) -> None:
        """An editable install does not hide the plugins, and runs what is edited."""
        bin_folder = self.environment("editable", "-e", "./tree")
        self.assert_installed(bin_folder)
        code = "import imd; print(imd.__file__)"
        self.assertEqual(
            run(bin_folder / "python", "-c", code, cwd=self.work).strip(), f"{self.work}/tree/imd/__init__.py"
        )


class ConstraintsTests(SynchronousTestCase):
    """constraints.txt holds what setup.cfg wants."""

    def test_every_requirement_is_pinned(self) -> None:
        """Each requirement, extras included, has one version that satisfies it, so that two installs are alike."""
        lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
        pins = {_plain(name): version for name, _, version in (line.partition("==") for line in lines)}
        self.assertEqual(len(pins), len(lines))
        setup = configparser.ConfigParser()
        setup.read(ROOT / "setup.cfg")
        wanted = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
        requirements = [
            Requirement(line) for text in wanted for line in text.split("\n") if line and not line.startswith("#")
        ]
        self.assertGreater(len(requirements), 10)
        for requirement in requirements:
            version = pins.get(_plain(requirement.name), "")
            self.assertTrue(
                version and requirement.specifier.contains(version), f"{requirement} is not met by {version!r}"
            )


def _plain(name: str) -> str:
    """One spelling for a distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
