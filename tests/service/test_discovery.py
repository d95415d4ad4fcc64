"""How processes find each other, by the configuration."""

from twisted.internet.defer import Deferred

from imd.backend.registry_static import RegistryStatic
from imd.backend.registry_zookeeper import RegistryZookeeper
from imd.backend.witness_zookeeper import WitnessZookeeper
from imd.errors import ConfigError
from imd.service.discovery import discovery
from tests.support.composition_case import CompositionCase


class DiscoveryTests(CompositionCase):
    """Registry and assignment."""

    def test_choices(self) -> None:
        """One process knows only itself; a cluster's session is opened before what uses it."""
        alone, cluster = discovery(self.process("imd")), discovery(self.process("job"))
        self.assertIsInstance(alone.registry, RegistryStatic)
        self.assertIsInstance(cluster.registry, RegistryZookeeper)
        self.assertEqual([part.name for part in cluster.parts], ["zookeeper", "witness", "registry"])
        self.assertIsNone(alone.witness)
        self.assertIsInstance(cluster.witness, WitnessZookeeper)

    def test_a_digest_in_a_file(self) -> None:
        """It holds user and password; what is wrong names the key, and nothing of the file."""
        secret = self.folder / "digest"
        secret.write_text("imd:hush\n")
        discovery(self.process("job", f"registry.digest_file={secret}"))
        secret.write_text("hush")
        refused = self.assertRaises(ConfigError, discovery, self.process("job", f"registry.digest_file={secret}"))
        self.assertEqual(str(refused), f"registry.digest_file = {secret}: does not hold USER:PASSWORD")

    def test_alone_owns_everything(self) -> Deferred[None]:
        """Every partition is this process's."""

        async def run() -> None:
            owned: list[frozenset[int]] = []

            async def changed(now: frozenset[int]) -> None:
                owned.append(now)

            await discovery(self.process("imd", "broker.partitions=3")).assignment.start(changed)
            self.assertEqual(owned, [frozenset({0, 1, 2})])

        return Deferred.fromCoroutine(run())
