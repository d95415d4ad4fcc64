"""Coming back: what was missed, in order, then what goes on; and being told when it cannot be had."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from imd.protocol.timeline import Place
from tests.support.back_end import accept, bodies, numbered
from tests.support.cluster import Cluster
from tests.support.following_client import FollowingClient, follow
from tests.support.push_load import PushLoad
from tests.support.reactor import eventually, reactor
from tests.support.system_case import SystemCase

MISSED = 1000
RATE = 100.0  # pushes a second that go on
ROOM = "chat://1"
ROOMS = {
    "chat": "{ keep = true, count = 5000 }",
    "short": "{ keep = true, count = 20 }",
    "brief": "{ keep = true, age_seconds = 2 }",
}
INBOXES = {"count": 5000}


def about(client: FollowingClient, name: str) -> list[bytes]:
    """What it was handed of the target of this name, in order."""
    return [body for body in client.bodies if body.startswith(name.encode() + b" ")]


class ResumeTests(SystemCase):
    """Alone, on SQLite, and in a cluster, on Redis."""

    def test_alone(self) -> Deferred[None]:
        """1,000 messages missed in a room and in an inbox come in order, then live ones, at 100 a second meanwhile."""

        async def run() -> None:
            imd = await self.start(rooms=ROOMS, inboxes=INBOXES)
            await self.missed_then_live(imd.urls["http"], (imd.urls["tcp"], imd.urls["ws"]))

        return self.later(run)

    def test_a_cluster(self) -> Deferred[None]:
        """The same, and the clients come back to another comet than they left."""

        async def run() -> None:
            cluster = Cluster(rooms=ROOMS, inboxes=INBOXES)
            self.addCleanup(cluster.end)
            cluster.start_products()
            await cluster.start("comet1", "comet2", "logic1", "job1")
            urls = cluster["comet1"].urls["tcp"], cluster["comet2"].urls["ws"]
            await self.missed_then_live(cluster["logic1"].urls["http"], urls)

        return self.later(run)

    async def missed_then_live(self, logic: str, urls: tuple[str, str]) -> None:
        """Members 1 and 2 leave at one of ``urls`` each, and come back at the other's."""
        room, inbox = {"room": ROOM}, {"mids": [1, 2]}
        clients = [await follow(self, [url], mid=mid, key=f"k{mid}", rooms=[ROOM]) for mid, url in enumerate(urls, 1)]
        pushes = [each for pair in zip(numbered("r", 5, room), numbered("m", 5, inbox), strict=True) for each in pair]
        await accept(logic, pushes)
        for client in clients:
            await eventually(lambda client=client: len(client.bodies) == 10)  # type: ignore[misc]  # bound at once
        places = [await self.leave(client) for client in clients]
        missed = {"r": numbered("r", MISSED, room, start=5), "m": numbered("m", MISSED, inbox, start=5)}
        for each in missed.values():
            await accept(logic, each)
        load = PushLoad(logics=[logic], targets={"room": room, "member": inbox}, rate=RATE).start()
        self.addCleanup(load.cancel)
        await deferLater(reactor, 0.5)
        back = [
            await follow(self, [url], mid=mid, key=f"k{mid}", rooms=[ROOM], places=places[mid - 1])
            for mid, url in enumerate(urls[::-1], 1)
        ]
        await deferLater(reactor, 2.5)
        await load.stop()
        self.assertGreater(load.count, 120, "the machine is too slow for this test")
        for client in back:
            await eventually(self.has_all(client, 2 * MISSED + load.count))
            for name, live in (("r", "room"), ("m", "member")):
                self.assertEqual(about(client, name), bodies(missed[name]))
                self.assertEqual(about(client, live), load.accepted[live])
                first = client.bodies.index(load.accepted[live][0])
                self.assertGreater(first, client.bodies.index(bodies(missed[name])[-1]), "live before what was missed")
            # it had nothing to put right: the server's order, and no more than once
            self.assertEqual((client.gone, client.steady.gaps, client.steady.duplicates), ([], 0, 0))
            self.assertEqual(client.troubles, [])

    def test_the_window(self) -> Deferred[None]:
        """Whoever missed as much as is kept has it; one more, or one that is too old, and it is told so, and goes on."""

        async def run() -> None:
            imd = await self.start(rooms=ROOMS, inboxes={"count": 20})
            logic = imd.urls["http"]
            for transport in ("tcp", "ws"):
                for to, rooms in (({"room": f"short://{transport}"}, [f"short://{transport}"]), ({"mids": [7]}, [])):
                    for missed, told in ((20, False), (21, True), (0, False)):
                        client = await self.away(imd.urls[transport], rooms, accept(logic, numbered("m", missed, to)))
                        await self.hears(client, logic, to, told=told, missed=missed)
                room = f"brief://{transport}"
                for missed, told in ((3, True), (0, False)):
                    client = await self.away(imd.urls[transport], [room], self.aged(logic, room, missed))
                    await self.hears(client, logic, {"room": room}, told=told, missed=missed)
            self.assertNotIn("Traceback", imd.log)

        return self.later(run)

    async def aged(self, logic: str, room: str, count: int) -> None:
        """Messages that are too old when this returns."""
        await accept(logic, numbered("m", count, {"room": room}))
        await deferLater(reactor, 2.2)

    async def away(self, url: str, rooms: list[str], meanwhile: Any) -> FollowingClient:
        """A client that came, left while ``meanwhile`` ran, and is back."""
        places = await self.leave(await follow(self, [url], mid=7, key="k", rooms=rooms))
        await meanwhile
        return await follow(self, [url], mid=7, key="k", rooms=rooms, places=places)

    async def hears(self, client: FollowingClient, logic: str, to: dict[str, Any], *, told: bool, missed: int) -> None:
        """All that it missed, or that it is lost; and what comes next in either case."""
        await accept(logic, numbered("next", 1, to))
        await eventually(lambda: b"next 0" in client.bodies)
        wanted = [] if told else bodies(numbered("m", missed, to))
        self.assertEqual((client.bodies, len(client.gone)), ([*wanted, b"next 0"], int(told)), (to, missed))
        await client.end()

    async def leave(self, client: FollowingClient) -> dict[str, Place]:
        """It hangs up; where it stood."""
        await client.end()
        return client.steady.places

    @staticmethod
    def has_all(client: FollowingClient, count: int) -> Callable[[], bool]:
        return lambda: len(client.bodies) >= count
