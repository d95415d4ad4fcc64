"""How the process logs: one line an event, as text for people or JSON for machines, from a level up."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import IO, Any

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
)
from zope.interface import implementer

_OWN = frozenset({"log_format", "log_level", "log_namespace", "log_time", "log_source", "log_logger", "log_failure"})
# Libraries whose life events are not the operator's; "log_legacy" is Twisted's own old logger.
_QUIET = {
    "log_legacy": LogLevel.warn,
    "twisted": LogLevel.warn,
    "autobahn": LogLevel.warn,
    "kazoo": LogLevel.error,
    "txredisapi": LogLevel.critical,
}


def observer(out: IO[str], level: str, style: str) -> ILogObserver:
    """The one observer of the process. ``style`` is "text" or "json"."""
    predicate = LogLevelFilterPredicate(LogLevel.lookupByName(level))
    for namespace, quietest in _QUIET.items():
        predicate.setLogLevelForNamespace(namespace, max(quietest, LogLevel.lookupByName(level), key=_RANK.index))
    line = _json_line if style == "json" else _text_line
    return FilteringLogObserver(LineObserver(out, line), [predicate])


@implementer(ILogObserver)
class LineObserver:
    """Writes each event as ``line`` makes it, and flushes: a log that is read after a crash is whole."""

    def __init__(self, out: IO[str], line: Callable[[LogEvent], str]) -> None:
        self._out = out
        self._line = line

    def __call__(self, event: LogEvent) -> None:
        self._out.write(self._line(event) + "\n")
        self._out.flush()


def _parts(event: LogEvent) -> tuple[str, str, str, str]:
    when = datetime.fromtimestamp(event["log_time"], UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    namespace = _CLASS.sub("", event.get("log_namespace", "-").removeprefix("imd."))
    return when, event["log_level"].name, namespace, formatEvent(event)


def _text_line(event: LogEvent) -> str:
    when, level, namespace, message = _parts(event)
    failure = event.get("log_failure")
    trace = "\n" + failure.getTraceback().rstrip() if failure is not None else ""
    return f"{when} {level:<5} {namespace}: {message}{trace}"


def _json_line(event: LogEvent) -> str:
    when, level, namespace, message = _parts(event)
    record: dict[str, Any] = {"time": when, "level": level, "system": namespace, "message": message}
    failure = event.get("log_failure")
    if failure is not None:
        record["traceback"] = failure.getTraceback()
    for name, value in event.items():
        if name not in _OWN and not name.startswith("log_") and isinstance(value, str | int | float | bool):
            record.setdefault(name, value)
    return json.dumps(record, ensure_ascii=False)


_CLASS = re.compile(r"\.[A-Z]\w*$")  # a logger on a class names the class too: the file says enough
_RANK = [LogLevel.debug, LogLevel.info, LogLevel.warn, LogLevel.error, LogLevel.critical]
