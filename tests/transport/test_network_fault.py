"""What people are told when the network fails them."""

from OpenSSL.SSL import Error as TlsError
from OpenSSL.SSL import SysCallError
from twisted.internet.error import (
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
)
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseFailed

from imd.transport.network_fault import words_of


class WordsTests(SynchronousTestCase):
    """One plain phrase each."""

    def test_words(self) -> None:
        """What Twisted puts around a cause, numbers and full stops are left out."""
        cases: list[tuple[BaseException, str]] = [
            (ConnectionRefusedError(111, "Connection refused"), "the connection was refused"),
            (DNSLookupError("no results for hostname lookup: x"), "the name cannot be looked up"),
            (ConnectionDone(), "the peer hung up"),
            (ConnectionLost("went away."), "went away"),
            (ConnectionLost(), "Connection to the other side was lost in a non-clean fashion"),
            (NoRouteError(113, "No route to host"), "No route to host"),
            (TlsError([("SSL routines", "", "bad name"), ("x", "", "verify failed")]), "TLS: bad name, verify failed"),
            (TlsError([]), "TLS failed"),
            (SysCallError(-1, "Unexpected EOF"), "TLS failed"),
            (ResponseFailed([Failure(OSError("broken."))]), "broken"),
            (ValueError(), "ValueError"),
        ]
        for error, words in cases:
            self.assertEqual(words_of(error), words)
