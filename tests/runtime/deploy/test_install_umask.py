"""What is installed can be read by the user of a service; what is private stays so. Any umask."""

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from echo_edge.bundle.keys import generate, trusted_keys
from echo_edge.deploy.install import Policy, install, rollback
from tests.runtime.recording import Command

UMASKS = (0o077, 0o027, 0o022, 0o000)


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def _modes(folder: Path) -> set[str]:
    """Of all in `folder` and of itself: kind and mode."""
    paths = [path for path in (folder, *folder.rglob("*")) if not path.is_symlink()]
    return {f"{'d' if p.is_dir() else 'f'} {p.stat().st_mode & 0o777:o}" for p in paths}


@pytest.fixture
def build(signed_bundle: Path, owner: Any, tmp_path: Path) -> Callable[[int], Path]:
    """A signed bundle of that build, as a careful person's `export` leaves it."""

    def make(number: int) -> Path:
        folder = tmp_path / f"build{number}"
        shutil.copytree(signed_bundle, folder)
        signed: Path = owner.sign(folder, build=number)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o600)
        return signed

    return make


@pytest.fixture
def policy(owner: Any) -> Policy:
    return Policy(trusted_keys(owner.trust))


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody may enter, as /var/lib is."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("umask", UMASKS)
def test_what_is_installed_is_for_all_to_read(
    public: Path, build: Callable[[int], Path], policy: Policy, umask: int
) -> None:
    root = public / "lib" / "echo-edge"
    with _umask(umask):
        outcomes = [install(build(number), root, policy) for number in (1, 2)]
        outcomes.append(rollback(root, policy))

    assert [outcome.closed for outcome in outcomes] == [None] * 3
    assert _modes(public) == {"d 755", "f 644"}


def test_the_user_of_a_service_reads_it(
    public: Path, build: Callable[[int], Path], policy: Policy
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to be another user")
    with _umask(0o077):
        install(build(1), public / "root", policy)

    done = subprocess.run(
        ["find", "-L", str(public / "root/current"), "-type", "f", "-exec", "sha256sum", "{}", "+"],
        user="nobody", group="nogroup", extra_groups=[],
        capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip

    found = {Path(line[66:]).name: line[:64] for line in done.stdout.splitlines()}
    files = [path for path in (public / "root/a").rglob("*") if path.is_file()]
    assert done.stderr == ""
    assert found == {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.parametrize("mode", [0o700, 0o750])
def test_a_closed_parent_is_said_and_not_opened(
    public: Path, build: Callable[[int], Path], owner: Any, command: Command, mode: int
) -> None:
    closed = public / "closed"
    closed.mkdir()
    closed.chmod(mode)

    outcome = command(
        "bundle", "install", build(1), "--root", closed / "root", "--keys", owner.trust
    )

    assert outcome.code == 0
    assert outcome.err.count("\n") == 1
    assert f"{closed.resolve()}: closed to other users" in outcome.err
    assert closed.stat().st_mode & 0o777 == mode


def test_the_modes_in_a_tar_mean_nothing(
    public: Path, build: Callable[[int], Path], policy: Policy
) -> None:
    source, data = build(1), io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number, path in enumerate(sorted(source.rglob("*"))):
            member = tar.gettarinfo(path, path.relative_to(source).as_posix())
            member.mode = (0o000, 0o7777, 0o200)[number % 3]
            with path.open("rb") if path.is_file() else io.BytesIO() as content:
                tar.addfile(member, content if path.is_file() else None)
    (public / "bundle.tar").write_bytes(data.getvalue())

    outcome = install(public / "bundle.tar", public / "root", policy)

    assert outcome.closed is None
    assert _modes(public / "root") == {"d 755", "f 644"}


@pytest.mark.parametrize("umask", UMASKS)
def test_a_private_key_stays_private(tmp_path: Path, umask: int) -> None:
    """The file of known voices too: test_store.py."""
    with _umask(umask):
        generate(tmp_path / "owner", None)

    assert (tmp_path / "owner.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "owner.pub").stat().st_mode & 0o777 == 0o644 & ~umask
