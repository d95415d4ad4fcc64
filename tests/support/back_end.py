"""A back end that pushes a lot at once."""

from collections.abc import Sequence
from typing import Any

import msgspec

from tests.support.http_call import http

AT_ONCE = 100  # pushes a request


async def accept(logic: str, pushes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Push all of them to the base URL ``logic``, in order; what it answered for each. Fails unless all are accepted."""
    answers: list[dict[str, Any]] = []
    for start in range(0, len(pushes), AT_ONCE):
        body = msgspec.json.encode(pushes[start : start + AT_ONCE])
        answer = await http("POST", logic, "/v1/push", body, seconds=30)
        assert answer.status == 200, answer
        answers += answer.json()
    return answers


def numbered(name: str, count: int, to: dict[str, Any], start: int = 0) -> list[dict[str, Any]]:
    """Pushes "<name> <number>" to the same target."""
    return [{"to": to, "op": 1000, "body": f"{name} {start + number}"} for number in range(count)]


def bodies(pushes: Sequence[dict[str, Any]]) -> list[bytes]:
    """What clients will see of them."""
    return [push["body"].encode() for push in pushes]
