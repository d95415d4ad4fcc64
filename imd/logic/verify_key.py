"""A key that tokens are verified with, bound to the one algorithm that it is for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate
from jwt import PyJWKError, PyJWS
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError, InvalidTokenError

from imd.errors import ConfigError

ALGORITHMS = ("HS256", "RS256", "ES256", "EdDSA")
MIN_SECRET_BYTES = 32  # RFC 7518 §3.2: no shorter than HS256's hash
MIN_RSA_BITS = 2048  # RFC 7518 §3.3
MAX_JWKS_KEYS = 100  # a token without kid is tried with each of its algorithm

Material = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | bytes

_PUBLIC_MEMBERS = ("kty", "n", "e", "crv", "x", "y")  # of a JWK; private ones are not even looked at
_READERS = {"RSA": RSAAlgorithm.from_jwk, "EC": ECAlgorithm.from_jwk, "OKP": OKPAlgorithm.from_jwk}


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """One key. A token that names another algorithm never meets it: a public key cannot pass for a secret."""

    algorithm: str  # one of ALGORITHMS
    material: Material = field(repr=False)  # a secret for HS256, else a public key
    kid: str = ""  # empty = has no name: it may have signed any token of its algorithm

    @classmethod
    def from_file(cls, data: bytes, *, algorithm: str, source: str, kid: str = "") -> "VerifyKey":
        """The key in a file's bytes: a secret for HS256, else a public key or certificate in PEM.

        A text file's last newline is not part of the secret. Raises :class:`imd.errors.ConfigError` naming ``source``.
        """
        assert algorithm in ALGORITHMS, algorithm
        material = _secret(data, source) if algorithm == "HS256" else _public_key(data, source)
        fits = _algorithm_of(material)
        if fits != algorithm:
            raise ConfigError(f"{source}: the key is {'one for ' + fits if fits else 'too weak'}, not for {algorithm}")
        return cls(algorithm, material, kid)

    def payload(self, token: str) -> bytes | None:
        """What the token says when this key signed it, else None. Raises nothing for any token."""
        try:
            verified = PyJWS(algorithms=[self.algorithm]).decode_complete(token, self.material, [self.algorithm])
        except (InvalidTokenError, UnicodeError):
            return None
        payload = verified["payload"]
        assert isinstance(payload, bytes)
        return payload


def read_jwks(document: bytes, *, source: str, secrets: bool) -> tuple[VerifyKey, ...]:
    """The keys of a JWKS, or of a single JWK, that can verify tokens here; others in it are skipped (RFC 7517 §5).

    ``secrets``: whether an ``oct`` key counts; what anybody can fetch is no secret. Raises :class:`imd.errors.ConfigError`
    naming ``source`` when it is no JWKS or has no such key.
    """
    try:
        raw = msgspec.json.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ConfigError(f"{source}: not JSON") from None
    listed = raw.get("keys", [raw]) if isinstance(raw, dict) else None
    if not isinstance(listed, list) or len(listed) > MAX_JWKS_KEYS:
        raise ConfigError(f'{source}: a JWKS is {{"keys": […]}} with at most {MAX_JWKS_KEYS} keys')
    keys = tuple(key for jwk in listed if isinstance(jwk, dict) and (key := _from_jwk(jwk, secrets=secrets)))
    if not keys:
        raise ConfigError(f"{source}: no key for {', '.join(ALGORITHMS[0 if secrets else 1 :])} in it")
    return keys


def _from_jwk(jwk: Mapping[str, Any], *, secrets: bool) -> VerifyKey | None:
    """None for one that is for something else, or that is broken or weak: a document may hold keys for others."""
    kid, kty = jwk.get("kid", ""), jwk.get("kty")
    if jwk.get("use", "sig") != "sig" or not isinstance(kid, str) or not isinstance(kty, str):
        return None
    if not _may_verify(jwk.get("key_ops", ["verify"])):
        return None
    try:
        if kty == "oct" and secrets:
            material: Any = _as_secret(HMACAlgorithm.from_jwk({"kty": "oct", "k": jwk["k"]}))
        elif kty in _READERS:
            material = _READERS[kty]({name: jwk[name] for name in _PUBLIC_MEMBERS if name in jwk})
        else:
            return None
    except (InvalidKeyError, PyJWKError, KeyError, ValueError, TypeError, UnsupportedAlgorithm):
        return None
    algorithm = _algorithm_of(material)
    if not algorithm or jwk.get("alg", algorithm) != algorithm:
        return None
    return VerifyKey(algorithm, material, kid)


def _may_verify(key_ops: object) -> bool:
    return isinstance(key_ops, list) and ("verify" in key_ops or "sign" in key_ops)


def _algorithm_of(material: object) -> str:
    """The one algorithm that the key is for; empty for one that is too weak or of another kind."""
    match material:
        case bytes() if len(material) >= MIN_SECRET_BYTES:
            return "HS256"
        case RSAPublicKey() if material.key_size >= MIN_RSA_BITS:
            return "RS256"
        case EllipticCurvePublicKey() if isinstance(material.curve, SECP256R1):
            return "ES256"
        case Ed25519PublicKey():
            return "EdDSA"
    return ""


def _secret(data: bytes, source: str) -> bytes:
    secret = data.rstrip(b"\r\n") if data.isascii() else data
    try:
        _as_secret(secret)
    except InvalidKeyError:
        raise ConfigError(f"{source}: a PEM key or a JWK, or empty: not a secret for HS256") from None
    if len(secret) < MIN_SECRET_BYTES:
        raise ConfigError(f"{source}: a secret for HS256 has at least {MIN_SECRET_BYTES} bytes, not {len(secret)}")
    return secret


def _as_secret(secret: bytes) -> bytes:
    """PyJWT refuses, when a token comes, secrets that look like a public key: better to hear it at start."""
    return HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)


def _public_key(data: bytes, source: str) -> Any:
    if b"PRIVATE KEY-----" in data:
        raise ConfigError(f"{source}: a private key; give the public one, the private one stays with who signs")
    try:
        if b"BEGIN CERTIFICATE" in data:
            return load_pem_x509_certificate(data).public_key()
        return load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"{source}: no public key in PEM (-----BEGIN PUBLIC KEY-----)") from None
