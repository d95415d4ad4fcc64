"""A cluster of real processes: Redis, ZooKeeper, comets, logics, jobs."""

from collections.abc import Awaitable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from tests.support.http_call import Answer, http
from tests.support.redis import RedisServer
from tests.support.twistd import Twistd, settings
from tests.support.zookeeper import ZooKeeperServer

LEASE_SECONDS = 4
SESSION_SECONDS = 2


class Cluster:
    """Makes its processes; each knows the others by ZooKeeper alone. ``end`` leaves nothing."""

    def __init__(self, *, durable: bool = False, **sections: dict[str, Any]) -> None:
        self.redis = RedisServer(appendonly=durable)  # whether its data outlive it
        self.zookeeper = ZooKeeperServer()
        self.processes: dict[str, Twistd] = {}  # by id
        self._sections = sections  # of everybody's configuration

    def start_products(self) -> "Cluster":
        """Redis and ZooKeeper."""
        self.redis.start()
        self.zookeeper.start()
        return self

    def make(self, id: str, **sections: dict[str, Any]) -> Twistd:
        """A process, not started; its role is its id without the number."""
        known: dict[str, dict[str, Any]] = {
            "redis": {"address": f"unix:{self.redis.path}", "timeout_seconds": 1},
            "registry": {"hosts": self.zookeeper.hosts, "session_seconds": SESSION_SECONDS},
            "presence": {"lease_seconds": LEASE_SECONDS},
            "comet": {"renew_seconds": 1, "full_renewal_seconds": 2, "room_linger_seconds": 1},
        }
        merged = [*settings(**known), *settings(**self._sections), *settings(**sections)]
        process = Twistd(id.rstrip("0123456789"), id=id, sets=merged)
        self.processes[id] = process
        return process

    async def start(self, *ids: str, **sections: dict[str, Any]) -> None:
        """Start these at once, and wait until each is ready."""
        made = [self.make(id, **sections).start() for id in ids]
        await together(process.ready() for process in made)

    def __getitem__(self, id: str) -> Twistd:
        return self.processes[id]

    def end(self) -> None:
        for process in self.processes.values():
            process.end()
        self.redis.stop()
        self.zookeeper.stop()

    async def push(self, target: str, body: bytes = b"", logic: str = "logic1") -> Answer:
        """``/goim/push/`` + ``target``; the answer has to be goim's "all is well"."""
        answer = await http("POST", self[logic].urls["http"], f"/goim/push/{target}", body)
        assert (answer.status, answer.json()["code"]) == (200, 0), answer
        return answer

    async def online(self, room: str, logic: str = "logic1") -> int:
        """How many are in ``live://`` + ``room``, as /goim/online/room says."""
        answer = await http("GET", self[logic].urls["http"], f"/goim/online/room?type=live&rooms={room}")
        count: int = answer.json()["data"][room]
        return count


async def together(waits: Any) -> list[Any]:
    """Wait for all of them; the first error is everybody's."""
    found: list[Any] = await gatherResults([Deferred.fromCoroutine(_await(each)) for each in waits], consumeErrors=True)
    return found


async def _await(wait: Awaitable[Any]) -> Any:
    return await wait
