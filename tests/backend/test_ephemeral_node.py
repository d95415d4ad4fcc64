"""A name in ZooKeeper: held through every loss, refused while another living process has it."""

from kazoo.exceptions import NoNodeError

from imd.backend.ephemeral_node import EphemeralNode, Hold
from imd.backend.zookeeper_session import ZookeeperSession
from tests.support.reactor import eventually, reactor
from tests.support.zookeeper_case import SESSION_SECONDS, ZooKeeperCase


class EphemeralNodeTests(ZooKeeperCase):
    """On a real server."""

    def make(self, session: ZookeeperSession, *, patience_seconds: float = 0.0) -> EphemeralNode:
        self.taken = 0

        def taken() -> None:
            self.taken += 1

        return EphemeralNode(
            session=session,
            reactor=reactor,
            path=f"{self.prefix}/name",
            data=b"1",
            patience_seconds=patience_seconds,
            taken=taken,
        )

    async def says(self, session: ZookeeperSession) -> tuple[bytes, int] | None:
        """(data, owner) of the node; None when there is none."""
        try:
            data, _, owner = await session.get(f"{self.prefix}/name")
        except NoNodeError:
            return None
        return data, owner

    async def test_enter_and_leave(self) -> None:
        """It is there when enter returns, and gone when leave does; then it may enter again."""
        session = await self.make_session()
        node = self.make(session)
        for _ in range(2):
            self.assertIs(await node.enter(), Hold.HELD)
            self.assertEqual(await self.says(session), (b"1", session.id))
            await node.leave()
            self.assertIsNone(await self.says(session))

    async def test_no_folder_to_be_in(self) -> None:
        """``enter`` returns UNKNOWN; it is entered once there is one."""
        session = await self.make_session(hosts=f"{self.server.hosts}{self.prefix}/deep")
        node = self.make(session)
        self.assertIs(await node.enter(), Hold.UNKNOWN)
        await (await self.make_session()).make_folder(self.prefix)
        await eventually(lambda: node.hold is Hold.HELD)
        self.assertEqual(await self.says(session), (b"1", session.id))

    async def test_an_update_is_written(self) -> None:
        """The last of several wins."""
        session = await self.make_session()
        node = self.make(session)
        await node.enter()
        for data in (b"2", b"3", b"4"):
            node.update(data)
        await eventually(lambda: node._claim is None)
        self.assertEqual(await self.says(session), (b"4", session.id))

    async def test_a_living_owner_keeps_the_name(self) -> None:
        """TAKEN, without a call of ``taken``: the caller has the answer."""
        one, two = await self.make_session(), await self.make_session()
        await self.make(one).enter()
        node = self.make(two)
        self.assertIs(await node.enter(), Hold.TAKEN)
        await node.leave()
        self.assertEqual(await self.says(two), (b"1", one.id))
        self.assertEqual(self.taken, 0)

    async def test_a_dead_owner_is_waited_for(self) -> None:
        """A restart after a crash gets its name when the old session has run out."""
        one, two = await self.make_session(), await self.make_session()
        await self.make(one).enter()
        self.cut_off(one)
        node = self.make(two, patience_seconds=SESSION_SECONDS * 4)
        self.assertIs(await node.enter(), Hold.HELD)
        self.assertEqual(await self.says(two), (b"1", two.id))

    async def test_a_lost_session(self) -> None:
        """It is entered again under the new one, with the newest data."""
        session = await self.make_session()
        node = self.make(session)
        await node.enter()
        before = session.id
        self.expire(session)
        node.update(b"2")
        await eventually(lambda: session.id != before and node.hold is Hold.HELD and node._claim is None)
        self.assertEqual(await self.says(session), (b"2", session.id))

    async def test_a_node_of_our_own_earlier_session(self) -> None:
        """It is replaced, so that it does not vanish when that session runs out."""
        session, other = await self.make_session(), await self.make_session()
        await other.create(f"{self.prefix}/name", b"old")
        session._past.add(other.id)  # as if the client had noticed the end of its session before the server did
        node = self.make(session)
        self.assertIs(await node.enter(), Hold.HELD)
        self.assertEqual(await self.says(session), (b"1", session.id))

    async def test_a_name_lost_with_the_session(self) -> None:
        """Another process was faster: ``taken`` is called once; when that one leaves, the name is ours again."""
        one, two = await self.make_session(), await self.make_session()
        node = self.make(one)
        await node.enter()
        await one.delete(f"{self.prefix}/name", 0)
        await two.create(f"{self.prefix}/name", b"2")
        self.expire(one)
        await eventually(lambda: self.taken == 1)
        self.assertIs(node.hold, Hold.TAKEN)
        await two.remove_own(f"{self.prefix}/name")
        await eventually(lambda: node.hold is Hold.HELD)
        self.assertEqual(self.taken, 1)

    async def test_entered_while_zookeeper_is_away(self) -> None:
        """UNKNOWN at once; it enters when there is a connection."""
        session = await self.make_session(wait=False)
        node = self.make(session)
        self.assertIs(await node.enter(), Hold.UNKNOWN)
        await eventually(lambda: node.hold is Hold.HELD)

    async def test_left_while_zookeeper_is_away(self) -> None:
        """It raises nothing, and does not enter later."""
        session = await self.make_session(wait=False)
        node = self.make(session)
        await node.enter()
        await node.leave()
        await eventually(lambda: session.connected)
        self.assertIsNone(await self.says(session))

    async def test_leaving_twice_is_fine(self) -> None:
        """So is leaving what never entered."""
        node = self.make(await self.make_session())
        await node.leave()
        await node.enter()
        await node.leave()
        await node.leave()
