"""How the process logs: one line an event, as text for people or JSON for machines, from a level up."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

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


class Out(Protocol):
    """What lines go to: a terminal, or a :class:`imd.service.log_file.LogFile`."""

    def write(self, line: str, /) -> object: ...
    def flush(self) -> None: ...


def observer(out: Out, level: str, style: str, process: str = "") -> ILogObserver:
    """The one observer of the process. ``style`` is "text" or "json". ``process``: which of several it is that write to
    ``out``; each of its lines says so."""
    predicate = LogLevelFilterPredicate(LogLevel.lookupByName(level))
    for namespace, quietest in _QUIET.items():
        predicate.setLogLevelForNamespace(namespace, max(quietest, LogLevel.lookupByName(level), key=_RANK.index))
    line = _json_line if style == "json" else _text_line
    return FilteringLogObserver(LineObserver(out, line, process), [predicate])


@implementer(ILogObserver)
class LineObserver:
    """Writes each event as ``line`` makes it, and flushes: a log that is read after a crash is whole."""

    def __init__(self, out: Out, line: Callable[[LogEvent], str], process: str = "") -> None:
        self._out = out
        self._line = line
        self._process = process  # who writes, where several do; empty = there is only one

    def __call__(self, event: LogEvent) -> None:
        if self._process:
            event = {**event, "process": self._process}
        self._out.write(self._line(event) + "\n")
        self._out.flush()


def _parts(event: LogEvent) -> tuple[str, str, str, str]:
    when = datetime.fromtimestamp(event["log_time"], UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    namespace = _CLASS.sub("", event.get("log_namespace", "-").removeprefix("imd."))
    return when, event["log_level"].name, namespace, _words(event)


def _words(event: LogEvent) -> str:
    """What ``formatEvent`` makes of it, in a tenth of the time if its format is a plain one: each session's end is a line."""
    try:
        return str(event["log_format"].format_map(event))
    except Exception:
        # It calls something, has no format, or a value cannot be shown: Twisted knows what to say of those.
        return formatEvent(event)


def _text_line(event: LogEvent) -> str:
    """A line, and what belongs to it indented below, so that no client's key or path can pass for a line of its own."""
    when, level, namespace, message = _parts(event)
    namespace = f"{event['process']} {namespace}" if "process" in event else namespace
    failure = event.get("log_failure")
    text = message if failure is None else f"{message}\n{failure.getTraceback().rstrip()}"
    first, *others = map(_harmless, text.split("\n"))
    return "\n".join(
        [
            f"{when} {level:<5} {namespace}: {first}",
            *(line if line.startswith("  ") else f"  {line}" for line in others),
        ]
    )


def _harmless(line: str) -> str:
    """Without what moves a cursor, colours a terminal or ends a line: those are shown as ``\\x1b``."""
    return _CONTROL.sub(lambda found: repr(found.group())[1:-1], line)


def _json_line(event: LogEvent) -> str:
    when, level, namespace, message = _parts(event)
    record: dict[str, Any] = {"time": when, "level": level, "system": namespace, "message": message}
    failure = event.get("log_failure")
    if failure is not None:
        record["traceback"] = failure.getTraceback()
    for name, value in event.items():
        if name not in _OWN and not name.startswith("log_") and isinstance(value, str | int | float | bool):
            record.setdefault(name, value)
    return json.dumps(record)  # in ASCII: some terminals obey control characters beyond it


_CLASS = re.compile(r"\.[A-Z]\w*$")  # a logger on a class names the class too: the file says enough
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # surrogates cannot be written
_RANK = [LogLevel.debug, LogLevel.info, LogLevel.warn, LogLevel.error, LogLevel.critical]
