"""A worker id is one process's, and stays its own through lost sessions where it can."""

from twisted.internet.defer import CancelledError, Deferred

from imd.backend.worker_id_lease import WorkerIdLease
from imd.backend.zookeeper_session import ZookeeperSession
from tests.support.reactor import eventually, reactor
from tests.support.zookeeper_case import ZooKeeperCase


class WorkerIdLeaseTests(ZooKeeperCase):
    """On a real server."""

    def make(self, session: ZookeeperSession, *, numbers: int = 1024) -> WorkerIdLease:
        self.changes: list[int] = []
        lease = WorkerIdLease(
            session=session,
            reactor=reactor,
            folder=f"{self.prefix}/workers",
            changed=self.changes.append,
            numbers=numbers,
        )
        self.addCleanup(lambda: Deferred.fromCoroutine(lease.release()))
        return lease

    async def leased(self, session: ZookeeperSession) -> set[int]:
        return {int(name) for name in await session.children(f"{self.prefix}/workers")}

    async def test_a_released_number_is_free(self) -> None:
        """It is out of ZooKeeper when release returns."""
        session = await self.make_session()
        lease = self.make(session)
        number = await lease.lease()
        self.assertEqual(await self.leased(session), {number})
        await lease.release()
        self.assertEqual(await self.leased(session), set())

    async def test_it_waits_for_zookeeper(self) -> None:
        """A lease asked for before there is a connection is answered after; cancelling ends the wait."""
        session = await self.make_session(wait=False)
        number = await self.make(session).lease()
        self.assertEqual(await self.leased(session), {number})
        closed = await self.make_session()
        await closed.close()
        waiting = Deferred.fromCoroutine(self.make(closed).lease())
        waiting.cancel()
        with self.assertRaises(CancelledError):
            await waiting

    async def test_a_lost_session_keeps_the_number(self) -> None:
        """It is leased again under the new session."""
        session, other = await self.make_session(), await self.make_session()
        lease = self.make(session)
        number = await lease.lease()
        before = session.id
        self.expire(session)
        await eventually(lambda: session.connected and session.id != before)
        path = f"{self.prefix}/workers/{number}"
        await eventually(lambda: lease._node is not None and lease._node._claim is None)
        self.assertEqual((await other.get(path))[2], session.id)
        self.assertEqual(self.changes, [])

    async def test_a_number_lost_with_the_session(self) -> None:
        """Another process has it by then: another number is leased and announced."""
        session, other = await self.make_session(), await self.make_session()
        number = await self.make(session).lease()
        path = f"{self.prefix}/workers/{number}"
        await session.delete(path, 0)
        await other.create(path, b"")
        self.expire(session)
        await eventually(lambda: len(self.changes) == 1)
        self.assertNotEqual(self.changes, [number])
        self.assertEqual(await self.leased(other), {number, *self.changes})

    async def test_no_number_is_free(self) -> None:
        """It waits until one is."""
        session, other = await self.make_session(), await self.make_session()
        for number in (0, 1):
            await other.create(f"{self.prefix}/workers/{number}", b"")
        leasing = Deferred.fromCoroutine(self.make(session, numbers=2).lease())
        await other.children(f"{self.prefix}/workers")
        self.assertNoResult(leasing)
        await other.remove_own(f"{self.prefix}/workers/1")
        self.assertEqual(await leasing, 1)
