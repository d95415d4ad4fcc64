"""What was seen of a store is remembered in ZooKeeper, by many processes at once."""

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock

from imd.backend.witness_zookeeper import MOST, WRITE_SECONDS, WitnessZookeeper
from imd.backend.zookeeper_session import ZookeeperSession
from imd.errors import Unavailable
from imd.interfaces import Sighting
from tests.support.reactor import eventually
from tests.support.zookeeper_case import ZooKeeperCase


class WitnessZookeeperTests(ZooKeeperCase):
    """On a real server; the time between two writings is the test's."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()

    def make(self, session: ZookeeperSession) -> WitnessZookeeper:
        return WitnessZookeeper(session=session, clock=self.clock, path=f"{self.prefix}/witness")

    async def written(self, *witnesses: WitnessZookeeper) -> None:
        """All that was noted."""
        for _ in range(20):
            self.clock.advance(WRITE_SECONDS)
            await eventually(lambda: not any(witness._writing for witness in witnesses))
            if not any(witness._noted for witness in witnesses):
                return
        self.fail("it is never written")

    async def test_nothing_was_ever_noted(self) -> None:
        """There is nothing to recall."""
        self.assertEqual(await self.make(await self.make_session()).recall(), {})

    async def test_what_was_noted_is_recalled(self) -> None:
        """By another process; a second later, not at once, and not twice."""
        session = await self.make_session()
        one, other = self.make(session), self.make(session)
        sighting = Sighting("e", "t", 5)
        one.note(3, [sighting])
        self.clock.advance(WRITE_SECONDS / 2)
        self.assertEqual(await other.recall(), {})
        await self.written(one)
        self.assertEqual(await other.recall(), {3: (sighting,)})
        version = (await session.get(f"{self.prefix}/witness"))[1]
        other.note(3, [sighting])
        await self.written(other)
        self.assertEqual((await session.get(f"{self.prefix}/witness"))[1], version)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_closing_writes_what_is_left(self) -> None:
        """At once, and leaves no timer behind."""
        session = await self.make_session()
        witness = self.make(session)
        witness.note(1, [Sighting("e", "t", 5)])
        await witness.close()
        self.assertEqual(await self.make(session).recall(), {1: (Sighting("e", "t", 5),)})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_many_at_once(self) -> None:
        """Nobody's note wipes out another's, of the same partition or of others."""
        session = await self.make_session()
        witnesses = [self.make(session) for _ in range(8)]
        for number, witness in enumerate(witnesses):
            witness.note(number, [Sighting("e", "t", number)])
            witness.note(99, [Sighting("e", "t", number)])
        await self.written(*witnesses)
        recalled = await witnesses[0].recall()
        expected = {number: (Sighting("e", "t", number),) for number in range(8)}
        self.assertEqual(recalled, expected | {99: (Sighting("e", "t", 7),)})

    async def test_what_proves_nothing_goes(self) -> None:
        """Of earlier epochs nothing is kept, of the newest the greatest counts."""
        witness = self.make(await self.make_session())
        witness.note(0, [Sighting("a", "t", 99)])
        witness.note(0, [Sighting("b", f"t{number}", number) for number in range(10)])
        await witness.close()
        counts = [each.appended for each in (await witness.recall())[0]]
        self.assertEqual(counts, list(range(10 - MOST, 10)))

    async def test_zookeeper_is_away(self) -> None:
        """A recall says so; a note is written when it is back; closing does not fail."""
        session = await self.make_session(wait=False)
        witness = self.make(session)
        if not session.connected:
            with self.assertRaises(Unavailable):
                await witness.recall()
        witness.note(0, [Sighting("e", "t", 1)])
        self.clock.advance(WRITE_SECONDS)
        await eventually(lambda: session.connected)
        await self.written(witness)
        self.assertEqual(await witness.recall(), {0: (Sighting("e", "t", 1),)})
        await session.close()
        witness.note(0, [Sighting("e", "t", 2)])
        await witness.close()

    async def test_something_else_is_there(self) -> None:
        """It is no witness, and is written anew."""
        session = await self.make_session()
        await session.make_folder(f"{self.prefix}/witness")
        await session.set(f"{self.prefix}/witness", b"\xff no JSON")
        witness = self.make(session)
        self.assertEqual(await witness.recall(), {})
        witness.note(0, [Sighting("e", "t", 1)])
        await gatherResults([Deferred.fromCoroutine(witness.close())])
        self.assertEqual(await witness.recall(), {0: (Sighting("e", "t", 1),)})
