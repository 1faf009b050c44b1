"""Installing: what runs afterwards, and that something always does."""

import fcntl
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from echo_edge.bundle.find import find_bundle
from echo_edge.bundle.keys import trusted_keys
from echo_edge.deploy import install as installing
from echo_edge.deploy.install import Policy, install, rollback
from echo_edge.errors import BundleError, OutputError
from echo_edge.session import load
from tests.runtime.deploy.installs import listing, running


class TestInstall:
    def test_first(self, root: Path, build: Callable[[int], Path], policy: Policy) -> None:
        outcome = install(build(1), root, policy)

        assert (outcome.slot, outcome.changed, outcome.previous) == ("a", True, None)
        assert outcome.bundle.signer == "owner.pub"
        assert (running(root), listing(root)) == (1, ["a", "current", "lock"])

    def test_slots_take_turns(
        self, root: Path, build: Callable[[int], Path], policy: Policy
    ) -> None:
        slots = [install(build(number), root, policy).slot for number in (1, 2, 3)]

        assert slots == ["a", "b", "a"]
        assert (running(root), listing(root)) == (3, ["a", "b", "current", "lock"])
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

        assert (outcome.changed, outcome.slot, running(root)) == (True, "b", 1)

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


class TestPolicy:
    def test_unsigned(self, root: Path, build: Callable[[int], Path], policy: Policy) -> None:
        source = build(1)
        (source / "SIGNATURE").unlink()

        with pytest.raises(BundleError, match=r"SIGNATURE: found nothing.*--allow-unsigned"):
            install(source, root, policy)
        outcome = install(source, root, Policy(policy.trusted, allow_unsigned=True))

        assert (outcome.bundle.signer, running(root)) == (None, 1)

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

        assert running(root) == 1

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
    assert (running(root), listing(root)) == (5, ["a", "current", "lock"])


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

    assert (running(root), listing(root)) == (1, ["a", "current", "lock"])


def test_a_root_that_is_a_file(root: Path, build: Callable[[int], Path], policy: Policy) -> None:
    root.write_text("")

    with pytest.raises(OutputError, match="root: File exists: stopped here"):
        install(build(1), root, policy)
