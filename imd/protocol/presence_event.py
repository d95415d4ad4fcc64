"""The body of op 46: a member came into a room, or left it."""

from typing import ClassVar

from imd.protocol.json_body import JsonBody


class PresenceEvent(JsonBody, frozen=True):
    """A live push to the rooms whose type tells their members."""

    IDS: ClassVar = ("mid",)

    room: str
    mid: int
    joined: bool  # False: it left
