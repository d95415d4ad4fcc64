"""The house's law: which way imports point, what is named where, how long things get. Fails with file and line.

A rule here is a sentence of CONTRIBUTING.md. To break one, change it here, with the reason, in the same commit.
"""

import ast
import io
import sys
import tokenize
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent

ROWS = (  # a room imports from the rows above its own, and from itself
    ("errors", "metrics"),
    ("protocol", "ledger"),
    ("interfaces",),
    ("alarm",),
    ("comet", "logic", "job", "client"),
    ("transport", "backend"),
    ("service", "config", "ctl", "web"),
)
ROW = {room: number for number, row in enumerate(ROWS) for room in row}
SIDEWAYS = {("service", "config"), ("ctl", "config")}  # the settings are a value that both hand on

PURE = {room for row in ROWS[:5] for room in row}  # no clock, no I/O, no thread: time and peers come in from outside
IMPURE = frozenset(
    {
        "_thread",
        "asyncio",
        "concurrent",
        "multiprocessing",
        "random",
        "select",
        "selectors",
        "signal",
        "socket",
        "sqlite3",
    }
    | {
        "ssl",
        "subprocess",
        "threading",
        "time",
        "OpenSSL",
        "autobahn",
        "click",
        "hiredis",
        "kazoo",
        "prometheus_client",
    }
    | {"service_identity", "treq", "txaio", "txredisapi", "zmq", "zope"}
)
OF_TWISTED = ("twisted.internet.defer", "twisted.logger")  # all that comet, logic, job and client may know of it

BANNED_NAMES = {"util", "utils", "common", "helper", "helpers", "manager", "managers", "misc"}  # of files: no noun

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60  # beyond, a comment in it begins with "Long:" and says why it cannot be two
LONG_FILES: dict[str, str] = {  # path -> why it cannot be two nouns
    "imd/interfaces.py": "every seam on one page: whoever swaps a product or adds a process reads this and nothing else",
}
UNMIRRORED: dict[str, str] = {}  # path -> why it has functions and no tests/<folder>/test_<file>.py

EMPTY = frozenset(  # made at module level, they wait to be filled
    {"dict", "list", "set", "bytearray", "defaultdict", "deque", "OrderedDict", "Counter", "count", "local"}
    | {"WeakKeyDictionary", "WeakValueDictionary", "WeakSet", "ContextVar"}
)
MUTATORS = frozenset(
    {"add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft", "remove"}
    | {"setdefault", "update"}
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Fault(NamedTuple):
    """One breach; as a string it is what an editor jumps to."""

    path: str
    line: int
    words: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.words}"


class Source:
    """One file of imd/, parsed."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path  # from the root, with slashes
        self.tree = ast.parse(text, path)
        self.lines = text.splitlines()
        parts = path.removesuffix(".py").removesuffix("/__init__").split("/")
        self.module = ".".join(parts)
        self.package = self.module if path.endswith("/__init__.py") else ".".join(parts[:-1])
        self.room = parts[1] if len(parts) > 1 else ""  # empty: imd/__init__.py
        self.comments = {
            token.start[0]: token.string
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
            if token.type == tokenize.COMMENT
        }

    def functions(self) -> Iterator[Function]:
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                yield node

    def imports(self) -> Iterator[tuple[int, str]]:
        """(line, dotted name) of everything imported anywhere in the file, ``import_module("…")`` included."""
        for node in ast.walk(self.tree):
            match node:
                case ast.Import():
                    yield from ((node.lineno, alias.name) for alias in node.names)
                case ast.ImportFrom():
                    base = node.module or ""
                    if node.level:
                        above = self.package.split(".")[: len(self.package.split(".")) - node.level + 1]
                        base = ".".join([*above, base] if base else above)
                    yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
                case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]) if _called(function) in LOADERS:
                    yield node.lineno, name


LOADERS = {"import_module", "__import__", "namedModule", "namedAny"}


def _called(function: ast.expr) -> str:
    """The last name of what is called: ``b`` of ``a.b()``."""
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _under(name: str, *prefixes: str) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def rows(source: Source) -> Iterator[tuple[int, str]]:
    """Imports point up the rows, never down or sideways."""
    room = source.room
    if room and room not in ROW:
        yield 1, f"{room} is no room of the house: a new one needs a page in docs/decisions/ and a row in this law"
        return
    for line, name in source.imports():
        other = name.split(".")[1] if _under(name, "imd") and "." in name else ""
        if not room and _under(name, "imd"):
            yield line, "imd/__init__.py imports nothing of imd"
        elif other in ROW and other != room and ROW[other] >= ROW[room] and (room, other) not in SIDEWAYS:
            yield line, f"{room} may not import {name}: {other} is not above it"


def purity(source: Source) -> Iterator[tuple[int, str]]:
    """The upper rows know no Twisted but Deferreds and logs, no product, no clock, no socket."""
    if source.room not in PURE:
        return
    below = ROW[source.room] <= ROW["interfaces"]
    for line, name in source.imports():
        top = name.split(".")[0]
        if top in IMPURE:
            yield line, f"{source.room} may not import {top}: time, peers and products come in from outside"
        elif top == "twisted" and below:
            yield line, f"{source.room} may not import {name}: down to interfaces there is no Twisted"
        elif top == "twisted" and not _under(name, *OF_TWISTED):
            yield line, f"{source.room} may not import {name}: of Twisted only {' and '.join(OF_TWISTED)}"
        elif not ROW[source.room] and top not in sys.stdlib_module_names and top != "imd":
            yield line, f"{source.room} may not import {top}: only the standard library"


def reactor(source: Source) -> Iterator[tuple[int, str]]:
    """The reactor is named in service/ alone, and is nobody's default."""
    for function in source.functions():
        for default in (*function.args.defaults, *function.args.kw_defaults):
            if default and _called(default) == "reactor":
                yield default.lineno, "no default reactor: hand it in"
    if source.room == "service":
        return
    for line, name in source.imports():
        if _under(name, "twisted.internet.reactor"):
            yield line, "the reactor is named in imd/service/ only: take it as an argument"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and node.attr == "reactor" and _called(node.value) == "internet":
            yield node.lineno, "the reactor is named in imd/service/ only: take it as an argument"


def names(source: Source) -> Iterator[tuple[int, str]]:
    """A file is named after its noun."""
    for word in BANNED_NAMES & set(source.module.lower().replace(".", "_").split("_")):
        yield 1, f"{word} is no noun: name the file after what is in it"


def lengths(source: Source) -> Iterator[tuple[int, str]]:
    """Long files and functions give their reason."""
    if len(source.lines) > MAX_FILE_LINES and source.path not in LONG_FILES:
        yield len(source.lines), f"{len(source.lines)} lines, over {MAX_FILE_LINES}: which are its two nouns?"
    for function in source.functions():
        end = function.end_lineno or function.lineno
        span = end - function.lineno + 1
        said = any(source.comments.get(at, "").startswith("# Long:") for at in range(function.lineno, end))
        if span > MAX_FUNCTION_LINES and not said:
            yield function.lineno, f"{function.name} has {span} lines: make it two, or add a comment '# Long: why'"


def state(source: Source) -> Iterator[tuple[int, str]]:
    """Nothing at module level waits to be filled."""
    for node in source.tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            if (
                isinstance(node, ast.AnnAssign)
                and _called(getattr(node.annotation, "value", node.annotation)) == "Mapping"
            ):
                continue  # nobody can fill it
            match node.value:
                case ast.Dict(keys=[]) | ast.List(elts=[]):
                    yield node.lineno, "an empty container at module level waits to be filled: put it into an object"
                case ast.Call(func=function, args=[]) if _called(function) in EMPTY:
                    yield node.lineno, f"{_called(function)}() at module level is state: put it into an object"


def changes(source: Source) -> Iterator[tuple[int, str]]:
    """No function changes what is at module level."""
    made = {node.id for statement in source.tree.body for node in _stored(statement)}
    for function in source.functions():
        local = {node.id for node in _stored(*function.body)} | {
            node.arg for node in ast.walk(function) if isinstance(node, ast.arg)
        }
        for node in ast.walk(function):
            match node:
                case ast.Global(lineno=line, names=[name, *_]):
                    local.discard(name)
                case ast.Call(lineno=line, func=ast.Attribute(value=ast.Name(id=name), attr=call)) if call in MUTATORS:
                    pass
                case ast.Subscript(lineno=line, value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
                    pass
                case _:
                    continue
            if name in made - local:
                yield line, f"{name} of the module is changed here: put it into an object"


def _stored(*statements: ast.stmt) -> Iterator[ast.Name]:
    """The names that these statements assign, not counting what is inside functions and classes at their top."""
    for statement in statements:
        if not isinstance(statement, Function | ast.ClassDef):
            nodes = ast.walk(statement)
            yield from (node for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))


def words(source: Source) -> Iterator[tuple[int, str]]:
    """No toys: nothing left to do, no error swallowed or hidden without a reason."""
    for line, comment in source.comments.items():
        if set(comment.replace(":", " ").replace("(", " ").split()) & {"TODO", "FIXME", "XXX", "HACK"}:
            yield line, "nothing is left to do in what is committed"
        reason = comment.count("#") > 1 or line - 1 in source.comments
        if "type: ignore" in comment and not (comment.partition("ignore")[2].startswith("[") and reason):
            yield line, "write '# type: ignore[code]  # reason'"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler):
            caught = {_called(kind) for kind in getattr(node.type, "elts", [node.type]) if kind}
            near = range(node.lineno - 1, node.body[0].lineno + 1)
            last = node.body[-1]
            if isinstance(last, ast.Raise) and last.exc is None:
                continue  # it cleans up and lets it through
            if (not caught or caught & {"Exception", "BaseException"}) and not source.comments.keys() & set(near):
                yield node.lineno, "catch your own errors by name, or say in a comment why all of them (rule 15)"
        elif isinstance(node, ast.Name | ast.Attribute) and _called(node) == "inlineCallbacks":
            yield node.lineno, "write async def: no new inlineCallbacks (rule 13)"


LAWS = (rows, purity, reactor, names, lengths, state, changes, words)
LAWS_OF_BENCHMARKS = (names, lengths, state, changes, words)  # of processes of their own, which stand beside the rows


def faults(path: str, text: str) -> list[Fault]:
    """Every breach in one file, by line."""
    source = Source(path, text)
    return sorted(Fault(path, line, said) for law in LAWS for line, said in law(source))


def behaves(source: Source) -> bool:
    """Whether a function in it does anything; values and seams have docstrings and dots only."""
    bodies = (statement for function in source.functions() for statement in function.body)
    return any(
        not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)) for statement in bodies
    )


def missing_tests(sources: Mapping[str, str], tests: Collection[str]) -> list[str]:
    """The test files that mirror ``sources`` (path -> text) and are not among ``tests``."""
    wanted = {}
    for path, text in sources.items():
        folder, _, file = path.removeprefix("imd/").rpartition("/")
        if path not in UNMIRRORED and behaves(Source(path, text)):
            wanted[path] = "/".join(filter(None, ("tests", folder, f"test_{file}")))
    return [f"{path} has no {test}" for path, test in sorted(wanted.items()) if test not in tests]


def _files(*folders: str) -> dict[str, str]:
    found = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in found}


class HouseTests(SynchronousTestCase):
    """The tree as it is."""

    def test_every_file_keeps_the_law(self) -> None:
        """No file of imd/ breaks a rule."""
        sources = _files("imd")
        self.assertGreater(len(sources), 10)
        found = [str(fault) for path, text in sources.items() for fault in faults(path, text)]
        self.assertEqual(found, [], "\n" + "\n".join(found))

    def test_benchmarks_keep_the_law(self) -> None:
        """No file of benchmarks/ breaks a rule that is not about the rows."""
        sources = [Source(path, text) for path, text in _files("benchmarks").items()]
        self.assertGreater(len(sources), 10)
        found = [
            str(Fault(source.path, line, said))
            for source in sources
            for law in LAWS_OF_BENCHMARKS
            for line, said in law(source)
        ]
        self.assertEqual(found, [], "\n" + "\n".join(found))

    def test_every_file_has_its_test(self) -> None:
        """Tests mirror the code, file by file."""
        found = missing_tests(_files("imd"), _files("tests"))
        self.assertEqual(found, [], "\n" + "\n".join(found))

    def test_every_exception_is_needed(self) -> None:
        """A file that is excused still is what it was excused for."""
        sources = _files("imd")
        self.assertEqual([path for path in (*LONG_FILES, *UNMIRRORED) if path not in sources], [])
        self.assertEqual([path for path in LONG_FILES if sources[path].count("\n") <= MAX_FILE_LINES], [])

    def test_nothing_shadows_twisted(self) -> None:
        """A wheel with ``twisted/__init__.py`` would overwrite Twisted's own."""
        self.assertEqual([path for path in _files("twisted") if path.endswith("__init__.py")], [])

    def test_plugins_import_nothing_of_imd(self) -> None:
        """An import error in a plugin module would greet every user of twistd."""
        for path, text in _files("twisted").items():
            imported = [name for _, name in Source(path, text).imports()]
            self.assertEqual(imported, ["twisted.application.service.ServiceMaker"], path)


PLANTED = (  # (path, source, the line and a word of the fault; None = keeps the law)
    ("imd/errors.py", "import imd.protocol.packet", (1, "not above")),
    ("imd/errors.py", "import msgspec", (1, "standard library")),
    ("imd/metrics.py", "from imd import errors", (1, "not above")),
    ("imd/ledger.py", "from imd.metrics import Metrics\nfrom dataclasses import dataclass", None),
    ("imd/ledger.py", "from imd.protocol import push", (1, "not above")),
    ("imd/protocol/packet.py", "from imd.errors import CloseReason\nimport msgspec", None),
    ("imd/protocol/packet.py", "from imd import interfaces", (1, "not above")),
    ("imd/protocol/packet.py", "def f():\n    import time", (2, "time")),
    ("imd/interfaces.py", "from twisted.internet.defer import Deferred", (1, "no Twisted")),
    ("imd/comet/room.py", "from twisted.internet.defer import Deferred\nfrom twisted.logger import Logger", None),
    ("imd/comet/room.py", "from twisted.internet import defer", None),
    ("imd/comet/room.py", "from twisted.internet import task", (1, "of Twisted only")),
    ("imd/comet/room.py", "import twisted", (1, "of Twisted only")),
    ("imd/comet/room.py", "from . import bucket\nfrom .bucket import Bucket", None),
    ("imd/comet/room.py", "from ..logic import push", (1, "not above")),
    ("imd/comet/room.py", "from .. import logic", (1, "not above")),
    ("imd/comet/room.py", "\nimport imd.job.batch", (2, "not above")),
    ("imd/comet/__init__.py", "from ..transport.tcp import Tcp", (1, "not above")),
    ("imd/comet/room.py", "from importlib import import_module\nimport_module('imd.logic.push')", (2, "not above")),
    ("imd/comet/room.py", "__import__('socket')", (1, "socket")),
    ("imd/logic/push.py", "if True:\n    from random import random", (2, "random")),
    ("imd/logic/push.py", "import txredisapi", (1, "txredisapi")),
    ("imd/transport/tcp.py", "import socket, imd.comet.session\nfrom imd import __version__", None),
    ("imd/transport/tcp.py", "from imd.backend import memory", (1, "not above")),
    ("imd/backend/memory.py", "from imd.config import Settings", (1, "not above")),
    ("imd/service/comet.py", "from imd.config import Settings\nfrom twisted.internet import reactor", None),
    ("imd/config.py", "from imd.service import comet", (1, "not above")),
    ("imd/__init__.py", "from imd import errors", (1, "imports nothing")),
    ("imd/gateway/x.py", "", (1, "no room")),
    ("imd/transport/tcp.py", "from twisted.internet import reactor", (1, "reactor")),
    ("imd/ctl/main.py", "def f():\n    import twisted.internet.reactor as r", (2, "reactor")),
    ("imd/ctl/main.py", "from twisted import internet\ninternet.reactor.run()", (2, "reactor")),
    ("imd/service/comet.py", "def f(*, reactor=reactor): ...", (1, "no default reactor")),
    ("imd/service/comet.py", "def f(clock=internet.reactor): ...", (1, "no default reactor")),
    ("imd/comet/room_utils.py", "", (1, "no noun")),
    ("imd/comet/helpers.py", "", (1, "no noun")),
    ("imd/comet/commons.py", "", None),
    ("imd/comet/room.py", "x = 1\n" * 400, None),
    ("imd/comet/room.py", "x = 1\n" * 401, (401, "two nouns")),
    ("imd/comet/room.py", "def f():\n" + "    x = 1\n" * 59, None),
    ("imd/comet/room.py", "def f():\n" + "    x = 1\n" * 60, (1, "61 lines")),
    ("imd/comet/room.py", "def f():\n    # Long: a table\n" + "    x = 1\n" * 60, None),
    ("imd/comet/room.py", "cache = {}", (1, "empty container")),
    ("imd/comet/room.py", "NONE: Mapping[str, int] = {}", None),
    ("imd/comet/room.py", "cache: dict[str, int] = dict()", (1, "state")),
    ("imd/comet/room.py", "from itertools import count\nids = count()", (2, "state")),
    (
        "imd/comet/room.py",
        "T = {1: 2}\nN = frozenset()\nclass A:\n    x = {}\ndef f():\n    t = {}\n    t[1] = 2",
        None,
    ),
    ("imd/comet/room.py", "TABLE = {1: 2}\ndef f():\n    TABLE[3] = 4", (3, "changed here")),
    ("imd/comet/room.py", "TABLE = [1]\ndef f():\n    TABLE.append(2)", (3, "changed here")),
    ("imd/comet/room.py", "TABLE = [1]\ndef f(TABLE):\n    TABLE.append(2)", None),
    ("imd/comet/room.py", "N = 1\ndef f():\n    global N\n    N = 2", (3, "changed here")),
    ("imd/comet/room.py", "try:\n    f()\nexcept Exception:\n    pass", (3, "by name")),
    ("imd/comet/room.py", "try:\n    f()\nexcept:\n    pass", (3, "by name")),
    ("imd/comet/room.py", "try:\n    f()\nexcept (OSError, BaseException):\n    pass", (3, "by name")),
    ("imd/comet/room.py", "try:\n    f()\nexcept OSError:\n    pass", None),
    ("imd/comet/room.py", "try:\n    f()\nexcept Exception:  # a hook may raise anything\n    pass", None),
    ("imd/comet/room.py", "try:\n    f()\nexcept BaseException:\n    close()\n    raise", None),
    ("imd/comet/room.py", "x = 1  # TODO: more", (1, "left to do")),
    ("imd/comet/room.py", "x = 'TODO'", None),
    ("imd/comet/room.py", "x = 1  # type: ignore", (1, "reason")),
    ("imd/comet/room.py", "x = 1  # type: ignore[misc]", (1, "reason")),
    ("imd/comet/room.py", "x = 1  # type: ignore[misc]  # the stubs lack it", None),
    ("imd/comet/room.py", "# the stubs lack it\nx = 1  # type: ignore[misc]", None),
    ("imd/transport/tcp.py", "@defer.inlineCallbacks\ndef f(): ...", (1, "inlineCallbacks")),
)


class LawTests(SynchronousTestCase):
    """The law finds what is planted, and nothing else."""

    def test_planted_faults_are_found(self) -> None:
        """Each breach is found once, on its line; a lawful source has none."""
        for path, text, expected in PLANTED:
            found = [(fault.line, fault.words) for fault in faults(path, text)]
            if expected is None:
                self.assertEqual(found, [], (path, text[:200]))
            else:
                self.assertEqual([line for line, _ in found], [expected[0]], (path, text[:200], found))
                self.assertIn(expected[1], found[0][1])

    def test_fault_names_file_and_line(self) -> None:
        """A fault reads as editors and people expect."""
        (fault,) = faults("imd/comet/room.py", "\nimport socket")
        self.assertTrue(str(fault).startswith("imd/comet/room.py:2: comet may not import socket"), fault)

    def test_missing_tests_are_found(self) -> None:
        """A file without its mirror is named; one that holds only values or seams needs none."""
        value = 'class Room(NamedTuple):\n    """A room."""\n    name: str\n'
        seam = (
            'class Hook(Protocol):\n    def a(self) -> None: ...\n    def b(self) -> None:\n        """Says what."""\n'
        )
        does = "def f():\n    return 1\n"
        sources = {
            "imd/errors.py": does,
            "imd/comet/room.py": does,
            "imd/comet/idle.py": does,
            "imd/comet/load.py": value,
        }
        found = missing_tests(
            {**sources, "imd/interfaces.py": seam}, ["tests/test_errors.py", "tests/comet/test_idle.py"]
        )
        self.assertEqual(found, ["imd/comet/room.py has no tests/comet/test_room.py"])
