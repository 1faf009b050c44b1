"""Installing: what runs afterwards, and that something always does."""

import errno
import fcntl
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echo_edge import cli
from echo_edge.bundle.find import find_bundle
from echo_edge.bundle.keys import trusted_keys
from echo_edge.deploy import install as installing
from echo_edge.deploy.install import Policy, install, rollback
from echo_edge.errors import BundleError, EchoError, OutputError
from echo_edge.selftest import run_selftest
from echo_edge.session import load


@pytest.fixture
def policy(owner: Any) -> Policy:
    return Policy(trusted_keys(owner.trust))


@pytest.fixture
def build(signed_bundle: Path, owner: Any, tmp_path: Path) -> Callable[[int], Path]:
    """A signed bundle of that build."""

    def make(number: int) -> Path:
        folder = tmp_path / f"build{number}"
        shutil.copytree(signed_bundle, folder)
        (folder / "encoder.null").write_text(f"graph encoder of build {number}\n")
        return owner.sign(folder, build=number)

    return make


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def _running(root: Path) -> int:
    """The build that runs, after all that a device would verify."""
    with load(root / "current") as session:
        assert run_selftest(session).passed
        return session.bundle.manifest.build


def _listing(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


class TestInstall:
    def test_first(self, root: Path, build: Callable[[int], Path], policy: Policy) -> None:
        outcome = install(build(1), root, policy)

        assert (outcome.slot, outcome.changed, outcome.previous) == ("a", True, None)
        assert outcome.bundle.signer == "owner.pub"
        assert (_running(root), _listing(root)) == (1, ["a", "current", "lock"])

    def test_slots_take_turns(
        self, root: Path, build: Callable[[int], Path], policy: Policy
    ) -> None:
        slots = [install(build(number), root, policy).slot for number in (1, 2, 3)]

        assert slots == ["a", "b", "a"]
        assert (_running(root), _listing(root)) == (3, ["a", "b", "current", "lock"])
        assert json.loads((root / "b/manifest.json").read_bytes())["build"] == 2

    def test_what_is_there_is_what_was_sent(
        self, root: Path, build: Callable[[int], Path], policy: Policy
    ) -> None:
        source = build(1)
        install(source, root, policy)

        def content(folder: Path) -> dict[str, bytes]:
            files = [path for path in folder.rglob("*") if path.is_file()]
            return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

        assert content(root / "a") == content(source)

    def test_the_same_again_changes_nothing(
        self, root: Path, build: Callable[[int], Path], policy: Policy
    ) -> None:
        install(build(1), root, policy)
        install(build(2), root, policy)
        before = [path.stat().st_ino for path in (root / "a", root / "b")]

        outcome = install(root.parent / "build2", root, policy)

        assert (outcome.changed, outcome.slot) == (False, "b")
        assert outcome.previous is not None
        assert outcome.previous.build == 1
        assert [path.stat().st_ino for path in (root / "a", root / "b")] == before

    def test_the_same_again_repairs(
        self, root: Path, build: Callable[[int], Path], policy: Policy
    ) -> None:
        install(build(1), root, policy)
        (root / "a/encoder.null").write_text("damaged")

        outcome = install(root.parent / "build1", root, policy)

        assert (outcome.changed, outcome.slot, _running(root)) == (True, "b", 1)

    def test_is_what_find_bundle_finds(
        self,
        root: Path,
        build: Callable[[int], Path],
        policy: Policy,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        install(build(1), root, policy)
        monkeypatch.setenv("ECHO_EDGE_ROOT", str(root))
        monkeypatch.delenv("ECHO_EDGE_BUNDLE", raising=False)

        assert find_bundle(None) == root / "current"

    def test_a_damaged_installation_is_not_passed_over(
        self, root: Path, build: Callable[[int], Path], policy: Policy, monkeypatch: Any
    ) -> None:
        """The shipped bundle must not quietly take the place of the installed one."""
        install(build(1), root, policy)
        shutil.rmtree(root / "a")
        monkeypatch.setenv("ECHO_EDGE_ROOT", str(root))
        monkeypatch.delenv("ECHO_EDGE_BUNDLE", raising=False)

        with pytest.raises(BundleError, match="found no folder"):
            load(find_bundle(None))


TAR_FORMATS = [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT]


class TestTar:
    @pytest.mark.parametrize("tar_format", TAR_FORMATS, ids=["gnu", "ustar", "pax"])
    def test_of_python(
        self, root: Path, build: Callable[[int], Path], policy: Policy, tar_format: int
    ) -> None:
        path = root.with_name("bundle.tar")
        with tarfile.open(path, "w", format=tar_format) as archive:
            archive.add(build(1), ".")  # with times as fractions, which pax keeps in headers

        install(path, root, policy)

        assert (_running(root), _listing(root)) == (1, ["a", "current", "lock"])

    @pytest.mark.skipif(shutil.which("tar") is None, reason="needs tar")
    @pytest.mark.parametrize("options", [[], ["--format=pax"], ["--format=ustar"]], ids=str)
    def test_of_the_system_through_a_pipe(
        self,
        root: Path,
        build: Callable[[int], Path],
        policy: Policy,
        monkeypatch: pytest.MonkeyPatch,
        options: list[str],
    ) -> None:
        command = ["tar", *options, "-C", str(build(1)), "-cf", "-", "."]
        data = subprocess.run(command, check=True, capture_output=True).stdout
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

        outcome = install(None, root, policy)

        assert (outcome.slot, _running(root)) == ("a", 1)
        assert _listing(root) == ["a", "current", "lock"]

    def test_of_a_name_as_long_as_allowed(
        self, root: Path, signed_bundle: Path, owner: Any, policy: Policy
    ) -> None:
        name = f"{'d' * 100}/{'f' * 99}"
        (signed_bundle / name).parent.mkdir()
        (signed_bundle / name).write_text("long")
        manifest = json.loads((signed_bundle / "manifest.json").read_bytes())
        files = manifest["files"] | {name: {"sha256": "0" * 64, "size_bytes": 0}}
        owner.sign(signed_bundle, files=files)
        path = root.with_name("bundle.tar")
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
            archive.add(signed_bundle, "")

        install(path, root, policy)

        assert (root / "current" / name).read_text() == "long"

    def test_in_a_folder_says_how_to_pack(
        self, root: Path, build: Callable[[int], Path], policy: Policy
    ) -> None:
        path = root.with_name("bundle.tar")
        source = build(1)
        with tarfile.open(path, "w") as archive:
            archive.add(source, "bundle")
        with pytest.raises(BundleError, match=r"this name.*tar -C BUNDLE -cf"):
            install(path, root, policy)
        with tarfile.open(path, "w") as archive:
            archive.add(source / "tokens.txt", "bundle/tokens.txt")

        with pytest.raises(BundleError, match=r"manifest.json: found nothing.*tar -C BUNDLE -cf"):
            install(path, root, policy)


class TestPolicy:
    def test_unsigned(self, root: Path, build: Callable[[int], Path], policy: Policy) -> None:
        source = build(1)
        (source / "SIGNATURE").unlink()

        with pytest.raises(BundleError, match=r"SIGNATURE: found nothing.*--allow-unsigned"):
            install(source, root, policy)
        outcome = install(source, root, Policy(policy.trusted, allow_unsigned=True))

        assert (outcome.bundle.signer, _running(root)) == (None, 1)

    def test_a_wrong_signature_is_refused_even_so(
        self, root: Path, build: Callable[[int], Path], make_owner: Any
    ) -> None:
        stranger = Policy(trusted_keys(make_owner().trust), allow_unsigned=True)

        with pytest.raises(BundleError, match="found a signature by key"):
            install(build(1), root, stranger)

    def test_downgrade(self, root: Path, build: Callable[[int], Path], policy: Policy) -> None:
        install(build(2), root, policy)

        with pytest.raises(BundleError, match="build: found 1, expected at least 2"):
            install(build(1), root, policy)
        install(root.parent / "build1", root, Policy(policy.trusted, allow_downgrade=True))

        assert _running(root) == 1

    def test_downgrade_after_rollback(
        self, root: Path, build: Callable[[int], Path], policy: Policy
    ) -> None:
        """What was installed once counts, though it does not run any more."""
        install(build(1), root, policy)
        install(build(3), root, policy)
        rollback(root, policy)

        with pytest.raises(BundleError, match="build: found 2, expected at least 3"):
            install(build(2), root, policy)

        assert install(build(4), root, policy).slot == "b"

    @pytest.mark.parametrize(
        ("boards", "fits"),
        [
            ([], True),
            (["x86-64"], True),
            (["aarch64"], False),
            (["aarch64", "x86-64"], True),
            (["Raspberry Pi 4"], True),
            (["raspberry pi 4"], True),
            (["Raspberry Pi"], True),
            (["Raspberry Pi 5"], False),
            (["Raspberry Pi 4.*"], False),
            (["Rasp"], False),
            (["Pi 4"], False),
        ],
        ids=str,
    )
    def test_boards(self, monkeypatch: Any, boards: list[str], fits: bool) -> None:
        from echo_edge.board import info as board
        from echo_edge.deploy import checks as compatible

        real = board.read_board()
        model = "Raspberry Pi 4 Model B Rev 1.5"
        monkeypatch.setattr(compatible.platform, "machine", lambda: "x86_64")
        monkeypatch.setattr(
            compatible.board, "read_board", lambda: installing.replace(real, model=model)
        )

        if fits:
            compatible.check_board(tuple(boards))
        else:
            with pytest.raises(BundleError, match=r"boards: found .*, expected x86-64 or Rasp"):
                compatible.check_board(tuple(boards))


class TestRollback:
    def test_there_and_back(self, root: Path, build: Callable[[int], Path], policy: Policy) -> None:
        install(build(1), root, policy)
        install(build(2), root, policy)

        outcome = rollback(root, policy)

        assert (outcome.slot, _running(root)) == ("a", 1)
        assert outcome.previous is not None
        assert outcome.previous.build == 2
        rollback(root, policy)
        assert _running(root) == 2

    @pytest.mark.parametrize("n_installed", [0, 1])
    def test_to_nothing(
        self, root: Path, build: Callable[[int], Path], policy: Policy, n_installed: int
    ) -> None:
        for number in range(n_installed):
            install(build(number), root, policy)

        with pytest.raises(EchoError, match="found no previous bundle") as caught:
            rollback(root, policy)

        assert caught.value.exit_code == 1

    def test_to_a_damaged_one(
        self, root: Path, build: Callable[[int], Path], policy: Policy
    ) -> None:
        install(build(1), root, policy)
        install(build(2), root, policy)
        (root / "a/encoder.null").write_text("damaged")

        with pytest.raises(BundleError, match=r"encoder\.null: found"):
            rollback(root, policy)

        assert _running(root) == 2

    def test_to_one_whose_key_was_revoked(
        self, root: Path, build: Callable[[int], Path], policy: Policy, owner: Any, tmp_path: Path
    ) -> None:
        install(build(1), root, policy)
        install(build(2), root, policy)
        shutil.copytree(owner.trust, tmp_path / "trust")
        (tmp_path / "trust/revoked").write_text(next(iter(policy.trusted.keys)))

        with pytest.raises(BundleError, match="revoked"):
            rollback(root, Policy(trusted_keys(tmp_path / "trust")))

        assert _running(root) == 2


def test_a_source_that_changes_while_it_is_read(
    root: Path, build: Callable[[int], Path], policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older bundle, signed as well, put in place of the one that was checked."""
    install(build(5), root, policy)
    source, older = build(6), build(4)
    copy = installing._copy

    def swap_and_copy(_: Any, folder: Path) -> None:
        for path in older.rglob("*"):
            if path.is_file():
                shutil.copy(path, source / path.relative_to(older))
        copy(installing.open_source(source), folder)

    monkeypatch.setattr(installing, "_copy", swap_and_copy)

    with pytest.raises(BundleError, match="found another than a moment before") as caught:
        install(source, root, policy)

    assert caught.value.rule == "changed"
    assert (_running(root), _listing(root)) == (5, ["a", "current", "lock"])


def test_two_installers(root: Path, build: Callable[[int], Path], policy: Policy) -> None:
    install(build(1), root, policy)
    with (root / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        with pytest.raises(OutputError, match="another install or rollback is running"):
            install(build(2), root, policy)
        with pytest.raises(OutputError, match="another install or rollback is running"):
            rollback(root, policy)

    assert install(root.parent / "build2", root, policy).changed


def test_too_little_space(
    root: Path, build: Callable[[int], Path], policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(build(1), root, policy)
    usage = shutil.disk_usage(root)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))

    with pytest.raises(OutputError, match="found 1 MiB free, expected 5 for the new bundle"):
        install(build(2), root, policy)

    assert (_running(root), _listing(root)) == (1, ["a", "current", "lock"])


def test_a_root_that_is_a_file(root: Path, build: Callable[[int], Path], policy: Policy) -> None:
    root.write_text("")

    with pytest.raises(OutputError, match="root: File exists: stopped here"):
        install(build(1), root, policy)


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
    running = _running(root)
    install(source, root, policy)
    assert (_running(root), _listing(root)) == (2, ["a", "b", "current", "lock"])
    return running


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
        seen.add(_running(root))
        rollback(root, policy)
        assert _listing(root) == ["a", "b", "current", "lock"]

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


class TestCommand:
    def test_says_what_it_did(
        self,
        root: Path,
        build: Callable[[int], Path],
        owner: Any,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        options = [f"--root={root}", f"--keys={owner.trust}"]

        assert cli.main(["bundle", "install", str(build(1)), *options]) == 0
        assert cli.main(["bundle", "install", str(build(2)), *options]) == 0
        assert cli.main(["bundle", "rollback", *options]) == 0

        name = "null-v1.0-float32-null"
        out, err = capsys.readouterr()
        assert err.count("closed to other users") == err.count("\n")  # pytest's folder is
        assert out == (
            f"installed {name}, build 1, signed by owner.pub, slot a\n"
            f"installed {name}, build 2, signed by owner.pub, slot b; "
            f"rollback leads to {name}, build 1\n"
            f"went back to {name}, build 1, signed by owner.pub, slot a; "
            f"rollback leads to {name}, build 2\n"
        )

    def test_as_json(
        self,
        root: Path,
        build: Callable[[int], Path],
        owner: Any,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        options = [f"--root={root}", f"--keys={owner.trust}", "--json"]
        cli.main(["bundle", "install", str(build(1)), *options])
        cli.main(["bundle", "install", str(root.parent / "build1"), *options])

        first, again = map(json.loads, capsys.readouterr().out.splitlines())
        assert (first["changed"], again["changed"]) == (True, False)
        assert first == again | {"changed": True}
        assert (first["build"], first["slot"], first["other_slot"]) == (1, "a", None)

    def test_without_keys(
        self, root: Path, build: Callable[[int], Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        nowhere = root.with_name("no-keys")

        options = [f"--root={root}", f"--keys={nowhere}"]
        code = cli.main(["bundle", "install", str(build(1)), *options])

        assert code == 3
        assert "expected one by one of 0 keys in" in capsys.readouterr().err
