"""Codes are unique, and what travels comes back as what it was."""

from twisted.trial.unittest import SynchronousTestCase

from imd import errors
from imd.errors import CloseReason, ImdError, by_code

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ImdError)]


class CodeTests(SynchronousTestCase):
    """Numbers and names that leave the process."""

    def test_error_codes_are_unique(self) -> None:
        """Two errors with one code could not be told apart by a peer; an inherited code would be such a pair."""
        codes = [kind.code for kind in KINDS]
        self.assertEqual(len(codes), len(set(codes)), sorted(codes))

    def test_error_names_are_unique(self) -> None:
        """The same for HTTP's names."""
        names = [kind.name for kind in KINDS]
        self.assertEqual(len(names), len(set(names)), sorted(names))

    def test_every_error_has_an_http_status(self) -> None:
        """One of those for faults, 4xx or 5xx."""
        for kind in KINDS:
            self.assertIn(kind.http_status // 100, (4, 5), kind)

    def test_close_codes(self) -> None:
        """Unique, and free for applications in WebSocket's eyes."""
        codes = [reason.code for reason in CloseReason]
        self.assertEqual(len(codes), len(set(codes)))
        for reason in CloseReason:
            self.assertIn(reason.code, range(4000, 5000), reason)

    def test_labels(self) -> None:
        """As metrics, logs and goodbyes spell a reason."""
        self.assertEqual(CloseReason.SLOW_CONSUMER.label, "slow_consumer")
        self.assertTrue(CloseReason.SLOW_CONSUMER.redial)
        self.assertFalse(CloseReason.REPLACED.redial)


class ByCodeTests(SynchronousTestCase):
    """From a code in a reply to the exception that is raised here."""

    def test_round_trip(self) -> None:
        """Every error that travels is found again; the client wire's own does not travel."""
        for kind in KINDS:
            if kind is not errors.ProtocolError:
                self.assertIs(by_code(kind.code), kind)

    def test_an_unknown_code(self) -> None:
        """A newer peer's error is still an error."""
        self.assertIs(by_code(60_000), ImdError)
