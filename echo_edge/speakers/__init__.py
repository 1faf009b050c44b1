"""Known people on disk: their voiceprints, and how they are learned."""
