"""The way of a push through real processes, as ``imdctl trace`` shows it."""

import json
import os
from typing import Any

from twisted.internet.defer import Deferred

from tests.support.cluster import Cluster
from tests.support.command import Command
from tests.support.following_client import follow
from tests.support.http_call import http
from tests.support.reactor import eventually
from tests.support.system_case import SystemCase
from tests.support.twistd import Twistd

WAY = {"accepted", "stored", "taken", "routed", "written", "acked"}


class TraceTests(SystemCase):
    """Alone and in a cluster."""

    def setUp(self) -> None:
        self.folder = os.path.abspath(self.mktemp())
        os.mkdir(self.folder)

    async def push(self, logic: Twistd, to: dict[str, Any]) -> str:
        """The id of a traced push."""
        body = json.dumps({"to": to, "op": 1000, "body": "hello", "trace": True}).encode()
        answer = await http("POST", logic.urls["http"], "/v1/push", body)
        self.assertEqual(answer.status, 200, answer)
        return str(answer.json()["id"])

    async def trace(self, logic: Twistd, id: str, *arguments: str, status: int = 0) -> Any:
        """What the program says of it."""
        url = logic.urls["http"].rstrip("/")
        command = Command("trace", id, "--url", url, "--json", *arguments, folder=self.folder, environ={})
        self.addCleanup(command.end)
        ended = await command.ended()
        self.assertEqual(ended.status, status, ended.err)
        return json.loads(ended.out)

    def hops(self, fate: Any, timeline: str) -> list[tuple[str, str]]:
        """(step, process) of a timeline's share, and of the whole push. By time, which is each process' own."""
        return [(hop["step"], hop["process"]) for hop in fate["hops"] if hop.get("timeline", timeline) == timeline]

    def test_alone(self) -> Deferred[None]:
        """Each hop of a room's push, and a device that has acked it."""

        async def run() -> None:
            imd = await self.start(rooms={"live": "{ keep = true }"})
            client = await follow(self, [imd.urls["tcp"]], mid=7, key="phone", rooms=["live://1"])
            fate = await self.trace(imd, await self.push(imd, {"room": "live://1"}), "--follow")
            self.assertEqual({step for step, _ in self.hops(fate, "r:live://1")}, WAY)
            (device,) = fate["devices"]
            self.assertEqual((device["state"], device["mid"], device["timeline"]), ("acked", "7", "r:live://1"))
            await eventually(lambda: client.bodies == [b"hello"])

        return self.later(run)

    def test_a_cluster(self) -> Deferred[None]:
        """Every process says its part, any logic tells all of it; who was away has it to come, and then has it."""

        async def run() -> None:
            cluster = Cluster()
            self.addCleanup(cluster.end)
            cluster.start_products()
            await cluster.start("comet1", "logic1", "logic2", "job1")
            comet, one, other = (cluster[id] for id in ("comet1", "logic1", "logic2"))
            await follow(self, [comet.urls["ws"]], mid=7, key="phone")
            id = await self.push(one, {"mids": [7, 8]})
            fate = await self.trace(other, id, "--follow", "--wait", "3", status=3)
            states = {device["mid"]: device["state"] for device in fate["devices"]}
            self.assertEqual(states, {"7": "acked", "8": "queued"})
            processes = dict(self.hops(fate, "m:7"))
            self.assertRegex(processes.pop("acked"), "^logic/logic[12]$")
            here, job, comet1 = "logic/logic1", "job/job1", "comet/comet1"
            wanted = {"accepted": here, "stored": here, "taken": job, "routed": job, "written": comet1}
            self.assertEqual(processes, wanted)
            self.assertIn(("kept", "job/job1"), self.hops(fate, "m:8"))
            await follow(self, [comet.urls["tcp"]], mid=8, key="pad")
            # It did not ask for what was pushed before it first came: that is not its to ack.
            fate = await self.trace(other, id)
            self.assertEqual({device["mid"]: device["state"] for device in fate["devices"]}["8"], "queued")

        return self.later(run)
