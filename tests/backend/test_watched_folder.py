"""A folder in ZooKeeper as it is, through changes, losses and returns."""

from collections.abc import Mapping

from kazoo.exceptions import NoNodeError, NotEmptyError

from imd.backend.watched_folder import WatchedFolder
from imd.backend.zookeeper_session import ZookeeperSession
from tests.support.reactor import eventually, reactor
from tests.support.zookeeper_case import ZooKeeperCase


class WatchedFolderTests(ZooKeeperCase):
    """On a real server."""

    def setUp(self) -> None:
        super().setUp()
        self.told: list[dict[str, bytes]] = []

    def make(
        self, session: ZookeeperSession, *, names_only: bool = False, linger_seconds: float = 0.0
    ) -> WatchedFolder:
        def changed(nodes: Mapping[str, bytes]) -> None:
            self.told.append(dict(nodes))

        folder = WatchedFolder(
            session=session,
            reactor=reactor,
            path=f"{self.prefix}/f",
            changed=changed,
            names_only=names_only,
            linger_seconds=linger_seconds,
        )
        folder.begin()
        self.addCleanup(folder.end)
        return folder

    async def shows(self, **nodes: bytes) -> None:
        await eventually(lambda: bool(self.told) and self.told[-1] == nodes)

    async def test_an_empty_folder_is_made_and_told(self) -> None:
        """Once."""
        self.make(await self.make_session())
        await self.shows()
        self.assertEqual(self.told, [{}])

    async def test_a_folder_that_cannot_be_made(self) -> None:
        """It is tried until it can."""
        session = await self.make_session(hosts=f"{self.server.hosts}{self.prefix}/deep")
        self.make(session)
        await eventually(lambda: "has no folder" in str(session.trouble()))
        await (await self.make_session()).make_folder(self.prefix)
        await self.shows()

    async def test_a_folder_that_goes(self) -> None:
        """With what it is in, while it is watched: it is made again, and what comes then is told."""
        session, other = await self.make_session(), await self.make_session()
        self.make(session)
        await self.shows()
        for _ in range(100):
            try:
                await other.delete(f"{self.prefix}/f", -1)
                await other.delete(self.prefix, -1)
            except (NoNodeError, NotEmptyError):  # the watcher was slower, or faster
                pass
        await other.create(f"{self.prefix}/f/a", b"1")
        await self.shows(a=b"1")

    async def test_changes_are_told(self) -> None:
        """A node that comes, changes and goes, and comes again."""
        session = await self.make_session()
        self.make(session)
        await session.create(f"{self.prefix}/f/a", b"1")
        await self.shows(a=b"1")
        await session.set(f"{self.prefix}/f/a", b"2")
        await self.shows(a=b"2")
        await session.set(f"{self.prefix}/f/a", b"3")
        await session.create(f"{self.prefix}/f/b", b"4")
        await self.shows(a=b"3", b=b"4")
        await session.remove_own(f"{self.prefix}/f/a")
        await self.shows(b=b"4")
        await session.create(f"{self.prefix}/f/a", b"5")
        await self.shows(a=b"5", b=b"4")

    async def test_a_storm_of_changes_ends_right(self) -> None:
        """Changes during a read are not missed."""
        session = await self.make_session()
        self.make(session)
        for number in range(30):
            await session.create(f"{self.prefix}/f/n{number}", b"0")
        for number in range(30):
            await session.set(f"{self.prefix}/f/n{number}", b"1")
            if number % 2:
                await session.remove_own(f"{self.prefix}/f/n{number}")
        await self.shows(**{f"n{number}": b"1" for number in range(0, 30, 2)})

    async def test_names_only(self) -> None:
        """No data are read, and their changes are not told."""
        session = await self.make_session()
        self.make(session, names_only=True)
        await session.create(f"{self.prefix}/f/a", b"1")
        await self.shows(a=b"")
        calls = len(self.told)
        await session.set(f"{self.prefix}/f/a", b"2")
        await session.create(f"{self.prefix}/f/b", b"1")
        await self.shows(a=b"", b=b"")
        self.assertEqual(len(self.told), calls + 1)

    async def test_what_changed_while_away(self) -> None:
        """The last known nodes stay until the server is back; then all that happened meanwhile is seen."""
        session, other = await self.make_session(session_seconds=10.0), await self.make_session(session_seconds=10.0)
        self.make(session)
        for name in ("a", "b"):
            await other.create(f"{self.prefix}/f/{name}", b"1")
        await self.shows(a=b"1", b=b"1")
        self.server.kill()
        await eventually(lambda: not session.connected and not other.connected)
        self.assertEqual(self.told[-1], {"a": b"1", "b": b"1"})
        self.server.start()
        await eventually(lambda: other.connected)
        await other.set(f"{self.prefix}/f/a", b"2")
        await other.remove_own(f"{self.prefix}/f/b")
        await self.shows(a=b"2")

    async def test_a_lost_session_goes_on(self) -> None:
        """Watches are set again under the new one."""
        session, other = await self.make_session(), await self.make_session()
        self.make(session)
        await self.shows()
        before = session.id
        self.expire(session)
        await eventually(lambda: session.connected and session.id != before)
        await other.create(f"{self.prefix}/f/a", b"1")
        await self.shows(a=b"1")

    async def test_who_lost_a_session_with_us_has_time_to_come_back(self) -> None:
        """A node that is missing under our new session lingers; one that comes back is told at once, one that does not goes."""
        session, other = await self.make_session(), await self.make_session()
        self.make(session, linger_seconds=1.0)
        for name in ("a", "b"):
            await other.create(f"{self.prefix}/f/{name}", b"1")
        await self.shows(a=b"1", b=b"1")
        calls, before = len(self.told), (session.id, other.id)
        self.expire(session)
        self.expire(other)
        await eventually(lambda: all(each.connected and each.id not in before for each in (session, other)))
        await other.create(f"{self.prefix}/f/a", b"2")
        await self.shows(a=b"2", b=b"1")
        await self.shows(a=b"2")
        self.assertEqual(self.told[calls:], [{"a": b"2", "b": b"1"}, {"a": b"2"}])
        await other.remove_own(f"{self.prefix}/f/a")
        await self.shows()
        self.assertEqual(len(self.told), calls + 3)

    async def test_nothing_lingers_after_the_end(self) -> None:
        """No timer is left."""
        session, other = await self.make_session(), await self.make_session()
        folder = self.make(session, linger_seconds=60.0)
        await other.create(f"{self.prefix}/f/a", b"1")
        await self.shows(a=b"1")
        before = session.id
        self.expire(session)
        self.expire(other)
        await eventually(lambda: session.connected and session.id != before and not folder.nodes)
        self.assertEqual(self.told[-1], {"a": b"1"})
        folder.end()

    async def test_end_is_silent(self) -> None:
        """Nothing is told afterwards."""
        session = await self.make_session()
        folder = self.make(session)
        await self.shows()
        folder.end()
        await session.create(f"{self.prefix}/f/a", b"1")
        await session.children(f"{self.prefix}/f")
        self.assertEqual(self.told, [{}])
