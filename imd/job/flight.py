"""A flight: what one read took off a partition, until it is committed."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Flight:
    """Committed as a whole, once the last of its pushes is settled."""

    tokens: Sequence[bytes]  # the broker's names of its entries
    open: int  # pushes that are not settled
    given_up: bool = False  # it was counted as coming again: what becomes of its pushes here counts no more
