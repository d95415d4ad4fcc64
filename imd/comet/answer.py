"""Answer: the outcomes of one batch, until all are known."""

from twisted.internet.defer import Deferred

from imd.errors import ImdError
from imd.protocol.rpc import Outcome, Outcomes


class Answer:
    """One place an item, filled in any order."""

    __slots__ = ("_missing", "_outcomes", "deferred")

    def __init__(self, items: int) -> None:
        self._outcomes = [Outcome()] * items
        self._missing = items  # whose outcome is not known
        self.deferred: Deferred[Outcomes] = Deferred()
        if not items:
            self.deferred.callback(Outcomes(()))

    def settle(self, place: int, outcome: Outcome) -> None:
        """The item's outcome is known: once each."""
        self._outcomes[place] = outcome
        self._missing -= 1
        if not self._missing and not self.deferred.called:
            self.deferred.callback(Outcomes(tuple(self._outcomes)))

    def fail(self, error: ImdError) -> None:
        """The rest will never be known."""
        if not self.deferred.called:
            self.deferred.errback(error)
