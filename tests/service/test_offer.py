"""Whether clients are sent here."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.registry_static import RegistryStatic
from imd.interfaces import Instance
from imd.service.offer import Offer
from imd.service.registration import Registration


class OfferTests(SynchronousTestCase):
    """Of a comet that is registered."""

    def test_stands_from_open_to_close(self) -> None:
        """Before and after, the comet is in the registry all the same: whom it has can be reached."""
        registry = RegistryStatic()
        seen: list[bool] = []
        registry.watch("comet", lambda instances: seen.extend(each.offline for each in instances))
        registration = Registration(
            registry=registry,
            clock=Clock(),
            describe=lambda: Instance("comet", "c1", 1, "tcp://127.0.0.1:1"),
            offered=False,
        )
        offer = Offer(registration)
        for step in (registration.open, offer.open, offer.close):
            self.successResultOf(Deferred.fromCoroutine(step()))
        self.assertEqual(seen, [True, False, True])
        self.assertIsNone(offer.trouble())
