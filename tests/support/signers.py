"""Who signs tokens in tests: one signer for each algorithm."""

import json
from dataclasses import dataclass
from hashlib import sha256
from hmac import digest
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.utils import base64url_encode


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key, and what others get to verify with."""

    algorithm: str
    private: Any  # a secret's bytes, or a private key

    @property
    def file(self) -> bytes:
        """The secret, or the public key in PEM."""
        if isinstance(self.private, bytes):
            return self.private
        public: bytes = self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return public

    def jwk(self, **members: Any) -> dict[str, Any]:
        """The secret or public key as a JWK, with ``members`` added."""
        writers: dict[str, Any] = {
            "HS256": HMACAlgorithm.to_jwk,
            "RS256": RSAAlgorithm.to_jwk,
            "ES256": ECAlgorithm.to_jwk,
            "EdDSA": OKPAlgorithm.to_jwk,
        }
        key = self.private if isinstance(self.private, bytes) else self.private.public_key()
        written: dict[str, Any] = json.loads(writers[self.algorithm](key))
        return written | members

    def sign(self, claims: object, **header: Any) -> str:
        """A token. Claims that no honest issuer would write are signed as well."""
        return self.sign_bytes(json.dumps(claims, separators=(",", ":")).encode(), **header)

    def sign_bytes(self, payload: bytes, **header: Any) -> str:
        """A token with anything for its claims."""
        return jwt.PyJWS().encode(payload, self.private, self.algorithm, headers=header or None)

    def confused(self, claims: dict[str, Any], **header: Any) -> str:
        """The classic attack: HS256 with the public key's bytes for a secret."""
        head = json.dumps({"alg": "HS256", "typ": "JWT", **header}).encode()
        signed = base64url_encode(head) + b"." + base64url_encode(json.dumps(claims).encode())
        return (signed + b"." + base64url_encode(digest(self.file, signed, sha256))).decode()


SIGNERS = {
    "HS256": Signer("HS256", b"a secret of more than 32 bytes, for tests"),
    "RS256": Signer("RS256", generate_rsa(65537, 2048)),
    "ES256": Signer("ES256", generate_ec(SECP256R1())),
    "EdDSA": Signer("EdDSA", Ed25519PrivateKey.generate()),
}
