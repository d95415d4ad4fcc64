"""A flight: what one read took off a partition, until it is committed."""

from collections.abc import Sequence


class Flight:
    """Committed as a whole, once the last of its pushes is settled."""

    __slots__ = ("open", "tokens")

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self.tokens = tokens  # the broker's names of its entries
        self.open = len(tokens)  # pushes that are not settled
