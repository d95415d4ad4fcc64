"""All clients come back at once. ``make resume-storm`` runs it with 10,000."""

import os
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from imd.service.file_limit import raise_file_limit
from tests.support.back_end import accept
from tests.support.cluster import Cluster, together
from tests.support.following_client import FollowingClient
from tests.support.reactor import eventually, reactor
from tests.support.redis_pulse import RedisPulse
from tests.support.system_case import SystemCase

CLIENTS = int(os.environ.get("CLIENTS", "500"))
ROOMS = 50
MISSED = 5  # messages in each room; one in each inbox, besides
AT_ONCE = 100  # that come in before, and members in one push
SECONDS = 60.0 + CLIENTS / 20  # within which all are back: nearly all of it is what the clients themselves need
BURST = CLIENTS // 20  # clients that may come at once, at each of two comets
RATE = min(BURST, 100)  # and a second


class ResumeStormTests(SystemCase):
    """A cluster with two comets."""

    timeout = 1200

    def test_all_at_once(self) -> Deferred[None]:
        """More than may come at once are sent away with a time to come again, and do; all have what they missed, once and in
        order, and nobody has to reload. Redis answers others meanwhile."""

        async def run() -> None:
            raise_file_limit(CLIENTS)
            cluster = Cluster(rooms={"chat": "{ keep = true }"})
            self.addCleanup(cluster.end)
            cluster.start_products()
            await cluster.start("comet3", "logic1", "job1")
            before = await self.been_there(cluster)
            await cluster["comet3"].stop()
            await cluster.start("comet1", "comet2", comet={"resumes_per_second": RATE, "resume_burst": BURST})
            await self.push(cluster)
            redis = cluster.redis
            pulse, used, began = RedisPulse(redis.path), self.redis_seconds(cluster), reactor.seconds()
            print(f"\nall {CLIENTS} have been there, and are away")
            clients = [self.client(cluster, n, places=old.steady.places) for n, old in enumerate(before)]
            for client in clients:
                self.addCleanup(client.steady.stop)
            try:
                for client in clients:
                    await eventually(lambda client=client: len(client.bodies) > MISSED, SECONDS)  # type: ignore[misc]
            finally:
                measured, took = pulse.end(), reactor.seconds() - began
            used = self.redis_seconds(cluster) - used
            self.assert_all_well(clients)
            away = sum("resume_limited" in str(trouble) for client in clients for trouble in client.troubles)
            others = sorted({str(each) for client in clients for each in client.troubles if "resume" not in str(each)})
            self.assertGreater(away, CLIENTS // 10)
            self.assertLess(measured.longest, 1000)
            print(
                f"\n{CLIENTS} clients back with {MISSED + 1} messages each in {took:.1f} s; sent away {away} times; "
                f"Redis: {used:.2f} s of CPU ({100 * used / took:.0f} %), PING median {measured.median:.2f} ms, "
                f"p99 {measured.p99:.1f}, longest {measured.longest:.1f}; other ends: {others}"
            )
            await self.all_end(clients)

        return self.later(run)

    def client(self, cluster: Cluster, number: int, **more: Any) -> FollowingClient:
        """One of each member; half of them on WebSocket."""
        transport = "ws" if number % 2 else "tcp"
        comets = [process for id, process in cluster.processes.items() if id.startswith("comet") and process.running]
        urls = [comet.urls[transport] for comet in comets]
        rooms = [f"chat://{number % ROOMS}"]
        return FollowingClient(
            urls[:: 1 - number // 2 % 2 * 2],
            mid=number + 1,
            key=f"k{number}",
            rooms=rooms,
            patience_seconds=SECONDS,
            **more,
        )

    async def been_there(self, cluster: Cluster) -> list[FollowingClient]:
        """They know their places, and have gone."""
        made: list[FollowingClient] = []
        for start in range(0, CLIENTS, AT_ONCE):
            some = [self.client(cluster, number) for number in range(start, min(CLIENTS, start + AT_ONCE))]
            await together(self.entered(client) for client in some)
            made += some
        await self.all_end(made)
        self.assertEqual({len(client.steady.places) for client in made}, {2})
        return made

    async def entered(self, client: FollowingClient) -> None:
        await eventually(lambda: client.steady.connected, SECONDS)

    async def all_end(self, clients: list[FollowingClient]) -> None:
        for client in clients:
            client.steady.stop()
        await together(client.running for client in clients)

    async def push(self, cluster: Cluster) -> None:
        """What they miss."""
        rooms = [{"room": f"chat://{number}"} for number in range(ROOMS)]
        members = [
            {"mids": list(range(start, min(CLIENTS + 1, start + AT_ONCE)))} for start in range(1, CLIENTS + 1, AT_ONCE)
        ]
        pushes = [{"to": to, "op": 1000, "body": f"room {number}"} for to in rooms for number in range(MISSED)]
        pushes += [{"to": to, "op": 1000, "body": "member"} for to in members]
        await accept(cluster["logic1"].urls["http"], pushes)
        await deferLater(reactor, 1)  # job has them behind it

    def assert_all_well(self, clients: list[FollowingClient]) -> None:
        wanted = [b"member", *(b"room %d" % number for number in range(MISSED))]
        for client in clients:
            self.assertEqual(sorted(client.bodies), wanted)
            self.assertEqual([body for body in client.bodies if body != b"member"], wanted[1:])
            self.assertEqual((client.gone, client.steady.gaps, client.steady.duplicates), ([], 0, 0))

    def redis_seconds(self, cluster: Cluster) -> float:
        """CPU that Redis has used."""
        lines = cluster.redis.command("INFO", "cpu").decode().split()
        found = dict(line.split(":") for line in lines if ":" in line)
        return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])
