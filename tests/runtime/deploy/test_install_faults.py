"""Whatever fails, and whenever it is killed, a whole bundle runs afterwards."""

import errno
import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echo_edge.deploy.install import Policy, install, rollback
from echo_edge.errors import EchoError
from tests.runtime.deploy.installs import listing, running

LONG = bool(os.environ.get("ECHO_EDGE_LONG"))
"""All faults and 200 kills, minutes of work, instead of a third and 20."""


WATCHED = ("open", "write", "fsync", "mkdir", "rename", "replace", "symlink", "unlink", "rmdir")
"""Calls of `os` that install changes anything with; reading fails in tests/attacks."""


class Fault:
    """The calls of install below `root`, counted; at call `at` something happens instead."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, action: Callable[[], None]) -> None:
        self.calls: list[str] = []
        self.at = 0
        for name in WATCHED:
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name), action))

    def _wrapped(self, name: str, call: Any, action: Callable[[], None]) -> Any:
        def watched(*arguments: Any, **options: Any) -> Any:
            if self.at:
                self.calls.append(name)
                if len(self.calls) == self.at:
                    action()
            return call(*arguments, **options)

        return watched


def _after(root: Path, source: Path, policy: Policy) -> int:
    """The build that ran after a fault; then the next run must succeed and leave no debris."""
    build = running(root)
    install(source, root, policy)
    assert (running(root), listing(root)) == (2, ["a", "b", "current", "lock"])
    return build


def _fresh(root: Path, installed: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(installed, root, symlinks=True)


@pytest.fixture
def installed(root: Path, build: Callable[[int], Path], policy: Policy) -> tuple[Path, Path]:
    """A root in which build 1 runs and build 0 is kept, and build 2 to be installed."""
    for number in (0, 1):
        install(build(number), root, policy)
    kept = root.with_name("kept")
    root.rename(kept)
    return kept, build(2)


ERRORS = [errno.ENOSPC, errno.EIO, errno.EROFS]


@pytest.mark.parametrize("code", ERRORS, ids=errno.errorcode.get)
def test_any_call_may_fail(
    root: Path,
    installed: tuple[Path, Path],
    policy: Policy,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
) -> None:
    kept, source = installed

    def fail() -> None:
        raise OSError(code, os.strerror(code))

    fault = Fault(monkeypatch, fail)
    seen: set[int] = set()
    # In short, the three errors share the calls between them.
    for at in range(1, 1000) if LONG else range(1 + ERRORS.index(code), 1000, 3):
        _fresh(root, kept)
        fault.calls, fault.at = [], at
        with suppress(EchoError):  # anything else would be a traceback
            install(source, root, policy)
        n_calls, fault.at = len(fault.calls), 0
        if n_calls < at:
            break
        seen.add(_after(root, source, policy))

    assert at > 40
    assert seen == {1, 2}  # before and after the switch


def test_any_call_of_rollback_may_fail(
    root: Path, installed: tuple[Path, Path], policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, _ = installed

    def fail() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    fault = Fault(monkeypatch, fail)
    seen: set[int] = set()
    for at in range(1, 1000):
        _fresh(root, kept)
        fault.calls, fault.at = [], at
        with suppress(EchoError):
            rollback(root, policy)
        n_calls, fault.at = len(fault.calls), 0
        if n_calls < at:
            break
        seen.add(running(root))
        rollback(root, policy)
        assert listing(root) == ["a", "b", "current", "lock"]

    assert at > 5
    assert seen == {0, 1}


def test_killed_before_any_call(
    root: Path, installed: tuple[Path, Path], policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No clean-up runs: as if the power failed, with all that was written on the disk."""
    kept, source = installed
    fault = Fault(monkeypatch, lambda: os._exit(9))
    seen: set[int] = set()
    for at in range(1, 1000, 1 if LONG else 3):
        _fresh(root, kept)
        child = os.fork()
        if child == 0:
            fault.calls, fault.at = [], at
            with suppress(BaseException):
                install(source, root, policy)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) == 0:
            break
        seen.add(_after(root, source, policy))

    assert at > 40
    assert seen == {1, 2}  # killed after the switch, when only the old slot was left to remove


def _kill_at_random(
    n_times: int, root: Path, kept: Path, source: Path, policy: Policy
) -> list[int]:
    """What ran after each kill -9 of an installing process."""
    random = np.random.default_rng(0)
    started = time.monotonic()
    _fresh(root, kept)
    install(source, root, policy)
    longest_s = 1.2 * (time.monotonic() - started)
    builds = []
    for delay_s in random.uniform(0, longest_s, n_times):
        _fresh(root, kept)
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                install(source, root, policy)
            os._exit(0)
        time.sleep(delay_s)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        builds.append(_after(root, source, policy))
    return builds


def test_killed_at_random_moments(root: Path, installed: tuple[Path, Path], policy: Policy) -> None:
    n_times = 200 if LONG else 20

    builds = _kill_at_random(n_times, root, *installed, policy)

    print(f"killed {n_times} times: build 1 ran {builds.count(1)} times, build 2 {builds.count(2)}")
    assert set(builds) <= {1, 2}
    assert 1 in builds
