"""The page of ``twistd imd`` in a real headless Chromium."""

from typing import Any

from twisted.internet.defer import Deferred

from tests.support.chromium import Chromium, Tab
from tests.support.http_call import http
from tests.support.system_case import SystemCase
from tests.support.twistd import Twistd

ATTACK = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
ROWS = "[...document.querySelectorAll('.message .text')].map((text) => text.textContent)"


class BrowserTests(SystemCase):
    def test_page(self) -> Deferred[None]:
        """It joins by itself, shows what it pushes and what others push, as text whatever it is; when the server was killed
        and is back, it is back too."""

        async def run() -> None:
            imd = await self.start()
            tab = await self.visit(imd)
            await tab.fill("#body", "from the page")
            await tab.press("Enter")
            await self.shown(tab, "from the page")
            await self.push(imd, "from a terminal")
            await self.shown(tab, "from the page", "from a terminal")
            await self.push(imd, ATTACK)
            await self.shown(tab, "from the page", "from a terminal", ATTACK)
            self.assertEqual(
                await tab.evaluate("document.querySelectorAll('#messages img, #messages script').length"), 0
            )
            self.assertNotEqual(await tab.evaluate("document.title"), "owned")
            self.assertEqual(tab.errors, [])

            ports = {"tcp": imd.port("tcp"), "websocket": imd.port("ws")}
            imd.kill()
            await tab.wait_for("document.querySelector('#status').dataset.state !== 'online'")
            again = self.make(
                comet={name: f"127.0.0.1:{port}" for name, port in ports.items()},
                logic={"http": f"127.0.0.1:{imd.port('http')}"},
            )
            await again.start().ready()
            await tab.wait_for("document.querySelector('#status').dataset.state === 'online'", 15)
            await self.joined(tab)
            await self.push(again, "after the restart")
            await self.shown(tab, "from the page", "from a terminal", ATTACK, "after the restart")

        return self.later(run)

    def test_two_pages(self) -> Deferred[None]:
        """What one page pushes, the other shows; each sees that two are there."""

        async def run() -> None:
            imd = await self.start(comet={"renew_seconds": 1})
            one = await self.visit(imd)
            two = await self.browser.open(imd.urls["http"])
            await self.joined(two)
            await two.fill("#body", "hello")
            await two.press("Enter")
            await self.shown(one, "hello")
            await self.shown(two, "hello")
            await two.wait_for("document.querySelector('#online').textContent === '2 here'")

        return self.later(run)

    async def visit(self, imd: Twistd) -> Tab:
        """A tab of a new browser, in its room."""
        self.browser = Chromium()
        self.addCleanup(self.later, self.browser.stop)
        await self.browser.start()
        tab = await self.browser.open(imd.urls["http"])
        await self.joined(tab)
        return tab

    async def joined(self, tab: Tab) -> None:
        await tab.wait_for("document.querySelector('#online').textContent.endsWith('here')", 15)

    async def push(self, imd: Twistd, body: str) -> None:
        target = "/goim/push/room?operation=1000&type=live&room=1000"
        answer = await http("POST", imd.urls["http"], target, body.encode())
        self.assertEqual(answer.json(), {"code": 0, "message": ""})

    async def shown(self, tab: Tab, *texts: str) -> None:
        """Exactly these, in order."""
        await tab.wait_for(f"{ROWS}.length >= {len(texts)}", 15)
        found: Any = await tab.evaluate(ROWS)
        self.assertEqual(found, list(texts))
