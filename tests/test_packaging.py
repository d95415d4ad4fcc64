"""What ``pip install`` brings: four plugins, one command, the pages, an extension in C where it can be compiled; and nothing of
Twisted's own."""

import configparser
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path
from typing import ClassVar

from packaging.requirements import Requirement
from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent
PLUGINS = ["imd", "imd-comet", "imd-job", "imd-logic"]
EXTENSION = "imd/transport/_battery.abi3.so"
IN_C = (".c", ".h")
SHIPPED = ("README.md", "LICENSE", "pyproject.toml", "setup.cfg", "setup.py", "imd", "twisted")


def run(*command: str | Path, cwd: Path, **sets: str) -> str:
    """What ``command`` says on stdout; a failure shows all that it said. ``sets``: of the environment."""
    # without PYTHONPATH: only what is installed is seen
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | sets
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
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache", "*.so"))
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

    def sender(self, bin_folder: Path) -> str:
        """How this imd sends where there is no io_uring."""
        code = "from imd.transport.sender import sender; print(sender('send').name)"
        return run(bin_folder / "python", "-c", code, cwd=self.work).strip()

    def wheel(self, folder: str, **sets: str) -> Path:
        """Built of a tree of its own."""
        shutil.copytree(self.work / "tree", self.work / folder / "tree")
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
        run(*pip, "wheel", "--no-deps", "--no-build-isolation", "./tree", cwd=self.work / folder, **sets)
        (wheel,) = (self.work / folder).glob("imd-*.whl")
        return wheel

    def test_wheel(self) -> None:
        """A wheel has all that is needed at run time, and no ``__init__.py`` that would overwrite Twisted's."""
        wheel = self.wheel("native")
        with zipfile.ZipFile(wheel) as archive:
            names = set(archive.namelist())
        self.assertEqual([name for name in names if name.startswith("twisted/")], ["twisted/plugins/imd_plugins.py"])
        tree = self.work / "tree"
        files = {path.relative_to(tree).as_posix() for path in (tree / "imd").rglob("*.*") if path.suffix != ".pyc"}
        self.assertIn("imd/py.typed", files)
        self.assertEqual(sorted(files - names), sorted(name for name in files if name.endswith(IN_C)))
        self.assertIn(EXTENSION, names)
        self.assertIn("-cp311-abi3-", wheel.name)  # for every Python that imd runs on
        self.assertEqual([name for name in names if name.startswith("tests")], [])
        self.assertTrue(any(name.endswith("licenses/LICENSE") for name in names), names)
        bin_folder = self.environment("plain", wheel)
        self.assert_installed(bin_folder)
        self.assertEqual(self.sender(bin_folder), "send")

    def test_wheel_without_a_compiler(self) -> None:
        """It is for every machine, and lacks nothing but the extension: whoever wants that is told what to do."""
        wheel = self.wheel("python", CC="/bin/false")
        self.assertTrue(wheel.name.endswith("-py3-none-any.whl"), wheel.name)
        with zipfile.ZipFile(wheel) as archive:
            self.assertEqual([name for name in archive.namelist() if name.endswith((".so", *IN_C))], [])
        bin_folder = self.environment("pure", wheel)
        self.assert_installed(bin_folder)
        with self.assertRaisesRegex(AssertionError, "the C extension was not built; install a C compiler"):
            self.sender(bin_folder)

    def test_source_distribution(self) -> None:
        """The extension can be built from it."""
        tree = self.work / "source"
        shutil.copytree(self.work / "tree", tree)
        code = "from setuptools.build_meta import build_sdist; build_sdist('.')"
        run(sys.executable, "-c", code, cwd=tree)
        (source,) = tree.glob("imd-*.tar.gz")
        with tarfile.open(source) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        in_c = {path.relative_to(tree).as_posix() for path in (tree / "imd").rglob("*.*") if path.suffix in IN_C}
        self.assertEqual((len(in_c), in_c - names), (3, set()))
        self.assertEqual({"setup.py", "setup.cfg", "pyproject.toml"} - names, set())

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
