"""``POST /v1/push``: imd's own way to push, in JSON."""

from collections.abc import Iterator

import msgspec

from imd.errors import (
    AuthRefused,
    BadRequest,
    BodyTooLarge,
    BrokerUnavailable,
    CrossOrigin,
    DeadlineExceeded,
    IdempotencyConflict,
    Overloaded,
    RegistryUnavailable,
    ScopeMissing,
)
from imd.logic.access import PushKeys
from imd.logic.push import Pusher
from imd.logic.push_request import PushRequest, PushResult, Result
from imd.transport.http_fault import bad_value
from imd.transport.http_message import Request, Response, json_response
from imd.transport.http_route import Route

PushBody = PushRequest | list[PushRequest]
PushAnswer = PushResult | list[PushResult]

DETAIL = """One push, or an array of them. An array is accepted whole or refused whole: a fault names its item, `[2].to.keys`.
200 means that the broker has them all. Each answer has the push's id and its result: `accepted`, `repeated` (by its idempotency
key; the id is the earlier push's), or, in an array, `conflict` (the idempotency key was used for a different push; alone that
is 409). A push that one timeline keeps is told its place there, `seq` and `epoch`. After 503 or 504 it is not known whether
the push was accepted: try again with the same idempotency key."""


class PushApi:
    """The endpoint. Keys and their scopes are checked before anything else of a request is."""

    __slots__ = ("_decoder", "_keys", "_pusher")

    def __init__(self, *, pusher: Pusher, keys: PushKeys) -> None:
        self._pusher = pusher
        self._keys = keys  # who may push
        self._decoder = msgspec.json.Decoder(PushBody)

    def routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/v1/push",
                self.push,
                "Push to connections, members, rooms, or everybody",
                "push",
                DETAIL,
                body=PushBody,
                answer=PushAnswer,
                errors=(
                    *(
                        BadRequest,
                        AuthRefused,
                        ScopeMissing,
                        CrossOrigin,
                        IdempotencyConflict,
                        BodyTooLarge,
                        Overloaded,
                    ),
                    *(BrokerUnavailable, RegistryUnavailable, DeadlineExceeded),
                ),
                scopes="push:keys, push:members, push:room:<type>, push:all, by its targets",
            )
        ]

    async def push(self, request: Request) -> Response:
        authorization = request.header("authorization")
        self._keys.authorize(authorization, ())
        body = self._decode(request.body)
        pushes = body if isinstance(body, list) else [body]
        pusher = self._keys.authorize(authorization, _scopes(pushes))
        traceparent = request.header("traceparent")
        results = await self._pusher.push(pushes, pusher=pusher, traceparent=traceparent) if pushes else []
        if isinstance(body, list):
            return json_response(results)
        if results[0].result is Result.CONFLICT:
            raise IdempotencyConflict(f"this idempotency key was used for a different push, {results[0].id}")
        return json_response(results[0])

    def _decode(self, body: bytes) -> PushRequest | list[PushRequest]:
        try:
            pushes: PushRequest | list[PushRequest] = self._decoder.decode(body)
        except msgspec.ValidationError as error:
            raise bad_value(error) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest(f"the body is not JSON: {error}") from None
        return pushes


def _scopes(pushes: list[PushRequest]) -> Iterator[str]:
    """All that a key must cover, each once; reckoned as far as somebody asks."""
    seen: set[str] = set()
    for push in pushes:
        for scope in push.scopes():
            if scope not in seen:
                seen.add(scope)
                yield scope
