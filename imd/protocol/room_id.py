"""A room id is ``type://name``: the type picks the room's policy, the name is the users' own and may hold slashes."""

SEPARATOR = "://"


def room_id(room_type: str, name: str) -> str:
    """The whole id. ``room_id("live", "1000")`` is ``live://1000``."""
    return f"{room_type}{SEPARATOR}{name}"


def split_room_id(room: str) -> tuple[str, str]:
    """(type, name); the type is empty for an id without a separator, as goim's clients may use."""
    room_type, separator, name = room.partition(SEPARATOR)
    return (room_type, name) if separator else ("", room)
