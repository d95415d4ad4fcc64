"""CURVE: who may speak on a ZeroMQ link, and encryption. Keys come from files and never reach a log."""

import os
import struct
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import zmq
import zmq.utils.z85
from twisted.logger import Logger
from zmq.auth.certs import load_certificate

from imd.errors import ConfigError
from imd.transport.zmq_socket import Reactor, ZmqSocket

ZAP_ENDPOINT = "inproc://zeromq.zap.01"  # RFC 27: libzmq asks here, within the same Context
ZAP_DOMAIN = b"imd"
KEY_SIZE = 32  # bytes


class CurveKeys(NamedTuple):
    """This process' own pair, Z85."""

    public: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"CurveKeys(public={self.public!r})"


def load_keys(path: str) -> CurveKeys:
    """The pair in a file as ``zmq.auth.create_certificates`` writes it (``*.key_secret``).

    Raises :class:`ConfigError` when there is none, or when everybody on the host may read the secret.
    """
    try:
        public, secret = load_certificate(path)
        readable_by_all = bool(os.stat(path).st_mode & 0o004)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: no CURVE key pair: {error}") from None
    if secret is None:
        raise ConfigError(f"{path}: holds no secret key")
    if readable_by_all:
        raise ConfigError(f"{path}: the secret key is readable by everybody; chmod o-r")
    return CurveKeys(_checked(path, public), _checked(path, secret))


def load_allowed(path: str) -> frozenset[bytes]:
    """The public keys in a text file: one Z85 key a line, blank lines and lines with ``#`` and a space first ignored.

    Raises :class:`ConfigError` for anything else, an empty list included: nobody could connect then.
    """
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: no list of allowed keys: {error}") from None
    # a Z85 key may itself begin with "#", hence the space
    keys = frozenset(_checked(path, line.strip()) for line in lines if line.strip() and not line.startswith(b"# "))
    if not keys:
        raise ConfigError(f"{path}: allows no key at all")
    return keys


def _checked(path: str, key: bytes) -> bytes:
    try:
        size = len(zmq.utils.z85.decode(key))
    except (KeyError, ValueError, struct.error):  # a character, a length, a number that Z85 does not have
        size = 0
    if size != KEY_SIZE:
        raise ConfigError(f"{path}: a CURVE key is {KEY_SIZE} bytes as 40 characters of Z85")
    return key


class CurveDialer:
    """Our side of links that we dial."""

    __slots__ = ("_keys",)

    def __init__(self, keys: CurveKeys) -> None:
        self._keys = keys

    def secure(self, socket: zmq.Socket[bytes], server_key: bytes) -> None:
        """Before ``connect``: talk only to the holder of ``server_key``'s secret half."""
        socket.curve_publickey = self._keys.public
        socket.curve_secretkey = self._keys.secret
        socket.curve_serverkey = server_key


class CurveGuard:
    """Our side of links that others dial: only ``allowed`` keys may.

    Without an answer at :data:`ZAP_ENDPOINT` libzmq accepts any key, so a guard must be open before a socket is secured.
    One guard a Context.
    """

    log = Logger()

    __slots__ = ("_allowed", "_context", "_keys", "_reactor", "_socket")

    def __init__(
        self, *, context: zmq.Context[zmq.Socket[bytes]], reactor: Reactor, keys: CurveKeys, allowed: Collection[bytes]
    ) -> None:
        self._context = context
        self._reactor = reactor
        self._keys = keys
        self._allowed = frozenset(allowed)  # public keys, Z85
        self._socket: ZmqSocket | None = None  # None while closed

    @property
    def public_key(self) -> str:
        """For the registry."""
        return self._keys.public.decode("ascii")

    def open(self) -> None:
        """Answer libzmq's questions from now on."""
        socket = self._context.socket(zmq.REP)
        socket.bind(ZAP_ENDPOINT)
        self._socket = ZmqSocket(reactor=self._reactor, socket=socket, received=self._asked, name="zap")

    def close(self) -> None:
        """After the sockets that it guards: nobody is let in from now on."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def secure(self, socket: zmq.Socket[bytes]) -> None:
        """Before ``bind``: refuse everybody but the allowed keys, plaintext peers included."""
        assert self._socket is not None, "a guard is opened before the sockets that it guards"
        socket.curve_server = True
        socket.curve_secretkey = self._keys.secret
        socket.zap_domain = ZAP_DOMAIN
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def _asked(self, parts: list[bytes]) -> None:
        """RFC 27: version, request id, domain, address, identity, mechanism, credentials; in lock-step, as REP is."""
        assert self._socket is not None
        request_id = parts[1] if len(parts) > 1 else b""
        address = parts[3].decode("ascii", "replace") if len(parts) > 3 else ""
        accepted = (
            len(parts) == 7
            and parts[0] == b"1.0"
            and parts[2] == ZAP_DOMAIN
            and parts[5] == b"CURVE"
            and len(parts[6]) == KEY_SIZE
            and zmq.utils.z85.encode(parts[6]) in self._allowed
        )
        if not accepted:
            self.log.warn("Refused an RPC peer from {address}: its key is not allowed", address=address)
        status, text = (b"200", b"OK") if accepted else (b"400", b"key not allowed")
        self._socket.send([b"1.0", request_id, status, text, b"", b""])
