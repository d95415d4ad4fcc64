"""Connection limits."""

from twisted.trial.unittest import SynchronousTestCase

from imd.comet.admission import Admission
from imd.errors import CloseReason


class AdmissionTests(SynchronousTestCase):
    """Three in all, two from one address."""

    def setUp(self) -> None:
        self.admission = Admission(max_connections=3, max_per_address=2)

    def test_limits(self) -> None:
        """Each has its reason; who was refused counts nowhere."""
        answers = [self.admission.enter(address) for address in ("a", "a", "a", "b", "c")]
        self.assertEqual(answers, [None, None, CloseReason.ADDRESS_LIMIT, None, CloseReason.SERVER_FULL])
        self.assertEqual((self.admission.conn_count, self.admission.ip_count), (3, 2))

    def test_leave_makes_room(self) -> None:
        """For its address, and in all; an address without connections is forgotten."""
        for address in ("a", "a", "b"):
            self.admission.enter(address)
        self.admission.leave("b")
        self.assertEqual((self.admission.conn_count, self.admission.ip_count), (2, 1))
        self.assertIsNone(self.admission.enter("c"))
        self.admission.leave("a")
        self.assertIsNone(self.admission.enter("a"))

    def test_zero_is_no_limit(self) -> None:
        """It never means unbounded."""
        self.assertRaises(AssertionError, Admission, max_connections=0, max_per_address=1)
        self.assertRaises(AssertionError, Admission, max_connections=1, max_per_address=0)
