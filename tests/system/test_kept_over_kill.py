"""``twistd imd`` killed with -9: whatever it had accepted is there."""

from collections.abc import Sequence
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from imd.client.client_v2 import ClientV2
from imd.client.core import Pushed
from imd.errors import Overloaded
from imd.protocol.body import Auth
from imd.protocol.timeline import Place
from imd.transport.dial import dial
from tests.support.cluster import together
from tests.support.following_client import follow
from tests.support.http_call import CallFailed, http
from tests.support.ports import reserve_port
from tests.support.reactor import eventually, reactor
from tests.support.system_case import SystemCase
from tests.support.twistd import Twistd

PUSHES = 10_000
KILLS_AT = PUSHES // 2
SIDES = 20  # that push at once
AT_ONCE = 10  # pushes a request
ROOM = "chat://1"
KEEP = f"{{ keep = true, count = {2 * PUSHES} }}"
TARGETS: tuple[tuple[str, Any], ...] = (("room", {"room": ROOM}), ("member", {"mids": [1, 2, 3, 4]}))


class KeptOverKillTests(SystemCase):
    """Members 1 and 2 stay, 3 is away, 4 has never been there."""

    def setUp(self) -> None:
        self.accepted: list[str] = []
        self.unsure: set[str] = set()  # asked for when it was killed, and not answered
        self.killed = False

    def test_nothing_accepted_is_lost(self) -> Deferred[None]:
        """kill -9 in the middle of 10,000 accepted pushes to a room and to members: each client has every one of them once,
        each back end's in its order; of those that were not answered, none twice. Nobody has to reload."""

        async def run() -> None:
            comet = {name: f"127.0.0.1:{reserve_port()}" for name in ("tcp", "websocket")}
            api = {"http": f"127.0.0.1:{reserve_port()}"}
            imd = await self.start(
                comet=comet, logic=api, rooms={"chat": KEEP}, inboxes={"count": 2 * PUSHES}, broker={"partitions": 4}
            )
            urls, logic = (imd.urls["tcp"], imd.urls["ws"]), imd.urls["http"]
            stay = [await follow(self, [url], mid=mid, key=f"k{mid}", rooms=[ROOM]) for mid, url in enumerate(urls, 1)]
            away = await follow(self, urls, mid=3, key="k3", rooms=[ROOM])
            await away.end()
            await together(self.push(imd, logic, side) for side in range(SIDES))
            self.assertTrue(self.killed and self.unsure)
            back = await follow(self, urls, mid=3, key="k3", rooms=[ROOM], places=away.steady.places)
            for client in (*stay, back):
                await eventually(lambda client=client: len(client.bodies) >= len(self.accepted), 60)  # type: ignore[misc]
                self.assert_all(client.bodies)
                self.assertEqual(client.gone, [])
            self.assertEqual([client.steady.losses for client in stay], [1, 1])
            self.assert_all(await self.read_from_start(urls[0]), "member")

        return self.later(run)

    async def push(self, imd: Twistd, logic: str, side: int) -> None:
        """As a back end that does not repeat what was not answered, until all have pushed enough."""
        number = 0
        while len(self.accepted) < PUSHES:
            name, to = TARGETS[number % 2]
            bodies = [f"{name} {side} {number:06} {place}" for place in range(AT_ONCE)]
            number += 1
            request = msgspec.json.encode([{"to": to, "op": 1000, "body": body} for body in bodies])
            try:
                answer = await http("POST", logic, "/v1/push", request, seconds=20)
            except CallFailed:
                self.unsure.update(bodies)
                await eventually(lambda: imd.running)
                await imd.ready()
                continue
            self.assertEqual(answer.status, 200, answer)
            self.accepted += bodies
            if len(self.accepted) >= KILLS_AT and not self.killed:
                self.killed = True
                imd.kill()
                imd.start()

    def assert_all(self, handled: Sequence[bytes], *names: str) -> None:
        """Each accepted push to these targets once, each back end's in its order, and nothing but what was asked for."""
        found = [body.decode() for body in handled]
        wanted = [body for body in self.accepted if not names or body.split()[0] in names]
        self.assertEqual(len(found), len(set(found)), "some came twice")
        self.assertEqual(set(wanted) - set(found), set(), "accepted, and lost")
        self.assertEqual(set(found) - set(wanted) - self.unsure, set())
        for side in range(SIDES):
            for name, _ in TARGETS:
                mine = [body for body in found if body.startswith(f"{name} {side} ")]
                self.assertEqual(mine, sorted(mine), "out of order")

    async def read_from_start(self, url: str) -> list[bytes]:
        """What the inbox of member 4, who comes for the first time, has from its first message on."""
        found: list[bytes] = []

        def take(push: Pushed) -> None:
            found.append(push.body)

        client = await dial(ClientV2, url, reactor=reactor, on_push=take)
        self.addCleanup(self.later, client.close)
        standing = (await client.enter(Auth(mid=4))).timelines[""]
        self.assertTrue(standing.recovered)
        after, more = 0, True
        while more:
            try:
                reply = await client.sync("", Place(after, standing.epoch), 1000)
            except Overloaded as error:
                await deferLater(reactor, error.retry_after_seconds)
                continue
            self.assertTrue(reply.recovered)
            after, more = reply.last, reply.more
        self.assertEqual((after, len(found)), (standing.seq, standing.seq))
        return found
