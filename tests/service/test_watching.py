"""Who is told of a role's processes, and how long."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.backend.registry_static import RegistryStatic
from imd.interfaces import Instance
from imd.service.watching import Watching


class WatchingTests(SynchronousTestCase):
    """Two listeners to comets."""

    def test_open_to_close(self) -> None:
        """Each hears what is there now, then each change, and nothing after the end."""
        registry = RegistryStatic()
        heard: list[list[str]] = []
        listeners = [lambda instances: heard.append([each.id for each in instances])] * 2
        watching = Watching(registry, "comet", *listeners)
        self.assertEqual(heard, [])
        self.successResultOf(Deferred.fromCoroutine(watching.open()))
        self.successResultOf(Deferred.fromCoroutine(registry.register(Instance("comet", "c1", 1, ""))))
        self.successResultOf(Deferred.fromCoroutine(registry.register(Instance("logic", "l1", 1, ""))))
        self.successResultOf(Deferred.fromCoroutine(watching.close()))
        self.successResultOf(Deferred.fromCoroutine(registry.register(Instance("comet", "c2", 1, ""))))
        self.assertEqual(heard, [[], [], ["c1"], ["c1"]])
