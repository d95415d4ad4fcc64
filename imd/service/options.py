"""The command line of the four twistd plugins."""

import os
import sys
from pathlib import Path
from typing import Any, ClassVar

from twisted.logger import ILogObserver
from twisted.python import usage

from imd import __version__
from imd.config import Role, Settings, load
from imd.errors import ConfigError
from imd.service.log import observer
from imd.service.log_file import LogFile
from imd.service.notify import is_supervised


class Options(usage.Options):
    """Shared by all; a role's own class names it."""

    role: ClassVar[Role]
    settings: Settings  # once the command line was read

    optParameters: ClassVar[list[list[Any]]] = [
        ["config", "c", None, "TOML file; etc/ documents every key. Without one the defaults hold."],
        [
            "id",
            None,
            None,
            "Id of this process, unique in its role; the same as --set server.id=ID. Default: host name.",
        ],
    ]
    optFlags: ClassVar[list[list[Any]]] = [["check", None, "Only say whether the configuration can be used."]]

    def __init__(self) -> None:
        super().__init__()
        self.sets: list[str] = []

    def opt_set(self, pair: str) -> None:
        """section.key=value: override one key of the configuration; may be given often."""
        self.sets.append(pair)

    opt_s = opt_set

    def opt_version(self) -> None:
        """Display imd's version and exit."""
        print(f"imd {__version__}")
        raise SystemExit(0)

    def postOptions(self) -> None:
        """Load the settings; what is wrong with them is said in plain lines, without the help around it."""
        if self["id"]:
            self.sets.append(f"server.id={self['id']}")
        path = Path(self["config"]) if self["config"] else None
        try:
            self.settings = load(self.role, path, os.environ, self.sets)
        except ConfigError as error:
            raise SystemExit(str(error)) from None
        if self["check"]:
            print(f"{path or 'defaults'}: good")
            raise SystemExit(0)

    def observer(self) -> ILogObserver | None:
        """What writes the log where twistd was told to; None = twistd's own (--logger, --syslog).

        Raises :class:`ConfigError` for a file that cannot be written.
        """
        twistd: dict[str, Any] = self.parent or {}
        if twistd.get("logger") or twistd.get("syslog"):
            return None
        path = twistd.get("logfile") or ("-" if twistd.get("nodaemon") else "twistd.log")  # as twistd has it
        try:
            out = sys.stdout if path == "-" else LogFile(path)
        except OSError as error:
            raise ConfigError(f"--logfile {path}: {(error.strerror or str(error)).lower()}") from None
        process = self.settings.server.id if is_supervised(os.environ) else ""
        return observer(out, self.settings.log.level, self.settings.log.format, process)
