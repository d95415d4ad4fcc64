"""Samples of a process: whose room its Python is in."""

import json
import signal
import sys
from pathlib import Path
from types import CodeType, FrameType, SimpleNamespace
from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.sampled import Sampler, room_of


def stack(*paths: str) -> FrameType:
    """Frames of functions in these files, the innermost first."""
    frame = None
    for path in reversed(paths):
        code = cast(CodeType, SimpleNamespace(co_filename=path))
        frame = SimpleNamespace(f_code=code, f_back=frame)
    return cast(FrameType, frame)


class SamplerTests(SynchronousTestCase):
    """Begun and ended by a signal."""

    def setUp(self) -> None:
        self.timers: list[tuple[float, ...]] = []
        self.patch(signal, "setitimer", lambda _which, *seconds: self.timers.append(seconds))
        self.path = Path(self.mktemp())
        self.sampler = Sampler(str(self.path))

    def test_rooms(self) -> None:
        """Of the innermost frame that is somebody's: the standard library works for whoever calls it."""
        self.sampler.toggle(0, None)
        for paths in (
            ("/x/imd/job/route.py", "/x/imd/backend/broker_redis.py"),
            ("/usr/lib/python3.11/enum.py", "/x/imd/job/lane.py"),
            ("/v/site-packages/twisted/internet/defer.py", "/x/imd/job/lane.py"),
            ("/usr/lib/python3.11/threading.py",),
        ):
            self.sampler.sample(0, stack(*paths))
        self.assertFalse(self.path.exists())
        self.sampler.toggle(0, None)
        self.assertEqual(json.loads(self.path.read_text()), {"job": 2, "twisted": 1, "other": 1})
        self.assertEqual(self.timers, [(0.004, 0.004), (0.0, 0.0)])

    def test_again(self) -> None:
        """It begins from nothing."""
        for _ in range(2):
            self.sampler.toggle(0, None)
            self.sampler.sample(0, sys._getframe())
            self.sampler.toggle(0, None)
        self.assertEqual(sum(json.loads(self.path.read_text()).values()), 1)

    def test_room_of(self) -> None:
        """A path's first match; nobody's is empty."""
        self.assertEqual(
            [room_of(path) for path in ("/a/imd/service/x.py", "/a/txredisapi.py", "/lib/re.py")],
            ["other imd", "txredisapi", ""],
        )
