"""The page's files over HTTP."""

import re
from importlib.resources import files

from twisted.trial.unittest import SynchronousTestCase

from imd.transport.http_pages import PagesApi, PageSettings
from tests.support.http_wire import Answer, HttpWire, site_of

FILES = ("/", "/web/style.css", "/web/page.js", "/web/client.js", "/web/packet.js")


class PagesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.settings = PageSettings(websocket_port=4102, push_key_needed=True)
        self.wire = HttpWire(site_of(*PagesApi(settings=self.settings).routes()))

    def ask(self, path: str, **headers: str) -> Answer:
        return self.wire.ask("GET", path, None, **headers)

    def test_files(self) -> None:
        """Each file is served as it is, with its type."""
        for path in FILES:
            answer = self.ask(path)
            name = path.rpartition("/")[2] or "index.html"
            self.assertEqual((answer.status, answer.body), (200, files("imd.web").joinpath(name).read_bytes()))
        self.assertEqual(self.ask("/").headers["content-type"], "text/html; charset=utf-8")
        self.assertEqual(self.ask("/web/page.js").headers["content-type"], "text/javascript; charset=utf-8")

    def test_nothing_else(self) -> None:
        """Nothing else of the package can be had."""
        for path in ("/web/__init__.py", "/web/", "/web/../errors.py", "/web/%2e%2e/errors.py", "/index.html"):
            self.assertEqual(self.ask(path).status, 404, path)

    def test_security(self) -> None:
        """No file may run, load or be framed by anything but our own."""
        for path in FILES:
            headers = self.ask(path).headers
            policy = headers["content-security-policy"]
            self.assertIn("default-src 'none'", policy)
            self.assertIn("frame-ancestors 'none'", policy)
            self.assertNotIn("unsafe", policy)
            self.assertEqual(headers["x-content-type-options"], "nosniff")

    def test_cached(self) -> None:
        """A browser asks each time and gets 304 for what it has."""
        answer = self.ask("/web/page.js")
        self.assertEqual(answer.headers["cache-control"], "no-cache")
        for tag in (answer.headers["etag"], f"W/{answer.headers['etag']}", f'"x", {answer.headers["etag"]}', "*"):
            again = self.ask("/web/page.js", If_None_Match=tag)
            self.assertEqual((again.status, again.body), (304, b""), tag)
            self.assertIn("content-security-policy", again.headers)
        self.assertEqual(self.ask("/web/page.js", If_None_Match='"x"').status, 200)

    def test_settings(self) -> None:
        """The page learns where to connect and what to ask for."""
        settings = self.ask("/page.json").json()
        self.assertEqual((settings["websocket_port"], settings["push_key_needed"]), (4102, True))
        self.assertEqual(set(settings), set(PageSettings.__struct_fields__))

    def test_nothing_inline(self) -> None:
        """The page has no script or style of its own text, which the policy would not run, and refers to what exists."""
        page = self.ask("/").body.decode()
        self.assertIsNone(re.search(r"\son\w+=|\sstyle=|<style|<script>|javascript:", page))
        for path in re.findall(r'(?:src|href)="(/[^"]+)"', page):
            self.assertEqual(self.ask(path).status, 200, path)

    def test_no_inserted_html(self) -> None:
        """No module makes HTML out of text."""
        for path in FILES[2:]:
            source = self.ask(path).body.decode()
            for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "DOMParser"):
                self.assertNotIn(word, source, path)
