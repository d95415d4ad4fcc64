"""Authentication by a JWT that the client shows (RFC 7519, RFC 8725)."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, NamedTuple

import jwt
import msgspec
from msgspec import Meta

from imd.errors import AuthRefused, PeerUnavailable
from imd.interfaces import Identity
from imd.logic.keys import KeyRing
from imd.logic.verify_key import ALGORITHMS
from imd.protocol import rpc
from imd.protocol.body import INT32, INT64, MAX_ACCEPTS, MAX_KEY_BYTES, MAX_PLATFORM_BYTES, MAX_ROOM_BYTES

MAX_TOKEN_BYTES = 8192  # nothing longer is looked at; comet's packets are smaller by default
MAX_GRANTS = 100  # rooms that a token names
LATEST_SECONDS = 2**42  # since the epoch, in 139,000 years: what expires later expires then

Int32 = Annotated[int, Meta(ge=INT32.start, le=INT32.stop - 1)]


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """What a token must say. ``[auth]``."""

    issuer: str = ""  # what iss must be; empty = not looked at
    audience: str = ""  # what aud must be or hold; empty = not looked at
    mid_claim: str = "mid"  # the claim with the member's id; without it a numeric sub serves
    leeway_seconds: float = 30.0  # how far clocks may differ
    require_exp: bool = True
    cached_tokens: int = 10_000  # verified ones that are remembered; the longest unused goes first


class _Claims(msgspec.Struct, frozen=True):
    """What a token may say besides who the client is. Unknown claims are ignored."""

    key: str | None = None  # the connection's key, as it is
    room_id: str | None = None
    accepts: Annotated[tuple[Int32, ...], Meta(max_length=MAX_ACCEPTS)] | None = None
    rooms: Annotated[tuple[str, ...], Meta(max_length=MAX_GRANTS)] = ()  # that it may join; so may it ``room_id``
    platform: str | None = None  # whose limit of devices counts


class _Verified(NamedTuple):
    identity: Identity
    claims: Mapping[str, Any]  # exp and its like, which are asked again each time
    generation: int  # of the key ring that it was verified with


class TokenAuthenticator:
    """A client is who its token says.

    **Whose key is whose.** A key that the token names is taken as it is: its issuer answers for it. Any other key (the client's
    wish, or comet's proposal) becomes the member's own: ``<mid>:<key>``; a client without a member's id gets
    ``<16 hex digits of the token's digest>:<key>``. So nobody can take, or get the pushes of, a key of somebody else by naming
    it, and the same client that comes back with the same key still replaces its own older connection.
    """

    __slots__ = ("_cache", "_keys", "_now", "_settings")

    def __init__(self, *, keys: KeyRing, now: Callable[[], float], settings: TokenSettings) -> None:
        self._keys = keys
        self._now = now  # the wall clock, seconds since the epoch
        self._settings = settings
        self._cache: OrderedDict[bytes, _Verified] = OrderedDict()  # SHA-256 of a good token -> what it says

    async def authenticate(self, request: rpc.Connect) -> Identity:
        """Raises :class:`imd.errors.AuthRefused` with the check that failed, never with any of the token;
        :class:`imd.errors.PeerUnavailable` when its key may exist but the JWKS URL cannot be asked."""
        token = request.token
        if not token:
            raise AuthRefused("no token")
        if len(token) > MAX_TOKEN_BYTES:
            raise AuthRefused(f"the token is longer than {MAX_TOKEN_BYTES} bytes")
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        verified = self._cache.get(digest)
        if verified is None or verified.generation != self._keys.generation:
            verified = await self._verify(token)
            self._remember(digest, verified)
        else:
            self._cache.move_to_end(digest)
        self._check_times(verified.claims)
        return _own(verified.identity, digest, request.key)

    async def _verify(self, token: str) -> _Verified:
        algorithm, kid = _header(token)
        if kid:
            await self._keys.learn(kid)
        candidates = self._keys.candidates(algorithm, kid)
        payload = next((payload for key in candidates if (payload := key.payload(token)) is not None), None)
        if payload is None and self._keys.doubt and not any(kid and key.kid == kid for key in candidates):
            raise PeerUnavailable("the token's key is not known, and the JWKS cannot be fetched now")
        if payload is None:
            raise AuthRefused("signature: no key of ours made it" if candidates else "kid: no key for this token")
        claims = _claims(payload)
        self._check_parties(claims)
        times = _times(claims)
        identity = _identity(claims, self._settings.mid_claim)._replace(expires_at_ms=self._expires_at_ms(times))
        return _Verified(identity, times, self._keys.generation)

    def _expires_at_ms(self, times: Mapping[str, float]) -> int:
        """The moment from which it is refused: a client that was let in within the leeway is not ended at once."""
        if "exp" not in times:
            return 0
        exp = max(0, min(times["exp"], LATEST_SECONDS))  # before a number that no float holds is reckoned with
        return int((exp + self._settings.leeway_seconds) * 1000) or 1

    def _check_parties(self, claims: Mapping[str, Any]) -> None:
        issuer, audience = self._settings.issuer, self._settings.audience
        if issuer and claims.get("iss") != issuer:
            raise AuthRefused("iss: not the issuer that is trusted here")
        said = claims.get("aud")
        if audience and audience != said and not (isinstance(said, list) and audience in said):
            raise AuthRefused("aud: the token is not meant for here")

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now, leeway = self._now(), self._settings.leeway_seconds
        if "exp" not in claims:
            if self._settings.require_exp:
                raise AuthRefused("exp: the token does not say when it expires")
        elif now - leeway >= claims["exp"]:
            raise AuthRefused("exp: the token has expired")
        if "nbf" in claims and now + leeway < claims["nbf"]:
            raise AuthRefused("nbf: the token is not valid yet")
        if "iat" in claims and now + leeway < claims["iat"]:
            raise AuthRefused("iat: the token was made in the future")

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        self._cache[digest] = verified
        self._cache.move_to_end(digest)
        while len(self._cache) > self._settings.cached_tokens:
            self._cache.popitem(last=False)


def _header(token: str) -> tuple[str, str]:
    """(algorithm, kid) that the token claims; kid is empty when it names none."""
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, UnicodeError, RecursionError):
        raise AuthRefused("the token is no JWT") from None
    algorithm, kid = header.get("alg"), header.get("kid", "")
    if algorithm not in ALGORITHMS:
        raise AuthRefused(f"alg: none of {', '.join(ALGORITHMS)}")
    if header.get("crit"):
        raise AuthRefused("crit: extensions are not understood here")
    return str(algorithm), str(kid)


def _claims(payload: bytes) -> Mapping[str, Any]:
    try:
        claims = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise AuthRefused("the token's claims are not JSON") from None
    if not isinstance(claims, dict):
        raise AuthRefused("the token's claims are no JSON object")
    return claims


def _times(claims: Mapping[str, Any]) -> Mapping[str, float]:
    """exp, nbf and iat: seconds since the epoch, each where it is given."""
    times: dict[str, float] = {}
    for name in ("exp", "nbf", "iat"):
        if name in claims:
            value = claims[name]
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise AuthRefused(f"{name}: not a number")
            times[name] = value
    return times


def _identity(claims: Mapping[str, Any], mid_claim: str) -> Identity:
    try:
        said = msgspec.convert(claims, _Claims)
    except msgspec.ValidationError as error:
        raise AuthRefused(f"claims: {error}") from None
    _limit("key", said.key or "", MAX_KEY_BYTES)
    _limit("room_id", said.room_id or "", MAX_ROOM_BYTES)
    _limit("platform", said.platform or "", MAX_PLATFORM_BYTES)
    for room in said.rooms:
        _limit("rooms", room, MAX_ROOM_BYTES)
    grants = tuple(room for room in dict.fromkeys((*said.rooms, said.room_id or "")) if room)
    return Identity(_mid(claims, mid_claim), said.key or "", said.room_id, said.accepts, said.platform, grants)


def _limit(name: str, value: str, max_bytes: int) -> None:
    if len(value.encode()) > max_bytes:
        raise AuthRefused(f"{name}: longer than {max_bytes} bytes")


def _mid(claims: Mapping[str, Any], mid_claim: str) -> int:
    """The member's id: a number, or its decimal digits (JavaScript's numbers end at 2**53)."""
    name = mid_claim if mid_claim in claims else "sub"
    value = claims.get(name)
    if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.removeprefix("-").isdigit():
        value = int(value)
    if value is None:
        raise AuthRefused(f"{mid_claim}: the token names no member")
    if isinstance(value, bool) or not isinstance(value, int) or value not in INT64:
        raise AuthRefused(f"{name}: a member's id is an int64")
    return value


def _own(identity: Identity, digest: bytes, wished: str) -> Identity:
    """With the key that the connection gets: the token's, else the wished one in a space of the member's own."""
    if identity.key:
        return identity
    key = f"{identity.mid or digest[:8].hex()}:{wished}"
    if len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
        raise AuthRefused(f"key: longer than {MAX_KEY_BYTES} bytes with the member's id before it")
    return identity._replace(key=key)
