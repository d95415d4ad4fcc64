"""The room types of the configuration, as comet and logic know them."""

from imd.config.settings import Inboxes, Room, Settings
from imd.logic.keep import KeepRules
from imd.protocol.room_type import LIVE, Join, Keep, RoomType, RoomTypes, Send


def room_types(settings: Settings) -> RoomTypes:
    """As ``[rooms.<type>]`` has them."""
    return RoomTypes({name: _room_type(room) for name, room in settings.rooms.items()})


def keep_rules(settings: Settings) -> KeepRules:
    """What timelines keep, of rooms and of inboxes."""
    return KeepRules(inboxes=_keep(settings.inboxes), room_types=room_types(settings))


def _room_type(room: Room) -> RoomType:
    return RoomType(keep=_keep(room), join=Join(room.join), send=Send(room.send), presence_events=room.presence_events)


def _keep(timeline: Room | Inboxes) -> Keep:
    return Keep(timeline.count, round(timeline.age_seconds * 1000)) if timeline.keep else LIVE
