"""A logic that agrees at once, for tests of what is in front of comet."""

from twisted.internet.defer import Deferred

from imd.errors import AuthRefused
from imd.protocol import rpc
from imd.protocol.timeline import Place


class WillingLogic:
    """Believes every client but those with the token ``bad``; says that five are in every room."""

    def __init__(self) -> None:
        self.received: list[rpc.Receive] = []
        self.disconnected: list[str] = []
        self.hosted: set[str] = set()
        self.head = 0  # of every timeline
        self.renewed: dict[str, Deferred[None]] = {}  # room -> fires when a renewal names it

    async def connect(self, request: rpc.Connect) -> rpc.Connected:
        if request.token == "bad":
            raise AuthRefused("the token is not good")
        return rpc.Connected(request.key, request.mid, request.room, request.accepts)

    async def disconnect(self, request: rpc.Disconnect) -> rpc.Done:
        self.disconnected.append(request.key)
        return rpc.Done()

    async def renew(self, request: rpc.Renew) -> rpc.Renewed:
        for room, _ in request.rooms:
            waiting = self.renewed.pop(room, None)
            if waiting is not None:
                # The figure must have been taken over by the time that the waiter goes on.
                waiting.callback(None)
        return rpc.Renewed(rooms=tuple((room, 5) for room, _ in request.rooms))

    async def receive(self, request: rpc.Receive) -> rpc.Done:
        self.received.append(request)
        return rpc.Done()

    async def host(self, request: rpc.Host) -> rpc.Done:
        (self.hosted.add if request.wanted else self.hosted.discard)(request.room)
        return rpc.Done()

    async def read(self, request: rpc.Read) -> rpc.Pages:
        return rpc.Pages(tuple(rpc.Page(follow.timeline, Place(self.head, "e")) for follow in request.follows))

    async def ack(self, request: rpc.Acks) -> rpc.Done:
        return rpc.Done()

    async def send(self, request: rpc.Send) -> rpc.Sent:
        return rpc.Sent(1, 1)

    async def refresh(self, request: rpc.Refresh) -> rpc.Refreshed:
        return rpc.Refreshed()

    async def attend(self, request: rpc.Attendances) -> rpc.Done:
        return rpc.Done()
