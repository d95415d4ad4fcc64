"""A ZeroMQ socket in the reactor, by the file descriptor that ZeroMQ offers for that."""

from collections.abc import Callable
from typing import Any, Protocol, cast

import zmq
from twisted.internet.interfaces import IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zmq.backend import Socket as BackendSocket
from zope.interface import implementer

from imd.interfaces import Clock, Timer

TURN_MESSAGES = 500  # read in one reactor turn at most: about 5 ms

# What is nearest to C: enums, checks and options cost as much again as the calls. Frames know whether another follows, and the
# socket's own ``send`` is a wrapper in Python.
_send = BackendSocket.send
_EVENTS = int(zmq.EVENTS)
_NOW_AND_MORE = int(zmq.DONTWAIT | zmq.SNDMORE)
_READABLE = int(zmq.POLLIN)
_NOW = int(zmq.DONTWAIT)


class Reactor(Clock, Protocol):
    """What a socket needs of the reactor: its descriptors and its time."""

    def addReader(self, reader: Any) -> object: ...
    def removeReader(self, reader: Any) -> object: ...


@implementer(IReadDescriptor)
class ZmqSocket:
    """Calls ``received`` with the parts of every message, in the reactor's thread, until :meth:`close`.

    ``zmq.FD`` is edge-triggered: it wakes the reactor once for any number of events, and a send may swallow the wake-up of
    a message that came meanwhile. So it is read until it is empty after every wake-up, and looked at after every send.
    An error that ``received`` raises is a bug: logged, and the next message comes all the same.
    """

    log = Logger()

    __slots__ = ("_closed", "_draining", "_fd", "_later", "_name", "_reactor", "_received", "_socket")

    def __init__(
        self, *, reactor: Reactor, socket: zmq.Socket[bytes], received: Callable[[list[bytes]], None], name: str
    ) -> None:
        self._reactor = reactor
        self._socket = socket  # set up, bound or connected by the caller; closed by us
        self._received = received
        self._name = name  # for logs
        self._fd = cast(int, socket.getsockopt(zmq.FD))  # asked once: it never changes, and asking costs a call into C
        self._closed = False
        self._draining = False  # inside drain(), which looks again by itself
        self._later: Timer | None = None  # the next look, when this turn's budget or a send left something
        reactor.addReader(self)
        self._look_later()  # what came before the reactor listened wakes nobody

    def send(self, parts: list[bytes]) -> None:
        """Hand one message to ZeroMQ. Raises :class:`zmq.Again` at the high-water mark or without a peer, and
        :class:`zmq.ZMQError` as the socket's kind does; nothing was sent then."""
        try:
            for part in parts[:-1]:
                _send(self._socket, part, _NOW_AND_MORE)
            _send(self._socket, parts[-1], _NOW)
        finally:
            if self._later is None and not (self._draining or self._closed) and self._readable():
                self._look_later()

    def close(self, linger_ms: int = 0) -> None:
        """No ``received`` after this. What was sent may still go out for ``linger_ms``."""
        if self._closed:
            return
        self._closed = True
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self._reactor.removeReader(self)
        self._socket.disable_monitor()  # before its reader goes: libzmq would wait for it
        self._socket.close(linger_ms)

    def drain(self, limit: int = TURN_MESSAGES) -> None:
        """Take what is there, at most ``limit`` messages; the rest in the reactor's next turn."""
        self._draining = True
        try:
            empty = self._drain(limit)
        finally:
            self._draining = False
        if not (empty or self._closed) and self._later is None:
            self._look_later()

    def _drain(self, limit: int) -> bool:
        """Whether nothing is left."""
        for number in range(limit):
            # One message a wake-up is the rule, and zmq.Again costs twice as much as to ask.
            if self._closed or (number == 1 and not self._readable()):
                return True
            try:
                parts = self._receive()
            except zmq.Again:
                return True
            try:
                self._received(parts)
            except Exception:  # the last rung: one message must not end the socket
                self.log.failure("A message on {name} failed", name=self._name)
        return False

    def _receive(self) -> list[bytes]:
        receive = self._socket.recv
        frame = receive(_NOW, copy=False)
        parts = [frame.bytes]
        while frame.more:
            frame = receive(_NOW, copy=False)
            parts.append(frame.bytes)
        return parts

    def _readable(self) -> bool:
        events: Any = self._socket.getsockopt(_EVENTS)  # no cast: that is a call
        return bool(events & _READABLE)

    def fileno(self) -> int:
        """For the reactor."""
        return -1 if self._closed else self._fd

    def doRead(self) -> None:
        """For the reactor: something happened on the socket."""
        self.drain()

    def logPrefix(self) -> str:
        """For the reactor's own log lines."""
        return self._name

    def connectionLost(self, reason: Failure) -> None:
        """For the reactor: it stops and lets go of its readers."""
        self.close()

    def _look_later(self) -> None:
        self._later = self._reactor.callLater(0, self._look)

    def _look(self) -> None:
        self._later = None
        self.drain()
