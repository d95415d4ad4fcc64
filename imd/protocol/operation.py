"""What a packet asks for: the numbers of the client wire, each written once."""

from enum import IntEnum, unique


@unique
class Operation(IntEnum):
    """Those of version 1 as goim numbers them; from 32 those of version 2. 1000 and up are the pushers' own, by convention."""

    HEARTBEAT = 2
    HEARTBEAT_REPLY = 3
    SEND = 4
    SEND_REPLY = 5
    GOODBYE = 6  # only to version-2 clients
    AUTH = 7
    AUTH_REPLY = 8
    RAW = 9  # the WebSocket envelope: the body is complete packets
    CHANGE_ROOM = 12
    CHANGE_ROOM_REPLY = 13
    SUB = 14
    SUB_REPLY = 15
    UNSUB = 16
    UNSUB_REPLY = 17
    JOIN = 32
    JOIN_REPLY = 33
    LEAVE = 34
    LEAVE_REPLY = 35
    ACK = 36
    SYNC = 38
    SYNC_REPLY = 39
    REFRESH = 44
    REFRESH_REPLY = 45
    PRESENCE = 46  # only to version-2 clients
    ERROR = 48  # only to version-2 clients
