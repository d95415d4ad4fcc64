"""What a person sees and does on the page, in a real browser."""

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.protocol.operation import Operation
from tests.support.chromium import ChromiumError, executable
from tests.web.page_case import ROOM, PageCase, drive

SCREENSHOTS = Path(__file__).parent.parent.parent / "build" / "screenshots"  # for people to look at
ATTACK = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


class JoinTests(PageCase):
    def test_joins(self) -> Deferred[None]:
        """It connects by itself, joins a room and says where it is and how many are there."""

        async def run() -> None:
            tab = await self.visit()
            self.assertEqual(await tab.text("#online"), "1 here")
            self.assertIn(f"Connected to ws://127.0.0.1:{self.comet.port}/sub", await tab.text("#status"))
            self.assertEqual(tab.errors, [])

        return drive(run())

    def test_by_address(self) -> Deferred[None]:
        """The room in the address is the one it joins; names may hold slashes and any letters."""

        async def run() -> None:
            tab = await self.open(self.serve() + "/#chat://a/b%20%E4%BD%A0")
            await self.joined(tab, "chat://a/b 你")
            self.comet.push(self.push("hello", room="chat://a/b 你"))
            self.assertEqual(await self.shown(tab, 1), [["chat://a/b 你", "1000", "hello"]])

        return drive(run())

    def test_changes_room(self) -> Deferred[None]:
        """Another room is joined on the same connection; the old one's pushes come no more."""

        async def run() -> None:
            tab = await self.visit()
            await tab.fill("#room", "live://other")
            await tab.press("Enter")
            await self.joined(tab, "live://other")
            self.comet.push(self.push("to the old"))
            self.comet.push(self.push("to the new", room="live://other"))
            self.assertEqual(await self.shown(tab, 1), [["live://other", "1000", "to the new"]])
            self.assertEqual([p.operation for p in self.comet.received].count(Operation.AUTH), 1)
            self.assertEqual(await tab.evaluate("location.hash"), "#live://other")

        return drive(run())

    def test_wrong_room(self) -> Deferred[None]:
        """What is no room is said at the field, and nothing is asked of the server."""

        async def run() -> None:
            tab = await self.visit()
            for room in ("", "1000", "://x", "live://", "live://" + "x" * 250):
                await tab.fill("#room", room)
                await tab.click("#join button[type=submit]")
                self.assertIn("room", await tab.text("#room-error"))
                self.assertEqual(await tab.evaluate("document.activeElement.id"), "room")
                self.assertEqual(await tab.evaluate("document.querySelector('#room').ariaInvalid"), "true")
            self.assertNotIn(Operation.CHANGE_ROOM, [p.operation for p in self.comet.received])

        return drive(run())

    def test_token(self) -> Deferred[None]:
        """Where tokens are needed it asks for one first, sends it, and says why it was refused."""

        async def run() -> None:
            tab = await self.open(self.serve(token_needed=True))
            await tab.wait_for("document.activeElement.id === 'token'")
            self.assertEqual(self.comet.received, [])
            self.comet.refusing = (4020, "auth_refused")
            await tab.fill("#token", "a.b.c")
            await tab.press("Enter")
            await tab.wait_for("document.querySelector('#status-text').textContent.includes('auth_refused')")
            self.assertIn(b'"token":"a.b.c"', self.comet.received[0].body)
            self.comet.refusing = None
            await tab.click("#retry")
            await self.joined(tab)

        return drive(run())


class ArrivalTests(PageCase):
    def test_shown(self) -> Deferred[None]:
        """Pushes are shown in order with room, operation and body, merged ones each by itself."""

        async def run() -> None:
            tab = await self.visit()
            self.comet.push(self.push("one"), self.push("two\nlines", 1001))
            self.comet.push(self.push("an operation of ours", Operation.AUTH_REPLY), self.push(b"\xff\x00\x80", -1))
            self.assertEqual(
                await self.shown(tab, 4),
                [
                    [ROOM, "1000", "one"],
                    [ROOM, "1001", "two\nlines"],
                    [ROOM, "8", "an operation of ours"],
                    [ROOM, "-1", "ff 00 80 (3 bytes, not text)"],
                ],
            )
            self.assertEqual(tab.errors, [])

        return drive(run())

    def test_markup_is_text(self) -> Deferred[None]:
        """Markup in a body, a room or a reason is text; nothing of it runs."""

        async def run() -> None:
            room = f"live://{ATTACK}"
            tab = await self.visit()
            await tab.fill("#room", room)
            await tab.press("Enter")
            await tab.wait_for("document.querySelector('#messages').innerText.includes('Joined live://<img')")
            self.comet.push(self.push(ATTACK, room=room))
            self.assertEqual(await self.shown(tab, 1), [[room, "1000", ATTACK]])
            self.assertEqual(await tab.evaluate("document.querySelectorAll('main img, main script').length"), 0)
            self.assertEqual(await tab.evaluate("document.title"), "imd")
            self.assertEqual(tab.errors, [])

        return drive(run())

    def test_bounded(self) -> Deferred[None]:
        """The list keeps the newest and forgets the oldest; who has scrolled up stays there and is told."""

        async def run() -> None:
            tab = await self.visit()
            self.comet.push(*(self.push(f"n{n}") for n in range(300)))
            rows = await self.shown(tab, 200)
            self.assertEqual((len(rows), rows[-1][2]), (200, "n299"))
            list_ = "document.querySelector('#messages')"
            await tab.evaluate(f"{list_}.scrollTop = 0")
            await tab.wait_for(f"{list_}.scrollTop === 0")
            self.comet.push(self.push("newer"))
            await tab.wait_for("document.querySelector('#newer').textContent === '1 new ↓'")
            self.assertEqual(await tab.evaluate(f"{list_}.scrollTop < 100"), True)
            await tab.click("#newer")
            await tab.wait_for("document.querySelector('#newer').hidden")
            await tab.click("#clear")
            await tab.wait_for(f"{list_}.childElementCount === 0")

        return drive(run())


class PushTests(PageCase):
    def test_pushes(self) -> Deferred[None]:
        """What is typed is pushed by Enter, says its id and comes back; Shift Enter breaks the line."""

        async def run() -> None:
            tab = await self.visit()
            await tab.fill("#body", "hello")
            await tab.press("Enter", shift=True)
            await tab.call("Input.insertText", text="world 你")
            await tab.press("Enter")
            self.assertEqual(await self.shown(tab, 1), [[ROOM, "1000", "hello\nworld 你"]])
            await tab.wait_for("document.querySelector('#pushed').textContent.startsWith('accepted, id ')")
            [push] = self.logic.broker.taken
            self.assertEqual((push.room, push.operation), (ROOM, 1000))
            self.assertEqual(await tab.evaluate("document.activeElement.id + document.activeElement.value"), "body")
            self.assertEqual(tab.errors, [])

        return drive(run())

    def test_wrong_values(self) -> Deferred[None]:
        """What cannot be pushed is said at the field."""

        async def run() -> None:
            tab = await self.visit()
            await tab.click("#send")
            self.assertIn("Write something", await tab.text("#push-error"))
            await tab.fill("#body", "x")
            for operation in ("", "x", "1.5", "2147483648"):
                await tab.fill("#operation", operation)
                await tab.press("Enter")
                self.assertIn("32 bits", await tab.text("#push-error"))
            self.assertEqual(self.logic.broker.taken, [])

        return drive(run())

    def test_key(self) -> Deferred[None]:
        """Where push keys are needed the page asks for one, and says what the server says to a wrong one."""

        async def run() -> None:
            tab = await self.open(self.serve({"right": ("push",)}))
            await self.joined(tab)
            self.assertIn("Authorization: Bearer KEY", await tab.text("#curl"))
            await tab.fill("#body", "hello")
            await tab.press("Enter")
            self.assertIn("wants a push key", await tab.text("#push-error"))
            self.assertEqual(await tab.evaluate("document.activeElement.id"), "key")
            await tab.fill("#key", "wrong")
            await tab.press("Enter")
            await tab.wait_for(
                "document.querySelector('#push-error').textContent.includes('the push key is not known')"
            )
            await tab.fill("#key", "right")
            await tab.press("Enter")
            self.assertEqual(await self.shown(tab, 1), [[ROOM, "1000", "hello"]])
            self.assertEqual(await tab.text("#push-error"), "")

        return drive(run())

    def test_curl(self) -> Deferred[None]:
        """The line for a terminal pushes to the room that one is in, quotes and all."""

        async def run() -> None:
            tab = await self.open(self.serve() + "/#live://it's%20a/b")
            await tab.wait_for("document.querySelector('#curl').textContent.includes('room=')")
            line = await tab.text("#curl")
            self.assertIn("/goim/push/room?operation=1000&type=live&room=it%27s+a%2Fb'", line)

        return drive(run())


class ReconnectTests(PageCase):
    def test_comes_back(self) -> Deferred[None]:
        """When the server is lost it says so, counts down, comes back by itself and joins the same room."""

        async def run() -> None:
            tab = await self.visit()
            await self.comet.stop()
            await tab.wait_for("document.querySelector('#status').dataset.state === 'waiting'")
            self.assertRegex(await tab.text("#status-text"), r"; again in \d+ s")
            self.assertIn("The connection was lost", await tab.text("#messages"))
            await tab.wait_for("document.querySelector('#status-text').textContent.startsWith('No connection')")
            self.comet.start()
            await tab.wait_for("document.querySelector('#status').dataset.state === 'online'")
            self.comet.push(self.push("again"))
            self.assertEqual(await self.shown(tab, 1), [[ROOM, "1000", "again"]])

        return drive(run())

    def test_retry_now(self) -> Deferred[None]:
        """One need not wait for the countdown."""

        async def run() -> None:
            tab = await self.visit()
            await self.comet.stop()
            for _ in range(4):
                await tab.wait_for("document.querySelector('#retry').checkVisibility()")
                await tab.click("#retry")
            self.comet.start()
            await tab.wait_for("document.querySelector('#status').dataset.state !== 'connecting'")
            await tab.click("#retry")
            await tab.wait_for("document.querySelector('#status').dataset.state === 'online'", 3)

        return drive(run())

    def test_silent_server(self) -> Deferred[None]:
        """A server that takes the connection and says nothing more is left for another try."""

        async def run() -> None:
            tab = await self.visit()
            self.comet.silent = True
            await tab.fill("#room", "live://x")
            await tab.press("Enter")
            await tab.wait_for("document.querySelector('#status-text').textContent.includes('does not answer')", 12)
            self.comet.silent = False
            await tab.wait_for("document.querySelector('#status').dataset.state === 'online'")

        return drive(run())

    def test_silent_addresses(self) -> Deferred[None]:
        """Whoever should say where to connect, and does not, is left for another try as well."""

        async def run() -> None:
            tab = await self.visit()
            await tab.evaluate(
                """(async () => {
                  const { Client } = await import("/web/client.js");
                  window.asked = 0;
                  const addresses = () => { window.asked += 1; return new Promise(() => {}); };
                  window.waiting = new Client({ addresses, backoff: { base: 0.01 } });
                  window.waiting.start("live://x");
                })()"""
            )
            await tab.wait_for("window.asked === 2", 12)
            self.assertEqual(await tab.evaluate("window.waiting.state"), "connecting")
            await tab.evaluate("window.waiting.stop()")

        return drive(run())

    def test_final(self) -> Deferred[None]:
        """An end after which coming back cannot help is final, until a person says otherwise."""

        async def run() -> None:
            tab = await self.visit()
            for link in self.comet.links:
                link.sendClose(4030, "replaced")
            await tab.wait_for("document.querySelector('#status').dataset.state === 'offline'")
            self.assertIn("replaced", await tab.text("#status-text"))
            await tab.click("#retry")
            await tab.wait_for("document.querySelector('#status').dataset.state === 'online'")

        return drive(run())


class LookTests(PageCase):
    def test_screenshots(self) -> Deferred[None]:
        """It fits its window, wide and narrow, light and dark; pictures are left for a person to look at."""

        async def run() -> None:
            url = self.serve()
            await self.browser.start()
            for name, width, height, dark in (
                ("wide-light", 1200, 760, False),
                ("wide-dark", 1200, 760, True),
                ("narrow-light", 390, 844, False),
                ("narrow-dark", 390, 844, True),
            ):
                tab = await self.browser.open(url, width=width, height=height, dark=dark)
                await self.joined(tab)
                await tab.screenshot(SCREENSHOTS / f"{name}-empty.png")
                self.comet.push(
                    self.push("Good morning! Deployment 42 is live."), self.push('{"user": 7, "likes": 1280}', 1001)
                )
                self.comet.push(self.push(ATTACK), self.push("A longer one, " * 20), self.push(bytes(range(128, 160))))
                await tab.fill("#body", "On my way")
                await tab.press("Enter")
                await tab.wait_for("document.querySelector('#pushed').textContent")
                await tab.wait_for("document.getAnimations().length === 0")
                await tab.screenshot(SCREENSHOTS / f"{name}.png")
                end = "(({scrollHeight, scrollTop, clientHeight}) => scrollHeight - scrollTop - clientHeight)"
                self.assertLess(await tab.evaluate(f"{end}(document.querySelector('#messages'))"), 2)
                wider = await tab.evaluate(
                    "document.documentElement.scrollWidth - document.documentElement.clientWidth"
                )
                self.assertEqual((wider, tab.errors), (0, []))

        return drive(run())


class MissingChromiumTests(SynchronousTestCase):
    def test_missing(self) -> None:
        """Without Chromium a test fails and says what to install."""
        failure = self.assertRaises(ChromiumError, executable, {"PATH": "/nowhere"})
        self.assertIn("apt-get install chromium", str(failure))
        self.assertRaises(ChromiumError, executable, {"CHROMIUM": "/nowhere/chromium"})
