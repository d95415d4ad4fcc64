"""A key verifies what it signed, by its own algorithm and no other."""

import contextlib  # not "suppress" itself: trial takes a module's attribute of that name for its own
import json
from base64 import urlsafe_b64encode
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.errors import ConfigError
from imd.logic.verify_key import ALGORITHMS, VerifyKey, read_jwks
from tests.support.signers import SIGNERS, Signer


def pem(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def jwks(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


class FileTests(SynchronousTestCase):
    """Keys from files."""

    def key(self, signer: Signer, kid: str = "") -> VerifyKey:
        return VerifyKey.from_file(signer.file, algorithm=signer.algorithm, source="file", kid=kid)

    def test_every_algorithm(self) -> None:
        """Each key reads what its own signer signed, and nothing that another one did."""
        for signer in SIGNERS.values():
            for other in SIGNERS.values():
                payload = self.key(signer).payload(other.sign({"mid": 1}))
                self.assertEqual(payload, b'{"mid":1}' if signer is other else None, (signer, other))

    def test_another_secret(self) -> None:
        """The same algorithm with another secret is nobody's."""
        token = jwt.encode({"mid": 1}, b"x" * 32, "HS256")
        self.assertIsNone(self.key(SIGNERS["HS256"]).payload(token))

    def test_public_key_as_secret(self) -> None:
        """A token that is signed with the bytes of the public key, as if they were a secret, is nobody's."""
        for name in ("RS256", "ES256", "EdDSA"):
            key = self.key(SIGNERS[name])
            self.assertIsNone(key.payload(SIGNERS[name].confused({"mid": 1})))

    def test_none(self) -> None:
        """A token without a signature is nobody's."""
        token = jwt.encode({"mid": 1}, "", "none")
        for signer in SIGNERS.values():
            self.assertIsNone(self.key(signer).payload(token))

    def test_secret_files(self) -> None:
        """A text file's newline is not part of the secret; a binary one's is."""
        text = VerifyKey.from_file(b"s" * 32 + b"\r\n", algorithm="HS256", source="file")
        self.assertEqual(text.material, b"s" * 32)
        binary = VerifyKey.from_file(b"\xff" * 31 + b"\n", algorithm="HS256", source="file")
        self.assertEqual(binary.material, b"\xff" * 31 + b"\n")

    def test_bad_files(self) -> None:
        """Each fault is said with the file's name, and without its contents."""
        weak = pem(generate_rsa(65537, 1024).public_key())
        curve = pem(generate_ec(SECP384R1()).public_key())
        private = SIGNERS["ES256"].private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        rsa = SIGNERS["RS256"].file
        cases = [
            (b"s" * 31 + b"\n", "HS256", "at least 32 bytes, not 31"),
            (b"", "HS256", "not a secret"),
            (rsa, "HS256", "a PEM key"),
            (b'{"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0"}', "HS256", "a JWK"),
            (b"nothing", "RS256", "no public key in PEM"),
            (private, "ES256", "a private key"),
            (weak, "RS256", "too weak"),
            (curve, "ES256", "too weak"),
            (rsa, "ES256", "one for RS256, not for ES256"),
        ]
        for data, algorithm, words in cases:
            with self.assertRaisesRegex(ConfigError, f"^file: .*{words}"):
                VerifyKey.from_file(data, algorithm=algorithm, source="file")

    def test_repr(self) -> None:
        """A key in a log shows no secret."""
        key = self.key(SIGNERS["HS256"])
        assert isinstance(key.material, bytes)
        self.assertNotIn(repr(key.material), repr(key))

    @given(st.text() | st.from_regex(r"[A-Za-z0-9_=-]*\.[A-Za-z0-9_=-]*\.[A-Za-z0-9_=-]*"))
    def test_garbage(self, token: str) -> None:
        """No text is a token."""
        for signer in SIGNERS.values():
            self.assertIsNone(self.key(signer).payload(token))


class JwksTests(SynchronousTestCase):
    """Keys from documents."""

    def test_every_algorithm(self) -> None:
        """Public keys of each type, a secret where secrets may be."""
        document = jwks(*(signer.jwk(kid=name) for name, signer in SIGNERS.items()))
        keys = read_jwks(document, source="file", secrets=True)
        self.assertEqual([(key.algorithm, key.kid) for key in keys], [(name, name) for name in ALGORITHMS])
        for key in keys:
            self.assertIsNotNone(key.payload(SIGNERS[key.algorithm].sign({"mid": 1})))

    def test_no_secrets_from_afar(self) -> None:
        """What anybody can fetch is no secret."""
        document = jwks(*(signer.jwk() for signer in SIGNERS.values()))
        keys = read_jwks(document, source="url", secrets=False)
        self.assertEqual([key.algorithm for key in keys], ["RS256", "ES256", "EdDSA"])
        with self.assertRaisesRegex(ConfigError, "no key for RS256, ES256, EdDSA"):
            read_jwks(jwks(SIGNERS["HS256"].jwk()), source="url", secrets=False)

    def test_single_key(self) -> None:
        """A JWK by itself is a set of one."""
        [key] = read_jwks(json.dumps(SIGNERS["ES256"].jwk(kid="a")).encode(), source="file", secrets=True)
        self.assertEqual((key.algorithm, key.kid), ("ES256", "a"))

    def test_private_parts_are_not_read(self) -> None:
        """A document with private keys in it yields public ones."""
        jwk = SIGNERS["EdDSA"].jwk() | {"d": urlsafe_b64encode(b"d" * 32).decode()}
        [key] = read_jwks(jwks(jwk), source="file", secrets=True)
        self.assertFalse(hasattr(key.material, "sign"))

    def test_keys_for_others_are_skipped(self) -> None:
        """Encryption keys, other algorithms, other curves, broken and weak ones do no harm to the good one."""
        good = SIGNERS["RS256"].jwk(kid="good")
        others: list[dict[str, Any]] = [
            good | {"use": "enc"},
            good | {"alg": "RS512"},
            good | {"key_ops": ["encrypt"]},
            good | {"kid": 5},
            good | {"n": 5},
            good | {"n": "!"},
            good | {"e": ""},
            {"kty": "RSA"},
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
            {"kty": "OKP", "crv": "X25519", "x": "AA"},
            {"kty": "oct", "k": "c2hvcnQ"},
            {"kty": ["RSA"]},
            {},
        ]
        keys = read_jwks(jwks(*others, good), source="file", secrets=True)
        self.assertEqual([key.kid for key in keys], ["good"])

    def test_no_jwks(self) -> None:
        """What is no JWKS, or has nothing usable, is refused with its source."""
        for document in (
            b"",
            b"<html>",
            b"[]",
            b'{"keys": {}}',
            b'{"keys": []}',
            b"[" * 5000,
            b"{}",
            jwks(*[{}] * 101),
        ):
            with self.assertRaisesRegex(ConfigError, "^source: "):
                read_jwks(document, source="source", secrets=True)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(["keys", "kty", "n", "e", "x", "y", "crv", "k", "kid", "alg"]),
                    inner | st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "AQAB"]),
                )
            ),
        )
    )
    def test_garbage(self, value: object) -> None:
        """Any JSON is refused by name or read; nothing else comes out."""
        with contextlib.suppress(ConfigError):
            read_jwks(json.dumps(value).encode(), source="source", secrets=True)
