"""A socket that is bound while the operator looks on: before twistd forks, on the terminal."""

import errno
import os
import socket
from pathlib import Path

from imd.config.address import Address, parse_address
from imd.errors import ConfigError


class BoundSocket:
    """One address of the configuration, ours from now on. Raises :class:`ConfigError` with the key and a remedy."""

    def __init__(self, key: str, text: str, *, reuse_port: bool = False) -> None:
        self.key = key  # of the configuration, for messages
        self.text = text
        try:
            self.socket = _bind(parse_address(text), reuse_port)
        except OSError as error:
            raise self.refusal(error) from None
        self.address = _name(self.socket)  # as taken: never port 0

    def refusal(self, error: OSError) -> ConfigError:
        """What to tell the operator."""
        return ConfigError(f"{self.key} = {self.text}: cannot listen there: {_remedy(error)}")

    def __str__(self) -> str:
        """The address as the configuration would spell it."""
        address = self.address
        if address.path:
            return f"unix:{address.path}"
        return f"[{address.host}]:{address.port}" if ":" in address.host else f"{address.host}:{address.port}"


def _bind(address: Address, reuse_port: bool) -> socket.socket:
    if address.path:
        return _bound(socket.AF_UNIX, _free_path(address.path), ())
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    options = (socket.SO_REUSEADDR, socket.SO_REUSEPORT) if reuse_port else (socket.SO_REUSEADDR,)
    return _bound(found[0][0], found[0][4], options)


def _bound(family: int, target: str | tuple[object, ...], options: tuple[int, ...]) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        for option in options:
            bound.setsockopt(socket.SOL_SOCKET, option, 1)
        bound.bind(target)
    except OSError:
        bound.close()
        raise
    return bound


def _free_path(path: str) -> str:
    """The path, freed of a socket that a dead process left. A living one's is kept, and binding fails; so is a file."""
    if not Path(path).is_socket():
        return path
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
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
