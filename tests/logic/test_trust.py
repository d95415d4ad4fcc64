"""Trust mode believes."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.interfaces import Identity
from imd.logic.trust import TrustAuthenticator
from imd.protocol import rpc


class TrustAuthenticatorTests(SynchronousTestCase):
    """One rule."""

    def test_believes(self) -> None:
        """The member is who the client says; the rest stays as the client asked."""
        request = rpc.Connect("c1", 1, "k", mid=5, room="live://1")
        identity = self.successResultOf(Deferred.fromCoroutine(TrustAuthenticator().authenticate(request)))
        self.assertEqual(identity, Identity(5))
