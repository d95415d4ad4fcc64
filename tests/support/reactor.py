"""The installed reactor, for tests that need real time, threads or sockets."""

from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.task import deferLater

reactor: Any = installed  # Twisted types it as the little that every reactor has


async def eventually(holds: Callable[[], bool], seconds: float = 15.0) -> None:
    """Return as soon as ``holds()`` is true; fail when it is not in time."""
    deadline = reactor.seconds() + seconds
    while not holds():
        assert reactor.seconds() < deadline, f"it did not come true within {seconds:g} s"
        await deferLater(reactor, 0.01)


def unlaunch() -> None:
    """What :func:`imd.service.launch.launch` has done to the tests' reactor is undone: others' timers go by the date."""
    for name in ("seconds", "doIteration"):
        vars(reactor).pop(name, None)
