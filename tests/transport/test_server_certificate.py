"""Certificates from files."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.errors import ConfigError
from imd.transport.server_certificate import ServerCertificate
from imd.transport.server_check import ServerCheck
from tests.support.certificates import make_certificates


class ServerCertificateTests(SynchronousTestCase):
    """Files that cannot be used."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.files = make_certificates(self.folder)

    def refusal(self, cert: str, key: str) -> str:
        return str(self.assertRaises(ConfigError, ServerCertificate, cert_file=cert, key_file=key))

    def test_one_clear_line(self) -> None:
        """Each fault is one line that names the file."""
        files, missing, garbage = self.files, str(self.folder / "missing.pem"), str(self.folder / "garbage.pem")
        Path(garbage).write_bytes(b"no PEM")
        cases = (
            (missing, files.key, f"the TLS certificate {missing} is missing or cannot be read"),
            (files.cert, missing, f"the TLS key {missing} is missing or cannot be read"),
            (garbage, files.key, f"the TLS certificate {garbage} is no PEM certificate"),
            (files.cert, garbage, f"the TLS key {garbage} is no PEM key, or not the one of the certificate"),
            (files.cert, files.other_key, f"the TLS key {files.other_key} is no PEM key, or not the one of"),
        )
        for cert, key, line in cases:
            refusal = self.refusal(cert, key)
            self.assertTrue(refusal.startswith(line), refusal)
            self.assertNotIn("\n", refusal)

    def test_authority_that_cannot_be_used(self) -> None:
        """The client's side says it as clearly."""
        garbage = self.folder / "garbage.pem"
        garbage.write_bytes(b"no PEM")
        for path in (str(garbage), str(self.folder / "missing.pem")):
            error = self.assertRaises(ConfigError, ServerCheck, "localhost", ca_file=path)
            self.assertIn(path, str(error))
