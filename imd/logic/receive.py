"""What becomes of the packets that clients send, until an application says otherwise."""

from imd.protocol import rpc


class Discard:
    """The default receive hook: the client gets its echo, and that is all. (``imd_hook_calls`` counts them.)"""

    __slots__ = ()

    async def __call__(self, packet: rpc.Receive) -> None:
        """Nothing."""
