"""Authentication by believing what the client says: goim's way, for development and for inner networks."""

from imd.interfaces import Identity
from imd.protocol import rpc


class TrustAuthenticator:
    """Every client is who it says, and a key is whoever's came with it last."""

    __slots__ = ()

    async def authenticate(self, request: rpc.Connect) -> Identity:
        """The member that the client names; 0 is anonymous. Never refuses."""
        return Identity(request.mid)
