"""Pushes over HTTP, as a back end sends them."""

import json
import time
from base64 import b64encode
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException

from benchmarks.case import Load
from benchmarks.load_client import ROOM
from benchmarks.pusher import OPERATION, TICK_SECONDS, PushFailed, body

PATIENCE_SECONDS = 30.0


class HttpPusher:
    """One connection, one push at a time. A body says when its request was made, so that what is measured from there holds the
    time until it was accepted."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)

    def send(self, load: Load, tick: Callable[[], None]) -> int:
        """At the load's pace, for its time; how many messages. Raises :class:`PushFailed`."""
        began = time.monotonic()
        ends, ticked, sent = began + load.seconds, began, 0
        while (due := began + sent / load.rate if load.rate else time.monotonic()) < ends:
            time.sleep(max(0.0, due - time.monotonic()))
            self._push(load.body_bytes)
            sent += 1
            if time.monotonic() - ticked > TICK_SECONDS:
                ticked = time.monotonic()
                tick()
        return sent

    def close(self) -> None:
        self._connection.close()

    def _push(self, body_bytes: int) -> None:
        said = {"to": {"room": ROOM}, "op": OPERATION, "body_base64": b64encode(body(body_bytes)).decode()}
        try:
            self._connection.request("POST", "/v1/push", json.dumps(said).encode())
            answer = self._connection.getresponse()
            words = answer.read()
        except (HTTPException, OSError) as error:
            raise PushFailed(f"a push over HTTP failed: {error!r}") from None
        if answer.status != 200:
            raise PushFailed(f"a push was answered {answer.status}: {words.decode(errors='replace')}")
