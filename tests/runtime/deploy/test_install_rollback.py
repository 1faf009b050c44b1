"""Rolling back to the bundle before."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from echo_edge.bundle.keys import trusted_keys
from echo_edge.deploy.install import Policy, install, rollback
from echo_edge.errors import BundleError, EchoError
from tests.runtime.deploy.installs import running


class TestRollback:
    def test_there_and_back(self, root: Path, build: Callable[[int], Path], policy: Policy) -> None:
        install(build(1), root, policy)
        install(build(2), root, policy)

        outcome = rollback(root, policy)

        assert (outcome.slot, running(root)) == ("a", 1)
        assert outcome.previous is not None
        assert outcome.previous.build == 2
        rollback(root, policy)
        assert running(root) == 2

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

        assert running(root) == 2

    def test_to_one_whose_key_was_revoked(
        self, root: Path, build: Callable[[int], Path], policy: Policy, owner: Any, tmp_path: Path
    ) -> None:
        install(build(1), root, policy)
        install(build(2), root, policy)
        shutil.copytree(owner.trust, tmp_path / "trust")
        (tmp_path / "trust/revoked").write_text(next(iter(policy.trusted.keys)))

        with pytest.raises(BundleError, match="revoked"):
            rollback(root, Policy(trusted_keys(tmp_path / "trust")))

        assert running(root) == 2
