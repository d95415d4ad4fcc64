"""The story of one simulation: what happened when, readable, and the same for the same seed."""

from collections import deque
from hashlib import blake2b

LAST_EVENTS = 400  # that are told when a seed fails
LONGEST = 300  # characters of one of them


class Story:
    """Keeps the last events, and a digest over all of them."""

    __slots__ = ("_digest", "events", "faults", "last")

    def __init__(self, *, last: int = LAST_EVENTS) -> None:
        self.last: deque[str] = deque(maxlen=last)
        self.events = 0
        self.faults: list[str] = []  # what must not happen, in the order found
        self._digest = blake2b(digest_size=12)

    @property
    def digest(self) -> str:
        """Equal for equal stories."""
        return self._digest.hexdigest()

    def note(self, now: float, who: str, words: str) -> None:
        """Something happened."""
        line = f"{now:11.6f}  {who:<12} {words if len(words) <= LONGEST else words[:LONGEST] + '...'}"
        self._digest.update(line.encode())
        self.events += 1
        self.last.append(line)

    def fault(self, now: float, words: str) -> None:
        """Something happened that must not."""
        self.faults.append(words)
        self.note(now, "FAULT", words)
