"""The body of op 48: a request of a version-2 client that was not done; the connection stays."""

from typing import Self

from imd.errors import ImdError
from imd.protocol.json_body import JsonBody


class ErrorBody(JsonBody, frozen=True):
    """The packet's sequence is the request's."""

    code: int  # of :mod:`imd.errors`
    name: str
    message: str  # for people
    op: int  # the request's operation
    retry_after_ms: int = 0  # the same request may succeed then; 0 = it will not, unless something else changes

    @classmethod
    def of(cls, error: ImdError, operation: int) -> Self:
        """What a client is told of ``error``."""
        retry_after_seconds: int = getattr(error, "retry_after_seconds", 0)  # of those that pass
        return cls(error.code, error.name, str(error), operation, retry_after_seconds * 1000)
