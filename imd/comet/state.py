"""State: where in its life a session is, and what moves it."""

from enum import Enum


class State(Enum):
    """Where in its life a session is."""

    __hash__ = object.__hash__  # an Enum's own is a function in Python

    HANDSHAKE = 1  # accepted; only op 7 is heard
    AUTHENTICATING = 2  # logic is asked; what comes waits
    RESUMING = 3  # version 2: delivery sees it, behind a cork, while its timelines are looked up; what comes waits
    OPEN = 4
    CLOSING = 5  # we ended it; the connection is on its way out
    CLOSED = 6  # the connection is gone


class Event(Enum):
    """What moves it."""

    __hash__ = object.__hash__  # as above

    AUTH = 1  # a good op 7
    ENTER = 2  # version 2: logic knows who it is, and its rooms are hosted
    ADMIT = 3  # op 8 is written: version 1 when it would enter, version 2 when its timelines were looked up
    CLOSE = 4  # we end it
    LOSE = 5  # the connection is gone


MOVES = {  # a pair that is missing is a bug of ours
    (State.HANDSHAKE, Event.AUTH): State.AUTHENTICATING,
    (State.HANDSHAKE, Event.CLOSE): State.CLOSING,
    (State.HANDSHAKE, Event.LOSE): State.CLOSED,
    (State.AUTHENTICATING, Event.ENTER): State.RESUMING,
    (State.AUTHENTICATING, Event.ADMIT): State.OPEN,
    (State.AUTHENTICATING, Event.CLOSE): State.CLOSING,
    (State.AUTHENTICATING, Event.LOSE): State.CLOSED,
    (State.RESUMING, Event.ADMIT): State.OPEN,
    (State.RESUMING, Event.CLOSE): State.CLOSING,
    (State.RESUMING, Event.LOSE): State.CLOSED,
    (State.OPEN, Event.CLOSE): State.CLOSING,
    (State.OPEN, Event.LOSE): State.CLOSED,
    (State.CLOSING, Event.LOSE): State.CLOSED,
}
OVER = (State.CLOSING, State.CLOSED)
