"""The registry of one process keeps the contract, and knows the processes that it was configured with."""

import msgspec
from twisted.trial.unittest import TestCase

from imd.backend.registry_static import RegistryStatic
from imd.errors import RegistryUnavailable
from tests.contract import registry as contract
from tests.contract.registry import COMET, OTHER, Seen


class RegistryStaticTests(contract.RegistryContract, TestCase):
    """The contract: every part of the process shares the object."""

    def setUp(self) -> None:
        self.registry = RegistryStatic()

    async def make_registry(self) -> RegistryStatic:
        await self.registry.open()
        self.assertIsNone(self.registry.trouble())
        return self.registry

    async def test_configured_instances_are_there(self) -> None:
        """Beside those that register; one that registers under such an id replaces it, and leaves it when it goes."""
        registry = RegistryStatic(instances=[COMET, OTHER])
        seen = Seen()
        registry.watch("comet", seen)
        self.assertTrue(seen.sees(COMET, OTHER)())
        started = msgspec.structs.replace(OTHER, boot=OTHER.boot + 1)
        await registry.register(started)
        self.assertTrue(seen.sees(COMET, started)())
        await registry.unregister(started)
        self.assertTrue(seen.sees(COMET, OTHER)())

    async def test_worker_ids_begin_where_told(self) -> None:
        """And end at 1023."""
        registry = RegistryStatic(worker_id=1022)
        self.assertEqual(await registry.lease_worker_id(), 1022)
        self.assertEqual(await registry.lease_worker_id(), 1023)
        with self.assertRaises(RegistryUnavailable):
            await registry.lease_worker_id()

    async def test_close_is_quiet(self) -> None:
        """There is nothing to let go."""
        await self.registry.close()
