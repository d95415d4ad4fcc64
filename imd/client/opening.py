"""Opening: the op 7 of a client that comes back, within what the server takes of one packet."""

from collections.abc import Collection, Mapping

import msgspec

from imd.protocol.body import MAX_RESUME, Auth, encode_auth
from imd.protocol.timeline import Place


def opening(
    auth: Auth, rooms: Collection[str], places: Mapping[str, Place], limit_bytes: int
) -> tuple[Auth, tuple[str, ...]]:
    """``auth`` with the rooms and places, and the rooms for which there was no space: they are joined one by one.

    Places of other rooms are named too, while there is space: the server may put the client into some by itself, and passes
    over the rest.
    """
    named = list(rooms)
    spare = [name for name in places if name and name not in rooms]
    while True:
        resumed = [name for name in ("", *named, *spare) if name in places][:MAX_RESUME]
        resume = {name: places[name] for name in resumed}
        op_7 = msgspec.structs.replace(auth, room_id="", rooms=tuple(named), resume=resume)
        if len(encode_auth(op_7)) <= limit_bytes or not (named or spare):
            return op_7, tuple(rooms)[len(named) :]
        (spare or named).pop()
