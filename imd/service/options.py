"""The command line of the four twistd plugins."""

import os
import sys
from pathlib import Path
from typing import Any, ClassVar

from twisted.logger import ILogObserver
from twisted.python import usage

from imd.config import Role, Settings, load
from imd.errors import ConfigError
from imd.service.log import observer


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
        """Where the log goes; None = where twistd was told (--logger, --syslog), or its own rotated twistd.log."""
        twistd: dict[str, Any] = self.parent or {}
        path = twistd.get("logfile") or ""
        if twistd.get("logger") or twistd.get("syslog") or not (path or twistd.get("nodaemon")):
            return None
        log = self.settings.log
        to_file = path not in ("", "-")
        out = open(path, "a", encoding="utf-8") if to_file else sys.stdout  # noqa: SIM115  # open for good
        return observer(out, log.level, log.format)
