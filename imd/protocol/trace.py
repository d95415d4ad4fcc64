"""A trace: what became of one push, hop by hop."""

import re
from enum import Enum, unique

import msgspec

# W3C Trace Context §3.2: version, trace id, parent id, flags; all but the flags may not be zero.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


@unique
class Step(Enum):
    """Where a push is. Stored: values are never reused."""

    ACCEPTED = "accepted"  # the API has taken it
    STORED = "stored"  # the broker, and the timeline, have it
    TAKEN = "taken"  # a job has read it
    ROUTED = "routed"  # job knows who is where
    QUEUED = "queued"  # a comet has taken it for a device: it waits in the outbox, or for what is before it
    WRITTEN = "written"  # given to the device's socket
    DROPPED = "dropped"  # it will not be written; ``reason`` says why
    KEPT = "kept"  # not written now: the device, or the member who has none, finds it in the timeline
    ACKED = "acked"  # the device has said that it has handled it
    EXPIRED = "expired"  # it left the timeline before the device said so


class Hop(msgspec.Struct, frozen=True, array_like=True):
    """One of them. Stored and sent: append fields with a default, never reorder."""

    step: Step
    at_ms: int  # ms since the epoch, by the clock of ``process``
    process: str = ""  # "comet/c1": who says so
    timeline: str = ""  # which share of the push; empty = all of it
    seq: int = 0  # its place there
    mid: int = 0  # the device's member
    device: str = ""  # the device; empty = not about one
    reason: str = ""  # DROPPED, KEPT: why
    epoch: str = ""  # STORED: of ``seq``, so that acks can be told from those of another numbering
    traceparent: str = ""  # ACCEPTED: what the push carries, so that it can be found where its back end is watched


def is_traceparent(text: str) -> bool:
    """Whether it is a valid ``traceparent`` (https://www.w3.org/TR/trace-context/#traceparent-header)."""
    return len(text) <= 256 and _TRACEPARENT.fullmatch(text) is not None and (text[:2] != "00" or len(text) == 55)


def is_sampled(traceparent: str) -> bool:
    """Whether whoever sent a valid one records it."""
    return bool(int(traceparent[53:55], 16) & 1)
