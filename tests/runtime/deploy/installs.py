"""What the tests of installing look at below a root."""

from pathlib import Path

from echo_edge.selftest import run_selftest
from echo_edge.session import load


def running(root: Path) -> int:
    """The build that runs, after all that a device would verify."""
    with load(root / "current") as session:
        assert run_selftest(session).passed
        return session.bundle.manifest.build


def listing(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())
