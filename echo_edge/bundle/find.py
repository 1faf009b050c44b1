"""Where the bundle is: named, in the environment, installed or shipped."""

import os
from pathlib import Path

from echo_edge.errors import BundleError


def find_bundle(explicit: str | None) -> Path:
    """Return the folder to open: `explicit`, $ECHO_EDGE_BUNDLE, the installed or default bundle.

    Only the last two are looked for; `open_bundle` says what is wrong with the first two. Raises
    BundleError if there is none of the four.
    """
    if explicit is not None:
        return Path(explicit)
    if named := os.environ.get("ECHO_EDGE_BUNDLE"):
        return Path(named)
    root = install_root()
    for folder in (root / "current", Path(__file__).parents[1] / "default_bundle"):
        if _is_there(folder):
            return folder
    raise BundleError(
        "bundle: found none, expected --bundle DIR, $ECHO_EDGE_BUNDLE, "
        f"{root}/current or the package's own: name one with --bundle DIR",
        "bundle",
    )


def install_root() -> Path:
    """Where bundles are installed: $ECHO_EDGE_ROOT or /var/lib/echo-edge."""
    return Path(os.environ.get("ECHO_EDGE_ROOT") or "/var/lib/echo-edge")


def _is_there(path: Path) -> bool:
    """Even as a link to nothing: a damaged installation must not be passed over in silence."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise BundleError(
            f"{path}: cannot be read ({error.strerror}): check its permissions", "readable"
        ) from error
    return True
