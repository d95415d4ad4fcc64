"""A pause: to wait on the injected clock."""

from twisted.internet.defer import Deferred

from imd.interfaces import Clock


def pause(clock: Clock, seconds: float) -> Deferred[None]:
    """Fires after ``seconds``; cancelling it leaves no call on the clock."""
    over: Deferred[None] = Deferred(lambda _: timer.cancel())
    timer = clock.callLater(seconds, over.callback, None)
    return over
