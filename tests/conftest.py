"""What holds for every test. In CI nothing is skipped: a test that did not run is a promise that nobody checked."""

import os
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session", autouse=True)
def _scratch_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """trial's ``mktemp`` makes folders where the process stands: let that be a place that pytest clears."""
    home = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("trial"))
    yield
    os.chdir(home)


def _left_out(config: pytest.Config) -> list[str]:
    """What was skipped or expected to fail, by node id; empty outside CI."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("CI"):
        return []
    return [report.nodeid for kind in ("skipped", "xfailed") for report in reporter.stats.get(kind, [])]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run before its closing line is written."""
    if _left_out(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say which."""
    for node in _left_out(config):
        terminalreporter.line(f"CI: {node} did not run", red=True)
