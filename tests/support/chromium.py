"""A real headless Chromium, driven over its DevTools pipe (no port, no npm)."""

import os
import shutil
from base64 import b64decode
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from tests.support.reactor import reactor

SECONDS = 20.0  # for any one answer of the browser
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
_KEYS = {"Enter": ("Enter", "\r"), "Tab": ("Tab", ""), "Escape": ("Escape", "")}
Json = dict[str, Any]


class ChromiumError(Exception):
    """The browser, or a script in it, said no."""


def executable(environ: Mapping[str, str] = os.environ) -> str:
    """Where it is; ``CHROMIUM`` in the environment wins. Says what to install when it is nowhere."""
    names = ("chromium", "chromium-browser", "google-chrome")
    on_path = (shutil.which(name, path=environ.get("PATH")) for name in names)
    found = environ.get("CHROMIUM") or next(filter(None, on_path), None)
    if not found or not Path(found).exists():
        raise ChromiumError("The web tests need Chromium: apt-get install chromium, or set CHROMIUM=/path/to/it")
    return found


class _Pipe(ProcessProtocol):
    """Messages are JSON, a zero byte after each: ours to descriptor 3, the browser's from 4."""

    def __init__(self, received: Callable[[Json], None]) -> None:
        self._received = received
        self._buffer = b""
        self.complaints = b""  # its stderr, for when it does not come up
        self.ended: Deferred[None] = Deferred()

    def send(self, message: Json) -> None:
        assert self.transport is not None
        self.transport.writeToChild(3, msgspec.json.encode(message) + b"\0")

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        if childFD != 4:
            self.complaints = (self.complaints + data)[-2000:]
            return
        *messages, self._buffer = (self._buffer + data).split(b"\0")
        for message in messages:
            self._received(msgspec.json.decode(message))

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)


class Chromium:
    """One browser with a profile of its own. ``start`` it, ``open`` tabs, ``stop`` it."""

    def __init__(self) -> None:
        self._profile = ""  # a folder; empty until started
        self._pipe = _Pipe(self._receive)
        self._pending: dict[int, Deferred[Json]] = {}  # call id -> its answer
        self._tabs: dict[str, Tab] = {}  # session id -> tab
        self._calls = 0

    async def start(self) -> None:
        path = executable()
        self._profile = mkdtemp(prefix="imd-chromium-")
        arguments = [path, *_FLAGS, f"--user-data-dir={self._profile}", "about:blank"]
        descriptors = {0: "w", 1: "r", 2: "r", 3: "w", 4: "r"}
        reactor.spawnProcess(self._pipe, path, arguments, env=os.environ, childFDs=descriptors)
        try:
            await self.call("Browser.getVersion")
        except ChromiumError as error:
            raise ChromiumError(f"{path} does not come up: {self._pipe.complaints.decode(errors='replace')}") from error

    async def stop(self) -> None:
        """Close it, and make sure that nothing of it is left."""
        if self._pipe.transport is not None and not self._pipe.ended.called:
            try:
                self._pipe.send({"id": 0, "method": "Browser.close"})
                killer = reactor.callLater(5, self._kill)
                await self._pipe.ended
                if killer.active():
                    killer.cancel()
            except ProcessExitedAlready:
                pass
        shutil.rmtree(self._profile, ignore_errors=True)

    async def open(self, url: str, width: int = 1200, height: int = 800, dark: bool = False) -> "Tab":
        """A tab of this size, in light or dark colours, once the page has loaded."""
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        tab = self._tabs[session] = Tab(self, session)
        for domain in ("Page", "Runtime", "Log"):
            await tab.call(f"{domain}.enable")
        await tab.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await tab.call("Emulation.setEmulatedMedia", features=[scheme])
        await tab.go(url)
        return tab

    def call(self, method: str, session: str = "", **params: Any) -> Deferred[Json]:
        """One DevTools call; its result, or :class:`ChromiumError`."""
        self._calls += 1
        call_id = self._calls
        answer: Deferred[Json] = Deferred()
        self._pending[call_id] = answer
        self._pipe.send(
            {"id": call_id, "method": method, "params": params} | ({"sessionId": session} if session else {})
        )

        def late(result: Json | Failure, seconds: float) -> Json:
            self._pending.pop(call_id, None)
            raise ChromiumError(f"{method}: no answer within {seconds:g} s")

        return answer.addTimeout(SECONDS, reactor, late)

    def _receive(self, message: Json) -> None:
        if "id" not in message:
            if tab := self._tabs.get(message.get("sessionId", "")):
                tab.happened(message["method"], message["params"])
        elif answer := self._pending.pop(message["id"], None):
            if "error" in message:
                answer.errback(ChromiumError(message["error"]["message"]))
            else:
                answer.callback(message["result"])

    def _kill(self) -> None:
        assert self._pipe.transport is not None
        self._pipe.transport.signalProcess("KILL")


class Tab:
    """One page."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser = browser
        self._session = session
        self._loaded: Deferred[None] | None = None  # somebody waits for the page to load
        self.errors: list[str] = []  # what went wrong in the page: exceptions, refused scripts, failed loads

    def call(self, method: str, **params: Any) -> Deferred[Json]:
        return self._browser.call(method, self._session, **params)

    def happened(self, method: str, params: Json) -> None:
        """An event of the page."""
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Page.loadEventFired" and self._loaded is not None:
            loaded, self._loaded = self._loaded, None
            loaded.callback(None)

    async def go(self, url: str) -> None:
        """Visit ``url``; returns when it has loaded."""
        loaded: Deferred[None] = Deferred()
        self._loaded = loaded
        await self.call("Page.navigate", url=url)
        await loaded.addTimeout(SECONDS, reactor)

    async def resize(self, width: int, height: int) -> None:
        """The size of the window, in CSS pixels."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    async def evaluate(self, script: str) -> Any:
        """The value of an expression in the page, awaited if it is a promise."""
        answer = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise ChromiumError(str(answer["exceptionDetails"].get("exception", {}).get("description")))
        return answer["result"].get("value")

    async def wait_for(self, script: str, seconds: float = 10.0) -> Any:
        """The first value of an expression that is true; says what the page showed when none came."""
        value = await self.evaluate(
            f"""new Promise((resolve) => {{
              const end = performance.now() + {seconds * 1000};
              const look = () => {{
                const value = {script};
                if (value || performance.now() > end) resolve(value); else setTimeout(look, 20);
              }};
              look();
            }})"""
        )
        if not value:
            shown = await self.evaluate("document.body.innerText")
            raise ChromiumError(f"never true: {script}\n{self.errors}\n{shown}")
        return value

    async def text(self, selector: str) -> str:
        """What a person reads there."""
        return str(await self.evaluate(f"document.querySelector({_quote(selector)}).innerText"))

    async def fill(self, selector: str, text: str) -> None:
        """Put text into a field as a person would: select what is there, type."""
        await self.evaluate(
            f"(() => {{ const f = document.querySelector({_quote(selector)}); f.focus(); f.select(); }})()"
        )
        if text:
            await self.call("Input.insertText", text=text)
        else:
            await self.press("Delete")

    async def press(self, key: str, shift: bool = False) -> None:
        """A key of the keyboard, down and up."""
        code, text = _KEYS.get(key, (key, ""))
        common = {"key": key, "code": code, "modifiers": 8 if shift else 0, "windowsVirtualKeyCode": _CODES.get(key, 0)}
        await self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    async def click(self, selector: str) -> None:
        """The left button on the middle of an element."""
        x, y = await self.evaluate(
            f"""(() => {{
              const element = document.querySelector({_quote(selector)});
              element.scrollIntoView({{block: "nearest"}});
              const box = element.getBoundingClientRect();
              return [box.x + box.width / 2, box.y + box.height / 2];
            }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def screenshot(self, path: Path) -> None:
        """A PNG of what is to be seen."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b64decode((await self.call("Page.captureScreenshot", format="png"))["data"]))


_CODES = {"Enter": 13, "Tab": 9, "Escape": 27, "Delete": 46}


def _quote(text: str) -> str:
    return msgspec.json.encode(text).decode()
