"""A job that no comet lets in."""

import os
from typing import Any

import zmq
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.support.cluster import Cluster
from tests.support.listening_client import listen
from tests.support.reactor import reactor
from tests.support.system_case import SystemCase


class CutOffJobTests(SystemCase):
    """Its CURVE key is not the one that the comets know."""

    def test_it_loses_nothing(self) -> Deferred[None]:
        """Live pushes wait in the broker, and /readyz says why; a job that is let in delivers them, in order."""

        async def run() -> None:
            cluster = Cluster()
            self.addCleanup(cluster.end)
            cluster.start_products()
            publics = {id: self.keys(id) for id in ("comet1", "logic1", "job1", "job2")}
            allowed = {"comet1": "job2", "logic1": "comet1", "job1": "", "job2": ""}
            made = {id: cluster.make(id, rpc=self.rpc(id, publics.get(peer, ""))) for id, peer in allowed.items()}
            for id in ("logic1", "comet1"):
                await made[id].start().ready()
            stranger = made["job1"].start()
            await stranger.troubles_are(lambda troubles: "no comet can be reached" in troubles.get("comet links", ""))
            client = await listen(self, made["comet1"].urls["tcp"], key="k", mid=1, room="live://r")
            bodies = [f"{number}".encode() for number in range(20)]
            for body in bodies:
                await cluster.push("room?operation=1000&type=live&room=r", body)
            await deferLater(reactor, 4)
            self.assertEqual(client.bodies, [])
            await stranger.stop()
            await made["job2"].start().ready()
            await client.got(*bodies)
            self.assertEqual(client.bodies, bodies)
            figures = await made["job2"].metrics()
            self.assertEqual({name: n for name, n in figures.items() if name.startswith("imd_drops") and n}, {})

        return self.later(run)

    def keys(self, id: str) -> str:
        """A pair for ``id``; answers the public key."""
        public, secret = (key.decode() for key in zmq.curve_keypair())
        text = f'metadata\ncurve\n    public-key = "{public}"\n    secret-key = "{secret}"\n'
        self.file(f"{id}.key_secret", text)
        return public

    def rpc(self, id: str, allowed: str) -> dict[str, Any]:
        """Of a process that lets ``allowed`` in."""
        allows = {"curve_allowed_keys_file": self.file(f"{id}.allowed", f"{allowed}\n")} if allowed else {}
        return {"curve_secret_key_file": os.path.join(self.folder, f"{id}.key_secret"), **allows}

    def setUp(self) -> None:
        """A folder for keys."""
        self.folder = os.path.abspath(self.mktemp())
        os.mkdir(self.folder)

    def file(self, name: str, text: str) -> str:
        """Only its owner may read it."""
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="ascii", opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
            out.write(text)
        return path
