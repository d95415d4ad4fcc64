"""The reactor's turn, for very many descriptors that are ready."""

from functools import partial
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.logger import Logger

TURN_EVENTS = 512  # called in one turn at most: the kernel keeps the others, and gives whoever waits longest first

_log = Logger()


def poll_quickly(reactor: Any) -> None:
    """Let an epoll reactor call whatever is ready without a context for Twisted's old log around each call.

    That context, which no line of ours shows, is a tenth of what it takes to let a client in. A reactor of another kind stays
    as it is. What is named here of Twisted's own is held by tests/service/test_quick_poll.py.
    """
    kind: type = type(reactor)
    if kind is EPollReactor:
        reactor.doIteration = partial(_turn, reactor)


def _turn(reactor: Any, timeout: float | None) -> None:
    """As ``EPollReactor.doPoll``: wait up to ``timeout`` seconds, None = for ever, then call what is ready."""
    selectables = reactor._selectables
    do = reactor._doReadOrWrite
    for descriptor, event in reactor._poller.poll(timeout, TURN_EVENTS):
        selectable = selectables.get(descriptor)  # None: one of those before it has closed it
        if selectable is not None:
            try:
                do(selectable, descriptor, event)
            except Exception:  # as Twisted: what one raises at its end is no end of the others
                _log.failure("{selectable} failed", selectable=selectable)
