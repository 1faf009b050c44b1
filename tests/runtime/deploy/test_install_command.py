"""`echo-edge bundle install` and `rollback`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from echo_edge import cli


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
