"""A command that could not do what it was asked: one line on stderr and exit status 1."""

from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import click
from twisted.internet.task import react

from imd.errors import ImdError


def fail(error: ImdError) -> click.ClickException:
    """``error`` in the shape that click prints: ``Error: why``, exit status 1."""
    return click.ClickException(str(error))


def run(work: Callable[[Any], Coroutine[Any, Any, int]]) -> NoReturn:
    """Turn the reactor until ``work``, which is handed the reactor, ends; its value is the exit status.

    An :class:`ImdError` ends it with one line and status 1; anything else is a bug and shows its traceback.
    """

    async def guarded(reactor: Any) -> None:
        try:
            status = await work(reactor)
        except ImdError as error:
            fail(error).show()
            status = 1
        raise SystemExit(status)

    react(guarded)
    raise AssertionError("react ends by SystemExit")
