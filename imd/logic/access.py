"""Who may push: bearer keys with scopes, of which only hashes are kept."""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from re import fullmatch

from imd.errors import AuthRefused, ConfigError, ScopeMissing

PREFIX = "imd_"  # of the keys that are made here, so that scanners for leaked secrets can tell them
KEY_BYTES = 32  # of chance in a key: no guessing, so a plain hash of it is enough
MAX_HEADER_BYTES = 1024
SCOPES = ("push", "push:keys", "push:members", "push:room", "push:all", "read")  # and push:room:<type>


@dataclass(frozen=True, slots=True)
class PushKey:
    """One back end's key, as the configuration has it."""

    name: str  # for logs, and the space of its idempotency keys
    sha256: str  # of the key, 64 hexadecimal digits
    scopes: tuple[str, ...] = ("push",)

    def covers(self, needed: str) -> bool:
        """Whether it may do what takes the scope ``needed``: it has that very scope, or the one that holds it."""
        if needed in self.scopes or ("push" in self.scopes and needed.startswith("push:")):
            return True
        return "push:room" in self.scopes and needed.startswith("push:room:")


class PushKeys:
    """Knows the bearer keys. ``required=False``: nobody is asked for one (``trust`` mode on loopback)."""

    __slots__ = ("_keys", "required")

    def __init__(self, *, keys: Iterable[PushKey], required: bool = True) -> None:
        """Raises :class:`imd.errors.ConfigError` naming the key that cannot be used."""
        self.required = required  # False: everybody may do everything
        self._keys = tuple(keys)
        for index, key in enumerate(self._keys):
            _check(key, f"push.keys[{index}]")
        for what in ("name", "sha256"):
            if len({getattr(key, what) for key in self._keys}) < len(self._keys):
                raise ConfigError(f"push.keys: two keys have the same {what}")

    def authorize(self, header: str | None, needed: Iterable[str]) -> str:
        """The name of the key in an ``Authorization`` header; empty when none is required.

        ``needed``: scopes, all of which it must cover. Raises :class:`imd.errors.AuthRefused` or
        :class:`imd.errors.ScopeMissing`.
        """
        if not self.required:
            return ""
        key = self._find(_bearer(header))
        for scope in needed:
            if not key.covers(scope):
                raise ScopeMissing(f"the push key {key.name} has no scope {scope}")
        return key.name

    def _find(self, shown: str) -> PushKey:
        digest = sha256(shown.encode("utf-8", "surrogatepass")).hexdigest()
        # Over all of them, whether found or not: how long it takes says nothing about which keys there are.
        found = [key for key in self._keys if compare_digest(key.sha256, digest)]
        if not found:
            raise AuthRefused("the push key is not known")
        return found[0]


def new_key(random_bytes: Callable[[int], bytes]) -> tuple[str, str]:
    """(key, its SHA-256 in hex). The key is shown once and kept nowhere. ``random_bytes``: ``secrets.token_bytes``."""
    key = PREFIX + urlsafe_b64encode(random_bytes(KEY_BYTES)).rstrip(b"=").decode()
    return key, sha256(key.encode()).hexdigest()


def _bearer(header: str | None) -> str:
    if not header:
        raise AuthRefused("no push key: send it as Authorization: Bearer <key>")
    scheme, _, key = header.partition(" ")
    if scheme.lower() != "bearer" or not key.strip() or len(header) > MAX_HEADER_BYTES:
        raise AuthRefused("a push key is sent as Authorization: Bearer <key>")
    return key.strip()


def _check(key: PushKey, key_path: str) -> None:
    if not key.name:
        raise ConfigError(f"{key_path}.name: is empty")
    if not fullmatch("[0-9a-f]{64}", key.sha256):
        raise ConfigError(f"{key_path}.sha256: not the 64 lower-case hexadecimal digits of a SHA-256")
    for scope in key.scopes:
        if scope not in SCOPES and not fullmatch("push:room:.+", scope):
            raise ConfigError(f"{key_path}.scopes: {scope} is none of {', '.join(SCOPES)}, push:room:<type>")
