"""What a client that stays tells the program that uses it."""

from typing import Protocol

from imd.client.core import Pushed
from imd.client.timeline import Missed
from imd.errors import ImdError
from imd.protocol.auth_reply import AuthReply
from imd.protocol.presence_event import PresenceEvent


class Application(Protocol):
    """What a client tells whoever uses it. A push counts as handled when :meth:`pushed` returns; it must not raise."""

    def pushed(self, push: Pushed) -> None:
        """The next message of its timeline (``push.header.seq`` > 0), or a live one (0)."""

    def missed(self, missed: Missed) -> None:
        """``recovered: false``: what is between is lost to us. Reload; what comes next comes after ``missed.now``."""

    def attended(self, event: PresenceEvent) -> None:
        """A member came into one of our rooms, or left it."""

    def entered(self, reply: AuthReply) -> None:
        """A connection stands; what was missed comes next."""

    def left(self, trouble: ImdError, wait_seconds: float) -> None:
        """It is gone, or could not be made; the next one is tried after the wait."""
