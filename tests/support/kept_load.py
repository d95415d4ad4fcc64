"""A back end of several hands, each of which pushes to timelines of its own."""

from collections import ChainMap
from collections.abc import Mapping, Sequence

from tests.support.push_load import PushLoad
from tests.support.reactor import reactor

HANDS = 4
PATIENCE_SECONDS = 5.0  # that an answer may take


class KeptLoad:
    """Pushes to ``targets`` in turns, ``rate`` a second in all. The order within a target is that of acceptance."""

    def __init__(self, *, logics: Sequence[str], targets: Mapping[str, object], rate: float) -> None:
        shares = [dict(list(targets.items())[hand::HANDS]) for hand in range(HANDS)]
        self._hands = [
            PushLoad(logics=logics, targets=share, rate=rate / HANDS, patience_seconds=PATIENCE_SECONDS)
            for share in shares
            if share
        ]

    def start(self) -> "KeptLoad":
        for hand in self._hands:
            hand.start()
        return self

    async def stop(self) -> float:
        """Returns when the last push is accepted: when that was."""
        for hand in self._hands:
            await hand.stop()
        return max(self.accepted_at.values(), default=reactor.seconds())

    def cancel(self) -> None:
        """A clean-up."""
        for hand in self._hands:
            hand.cancel()

    @property
    def accepted(self) -> Mapping[str, list[bytes]]:
        """Target -> bodies in order."""
        return ChainMap(*(hand.accepted for hand in self._hands))

    @property
    def accepted_at(self) -> Mapping[bytes, float]:
        return ChainMap(*(hand.accepted_at for hand in self._hands))

    @property
    def count(self) -> int:
        return sum(hand.count for hand in self._hands)

    @property
    def refused(self) -> list[str]:
        """What came instead of a 200."""
        return [words for hand in self._hands for words in hand.refused]

    @property
    def longest_seconds(self) -> float:
        """That a push took, all its tries."""
        return max(hand.longest_seconds for hand in self._hands)
