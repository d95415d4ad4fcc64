"""What README.md and docs/ tell people to type works as it stands there."""

import subprocess
from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.page import PAGES, ROOT, Page
from tests.docs.terminal import Terminal

NOT_TYPED_HERE = ("make ",)  # tests/test_packaging.py and the tests of twistd run what these do


class ExampleTests(SynchronousTestCase):
    """One imd, as `make run` starts it, and a terminal beside it."""

    terminal: ClassVar[Terminal]

    @classmethod
    def setUpClass(cls) -> None:
        cls.terminal = Terminal()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.terminal.end()

    def test_pages(self) -> None:
        """Every command of every page does what stands below it; listeners are the next two tests'."""
        for path in PAGES:
            page = Page(str(path.relative_to(ROOT)))
            for example in page.examples():
                if not example.command.startswith(NOT_TYPED_HERE) and "imdctl listen" not in example.command:
                    with self.subTest(page=page.name, command=example.command):
                        self.terminal.check(example)

    def test_the_first_push(self) -> None:
        """Who listens as README.md says gets each of the pushes that follow there."""
        listening, *pushes = Page("README.md").examples("A first push")
        self.assertIn("imdctl listen", listening.command)
        self.assertEqual(len(pushes), 3, "imdctl push, goim's way, and JSON")
        listener = self.terminal.start(listening.command)
        self.addCleanup(_end, listener)
        assert listener.stdout is not None
        for push in pushes:
            self.terminal.check(push)
            self.assertEqual(listener.stdout.readline(), "1000 hello\n", push.command)

    def test_away_and_back(self) -> None:
        """Who was away gets what came meanwhile, as README.md has it: numbered, once, and nothing more."""
        terminal = Terminal()  # in which nobody has pushed to this member yet
        self.addCleanup(terminal.end)
        examples = Page("README.md").examples("Away, and back")
        for example in examples:
            terminal.check(example)
        again = examples[-1].command.replace("--count 2", "--timeout 1")
        self.assertEqual(terminal.run(again), "", "it has had them")

    def test_the_greeting(self) -> None:
        """What imd says when it is ready can be pasted."""
        lines = [line.split(maxsplit=1)[1] for line in self.terminal.imd.log.splitlines() if line.startswith("  ")]
        listening, push = (next(line for line in lines if name in line) for name in ("imdctl listen", "curl"))
        listener = self.terminal.start(listening)
        self.addCleanup(_end, listener)
        assert listener.stdout is not None
        self.assertEqual(self.terminal.run(push), '{"code":0,"message":""}')
        self.assertEqual(listener.stdout.readline(), "1000 hello\n")


def _end(process: "subprocess.Popen[str]") -> None:
    process.terminate()  # Ctrl-C is ignored by what a shell without a terminal put in the background
    process.communicate(timeout=20)
