"""The accounts of publishing: each share that a broker is given is counted once, as stored or with the reason why not."""

from collections.abc import Iterable

from twisted.internet.defer import CancelledError

from imd.errors import ImdError
from imd.interfaces import Receipt
from imd.metrics import Metrics
from imd.protocol.push import LABELS, Push

UNKNOWN = "unknown"  # its answer was lost: it may be stored or not


def count_answered(metrics: Metrics, pushes: Iterable[Push], receipts: Iterable[Receipt]) -> None:
    """The product has answered, with a receipt for each."""
    stored: list[tuple[str]] = []
    for push, receipt in zip(pushes, receipts, strict=True):
        if receipt.repeated:
            metrics.unpublished.add(1, "repeated")
        elif receipt.conflict:
            metrics.unpublished.add(1, "conflict")
        else:
            stored.append((LABELS[push.target],))
    metrics.published.add_each(stored)


def count_refused(metrics: Metrics, shares: int, error: BaseException) -> None:
    """``shares`` of them are not stored, for certain, because of ``error``."""
    if isinstance(error, ImdError):
        reason = error.name
    else:
        reason = "cancelled" if isinstance(error, CancelledError) else "error"
    metrics.unpublished.add(shares, reason)


def count_unknown(metrics: Metrics, shares: int) -> None:
    """Nobody will ever say what became of ``shares`` of them."""
    metrics.unpublished.add(shares, UNKNOWN)
