"""A model bundle on disk, verified against its manifest (docs/reference/bundle.md)."""

from echo_edge.bundle.find import find_bundle, install_root
from echo_edge.bundle.verify import Bundle, open_bundle, read_manifest

__all__ = ["Bundle", "find_bundle", "install_root", "open_bundle", "read_manifest"]
