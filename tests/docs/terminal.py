"""A terminal beside a running ``twistd imd``: runs the commands of the documentation as they stand there."""

import os
import re
import shlex
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from tests.docs.page import ROOT, Example
from tests.support.twistd import START_SECONDS, Twistd

COMMAND_SECONDS = 20.0


class Terminal:
    """What the pages call 127.0.0.1:3101, 3102, 3111 and 3190 is an imd of its own, on free ports; /etc/imd is its folder, and
    so is that of places (``21.json``)."""

    def __init__(self) -> None:
        self.imd = Twistd(sets=["admin.listen=127.0.0.1:0"]).start()
        try:
            self._wait()
            self._ports = {
                "3101": self._port(r"tcp://\S+?:(\d+)"),
                "3102": self._port(r"ws://\S+?:(\d+)/"),
                "3111": self._port(r"HTTP API +http://\S+?:(\d+)/"),
                "3190": self._port(r"http://\S+?:(\d+)/metrics"),
            }
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """A clean-up."""
        self.imd.end()

    def run(self, command: str) -> str:
        """What it prints on stdout. curl is played by us; imdctl is real, its defaults lead to this imd."""
        words = shlex.split(self._here(command))
        name = words[0].rpartition("/")[2]
        if name == "curl":
            try:
                return _curl(words[1:])
            except OSError as error:
                raise AssertionError(f"{command}: {error}\nexit status {self.imd.status}\n{self.imd.log}") from None
        assert name == "imdctl", f"the terminal does not know {command}"
        done = subprocess.run(
            [self.imdctl, *words[1:]],
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            cwd=ROOT,
            env=self.environment,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def check(self, example: Example) -> None:
        """It prints what stands below it; … is anything."""
        printed = self.run(example.command).strip()
        if example.answer:
            pattern = ".*".join(re.escape(part) for part in example.answer.split("…"))
            assert re.fullmatch(pattern, printed, re.DOTALL), f"{example.command}\n{printed}\nnot {example.answer}"

    def start(self, command: str) -> "subprocess.Popen[str]":
        """A command that goes on, ``imdctl listen``; returns once it says that it is connected."""
        words = shlex.split(self._here(command))
        process = subprocess.Popen(
            [self.imdctl, *words[1:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment
        )
        assert process.stderr is not None
        said = process.stderr.readline()
        assert said.startswith("connected to"), said
        return process

    @property
    def imdctl(self) -> str:
        """That of the Python that runs us."""
        return str(Path(sys.executable).parent / "imdctl")

    @property
    def environment(self) -> dict[str, str]:
        """In which imdctl finds this imd without being told."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("IMD")}
        return ours | {
            "IMDCTL_URL": self._here("http://127.0.0.1:3111"),
            "IMDCTL_COMET": self._here("tcp://127.0.0.1:3101"),
            "PYTHONUNBUFFERED": "1",
        }

    def _here(self, text: str) -> str:
        text = text.replace("/etc/imd/", f"{self.imd.folder}/").replace(
            "--keep-place ", f"--keep-place {self.imd.folder}/"
        )
        return re.sub(r"127\.0\.0\.1:(3101|3102|3111|3190)", lambda found: f"127.0.0.1:{self._ports[found[1]]}", text)

    def _port(self, pattern: str) -> str:
        found = re.search(pattern, self.imd.log)
        assert found, self.imd.log
        return found[1]

    def _wait(self) -> None:
        ends = time.monotonic() + START_SECONDS
        while not re.search(r"or open +\S+\n", self.imd.log):  # the greeting's last line, whole
            assert time.monotonic() < ends and self.imd.running, self.imd.log
            time.sleep(0.02)


def _curl(words: list[str]) -> str:
    """The body of the answer to ``curl [-d DATA] [-H HEADER]... URL``, as curl itself would ask."""
    headers: dict[str, str] = {}
    data, url = None, ""
    rest = iter(words)
    for word in rest:
        if word == "-d":
            data = next(rest)
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        elif word == "-H":
            name, _, value = next(rest).partition(": ")
            headers[name] = value
        else:
            assert not word.startswith("-") and not url, f"curl {word}: the terminal does not know it"
            url = word
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=COMMAND_SECONDS)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET" if data is None else "POST", target, data, headers)
        return connection.getresponse().read().decode()
    finally:
        connection.close()
