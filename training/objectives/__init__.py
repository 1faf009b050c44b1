"""Losses and what learns beside the model: no command, no audio files."""
