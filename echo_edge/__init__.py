"""Echo on the edge: who spoke when, what was said, and each voice on its own, from one encoder."""

__version__ = "0.1.0"
