"""A fault of the network in plain words."""

from OpenSSL.SSL import Error as TlsError
from twisted.internet.error import (
    ConnectError,
    ConnectionClosed,
    ConnectionDone,
    ConnectionRefusedError,
    DNSLookupError,
)


def words_of(error: BaseException) -> str:
    """The cause in a few words and without a full stop, from the fault itself or from what Twisted wrapped around it."""
    reasons = getattr(error, "reasons", None)  # of a ResponseFailed and its kind
    if reasons:
        return words_of(reasons[0].value)
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(error, DNSLookupError):
        return "the name cannot be looked up"
    if isinstance(error, ConnectionDone):
        return "the peer hung up"
    if isinstance(error, TlsError):
        return _tls_words(error)
    # Twisted's str() of these begins with a sentence of its own, and their first argument is the system's word
    said = error.args[0] if isinstance(error, ConnectError | ConnectionClosed) and error.args else ""
    return (said or str(error) or type(error).__name__).rstrip(".")


def _tls_words(error: TlsError) -> str:
    """OpenSSL's queue of (library, function, reason); empty, or no queue, when the connection broke below TLS."""
    queue = error.args[0] if error.args else ()
    return "TLS: " + ", ".join(entry[-1] for entry in queue) if queue and isinstance(queue, list) else "TLS failed"
