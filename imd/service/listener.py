"""A socket that is bound when the process is made and accepts when its part opens."""

import errno
import os
import socket
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.protocols.tls import TLSMemoryBIOFactory

from imd.config.address import Address, parse_address
from imd.errors import ConfigError

BACKLOG = 4096  # connections that wait for accept; the kernel caps it at net.core.somaxconn


class Listener:
    """One address. Binding fails before twistd forks, on the operator's terminal; accepting starts in :meth:`open`."""

    def __init__(
        self, key: str, text: str, *, reactor: Any, factory: IProtocolFactory, tls: Any = None, reuse_port: bool = False
    ) -> None:
        self._key = key  # of the configuration, for messages
        self._text = text
        self._reactor = reactor
        self._factory = factory
        self._tls = tls  # a context factory, or None
        self._socket: socket.socket | None = _bind(key, text, reuse_port)
        self._port: IListeningPort | None = None  # while accepting
        self.address: Address = _name(self._socket)  # as taken: never port 0

    async def open(self) -> None:
        """Accept from now on."""
        bound = self._socket
        assert bound is not None, "a listener opens once"
        try:
            bound.listen(BACKLOG)
        except OSError as error:  # another process bound it before us, and listened since
            raise _refusal(self._key, self._text, error) from None
        factory = self._factory if self._tls is None else TLSMemoryBIOFactory(self._tls, False, self._factory)
        self._port = self._reactor.adoptStreamPort(bound.fileno(), bound.family, factory)
        bound.close()
        self._socket = None

    async def close(self) -> None:
        """Accept no more."""
        if self._socket is not None:
            self._socket.close()
        if self._port is not None:
            await self._port.stopListening()  # type: ignore[misc]  # a Deferred; the interface says "or None"
            self._port = None
        if self.address.path:
            Path(self.address.path).unlink(missing_ok=True)

    def trouble(self) -> str | None:
        """None: a socket that listens goes on listening."""
        return None

    def __str__(self) -> str:
        address = self.address
        if address.path:
            return f"unix:{address.path}"
        return f"[{address.host}]:{address.port}" if ":" in address.host else f"{address.host}:{address.port}"


def _bind(key: str, text: str, reuse_port: bool) -> socket.socket:
    address = parse_address(text)
    try:
        if address.path:
            family, target = socket.AF_UNIX, _free_path(address.path)
        else:
            found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            family, target = found[0][0], found[0][4]  # type: ignore[assignment]
        bound = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            if not address.path:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if reuse_port:
                    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            bound.bind(target)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise _refusal(key, text, error) from None
    return bound


def _refusal(key: str, text: str, error: OSError) -> ConfigError:
    return ConfigError(f"{key} = {text}: cannot listen there: {_remedy(error)}")


def _free_path(path: str) -> str:
    """The path, freed of a socket that a dead process left. A living one's is kept, and binding fails."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except FileNotFoundError:
            return path
    return path


def _name(bound: socket.socket) -> Address:
    name = bound.getsockname()
    return Address("", 0, name) if isinstance(name, str) else Address(name[0], name[1])


def _remedy(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"{error.strerror}; give an address of this machine"
    words = (error.strerror or str(error)).lower()
    hints = {
        errno.EADDRINUSE: "another process listens there; stop it or choose another port",
        errno.EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher one",
        errno.EADDRNOTAVAIL: "this machine has no such address",
        errno.ENOENT: "the folder does not exist",
    }
    hint = hints.get(error.errno or 0)
    return f"{words}; {hint}" if hint else words
