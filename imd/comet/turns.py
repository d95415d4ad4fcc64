"""Turns: one after the other."""

from collections import deque

from twisted.internet.defer import Deferred


class Turns:
    """Of those who come with ``async with`` one is inside, the others wait in the order they came.

    Twisted's ``DeferredLock`` makes two Deferreds and eighteen calls of it, though nobody is there.
    """

    __slots__ = ("_taken", "_waiting")

    def __init__(self) -> None:
        self._taken = False  # somebody is inside
        self._waiting: deque[Deferred[None]] = deque()

    async def __aenter__(self) -> None:
        if self._taken:
            waiting: Deferred[None] = Deferred(self._waiting.remove)
            self._waiting.append(waiting)
            await waiting
        self._taken = True

    async def __aexit__(self, *_: object) -> None:
        if self._waiting:
            self._waiting.popleft().callback(None)
        else:
            self._taken = False
