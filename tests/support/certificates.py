"""A certificate authority for tests, and server certificates that it signed."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Certificates:
    """Paths of PEM files."""

    ca: str  # the authority's own certificate
    cert: str  # of a server: localhost and 127.0.0.1
    key: str
    nameless_cert: str  # trusted, common name localhost, but without subjectAltName
    nameless_key: str
    other_cert: str  # trusted, but for elsewhere.example
    other_key: str


def make_certificates(directory: str | Path) -> Certificates:
    """Write them all into ``directory``, which must exist. Valid for a day."""
    folder = Path(directory)
    authority_key = generate_private_key(SECP256R1())
    authority = _sign("imd test authority", authority_key, "imd test authority", authority_key, None, authority=True)
    (folder / "ca.pem").write_bytes(authority.public_bytes(Encoding.PEM))

    def server(name: str, common_name: str, names: list[x509.GeneralName] | None) -> tuple[str, str]:
        key = generate_private_key(SECP256R1())
        certificate = _sign(common_name, key, "imd test authority", authority_key, names, authority=False)
        cert_path, key_path = folder / f"{name}.pem", folder / f"{name}-key.pem"
        cert_path.write_bytes(certificate.public_bytes(Encoding.PEM))
        key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return str(cert_path), str(key_path)

    cert, key = server("server", "localhost", [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))])
    nameless_cert, nameless_key = server("nameless", "localhost", None)
    other_cert, other_key = server("other", "elsewhere.example", [x509.DNSName("elsewhere.example")])
    return Certificates(str(folder / "ca.pem"), cert, key, nameless_cert, nameless_key, other_cert, other_key)


def _sign(
    subject: str,
    subject_key: EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: EllipticCurvePrivateKey,
    names: list[x509.GeneralName] | None,
    *,
    authority: bool,
) -> x509.Certificate:
    """A certificate for ``subject``, signed by ``issuer``; without subjectAltName when ``names`` is None."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(subject_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        # What Python 3.13 asks for, which verifies by the letter of RFC 5280.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(subject_key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if authority:
        builder = builder.add_extension(_SIGNS_CERTIFICATES, critical=True)
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key, SHA256())


_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
