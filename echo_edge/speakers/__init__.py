"""Known people on disk: their voiceprints, and how they are learned."""

from echo_edge.speakers.store import default_path, read_voices, update_voices

__all__ = ["default_path", "read_voices", "update_voices"]
