"""A member with several devices."""

from typing import Any

from twisted.internet.defer import Deferred

from imd.errors import NotAllowed
from tests.support.back_end import accept, bodies, numbered
from tests.support.cluster import Cluster
from tests.support.following_client import FollowingClient, follow
from tests.support.reactor import eventually
from tests.support.system_case import SystemCase

PER_PLATFORM = "{ web = 2, ios = 1 }"


class DevicesTests(SystemCase):
    """Alone, and in a cluster with the devices on different comets."""

    def test_alone(self) -> Deferred[None]:
        """All have everything; the longest there makes room, is told why and does not come back."""

        async def run() -> None:
            imd = await self.start(devices={"per_platform": PER_PLATFORM})
            await self.limited(imd.urls["http"], [imd.urls["tcp"], imd.urls["ws"]])

        return self.later(run)

    def test_a_cluster(self) -> Deferred[None]:
        """The same; the limit is one over all comets."""

        async def run() -> None:
            cluster = Cluster(devices={"per_platform": PER_PLATFORM})
            self.addCleanup(cluster.end)
            cluster.start_products()
            await cluster.start("comet1", "comet2", "logic1", "job1")
            await self.limited(
                cluster["logic1"].urls["http"], [cluster["comet1"].urls["tcp"], cluster["comet2"].urls["ws"]]
            )

        return self.later(run)

    async def limited(self, logic: str, urls: list[str]) -> None:
        """Member 7 with more and more devices."""
        to = {"mids": [7]}
        tabs = [await self.device(urls[number % 2], f"tab{number}", "web") for number in range(2)]
        phone = await self.device(urls[0], "phone", "ios")
        others = [await self.device(urls[number % 2], f"desk{number}", "desk") for number in range(3)]
        all_of_them = [*tabs, phone, *others]
        await accept(logic, numbered("first", 20, to))
        await self.have(all_of_them, bodies(numbered("first", 20, to)))
        third, newer = await self.device(urls[0], "tab2", "web"), await self.device(urls[1], "phone2", "ios")
        for gone in (tabs[0], phone):
            await self.made_room(gone)
        await accept(logic, numbered("then", 20, to))
        stay = [tabs[1], *others]
        await self.have(stay, [*bodies(numbered("first", 20, to)), *bodies(numbered("then", 20, to))])
        await self.have([third, newer], bodies(numbered("then", 20, to)))
        await self.have([tabs[0], phone], bodies(numbered("first", 20, to)))
        self.assertTrue(all(client.steady.connected for client in (*stay, third, newer)))
        # it may come back where it makes room for itself, and has what it missed
        back = await follow(self, urls, mid=7, key="tab0", platform="web", places=tabs[0].steady.places)
        await self.have([back], bodies(numbered("then", 20, to)))
        await self.made_room(tabs[1])

    async def made_room(self, client: FollowingClient) -> None:
        """It was told why, and does not come back."""
        running: Any = client.running
        self.assertIn("device_limit", str(await self.assertFailure(running, NotAllowed)))

    async def device(self, url: str, key: str, platform: str) -> FollowingClient:
        return await follow(self, [url], mid=7, key=key, platform=platform)

    async def have(self, clients: list[FollowingClient], wanted: list[bytes]) -> None:
        """Exactly these, in order."""
        for client in clients:
            await eventually(lambda client=client: len(client.bodies) >= len(wanted))  # type: ignore[misc]
            self.assertEqual((client.bodies, client.gone), (wanted, []))
