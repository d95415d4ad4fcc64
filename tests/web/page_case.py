"""A page in a real browser, logic's HTTP site behind it, and a comet that only speaks the packets."""

from collections.abc import Coroutine
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from imd.protocol.push import Push, Target
from imd.transport.http_pages import PageSettings
from tests.support.chromium import Chromium, Tab
from tests.support.fake_comet import FakeComet
from tests.support.http_logic import HttpLogic
from tests.support.reactor import reactor

ROOM = "live://1000"


class PageCase(TestCase):
    """Each test has a browser of its own; no error in the page is left unnoticed."""

    timeout = 90

    def setUp(self) -> None:
        self.comet = FakeComet()
        self.comet.start()
        self.addCleanup(self.run_async, self.comet.stop)
        self.browser = Chromium()
        self.addCleanup(self.run_async, self.browser.stop)

    def run_async(self, make: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(make())

    def serve(self, push_keys: dict[str, tuple[str, ...]] | None = None, **settings: Any) -> str:
        """The page's address; pushes reach the comet."""
        page = PageSettings(websocket_port=self.comet.port, push_key_needed=push_keys is not None)
        page = msgspec.structs.replace(page, **settings)
        self.logic = HttpLogic(push_keys, page=page, clock=reactor)
        self.logic.broker.deliver = self.comet.push
        listener = reactor.listenTCP(0, self.logic.site, interface="127.0.0.1")
        self.addCleanup(listener.stopListening)
        self.addCleanup(self.run_async, self.logic.site.stop)
        return f"http://127.0.0.1:{listener.getHost().port}"

    async def visit(self, path: str = "/", **window: Any) -> Tab:
        """A tab that is connected and in its room."""
        tab = await self.open(self.serve() + path, **window)
        await self.joined(tab)
        return tab

    async def open(self, url: str, **window: Any) -> Tab:
        await self.browser.start()
        return await self.browser.open(url, **window)

    async def joined(self, tab: Tab, room: str = ROOM) -> None:
        """Wait until the page says that it is there, and how many are."""
        await tab.wait_for(f"document.querySelector('#messages').innerText.includes('Joined {room}')")
        await tab.wait_for("document.querySelector('#online').textContent.endsWith('here')")

    async def shown(self, tab: Tab, count: int) -> list[Any]:
        """[room, operation, text] of each message, once there are so many."""
        rows = "[...document.querySelectorAll('.message')]"
        await tab.wait_for(f"{rows}.length >= {count}")
        parts = "['.room', '.operation', '.text'].map((part) => row.querySelector(part).textContent)"
        rows_shown: list[Any] = await tab.evaluate(f"{rows}.map((row) => {parts})")
        return rows_shown

    def push(self, body: str | bytes, operation: int = 1000, room: str = ROOM) -> Push:
        data = body.encode() if isinstance(body, str) else body
        return Push(1, 0, Target.ROOM, operation, data, room=room)


def drive(coroutine: Coroutine[Any, Any, None]) -> Deferred[None]:
    """A test that waits for the browser."""
    return Deferred.fromCoroutine(coroutine)
