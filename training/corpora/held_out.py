"""Texts that training never reads: those of the development split and of the demo's conversation.

A text is held out if it shares five words in a row with one of them; shorter phrases ("good
morning") belong to everybody.
"""

import json
from collections.abc import Iterable
from pathlib import Path

GRAM = 5
"""Words in a row by which a text is recognised."""

DEMO = Path(__file__).parents[2] / "demo/conversation.json"


def grams(text: str) -> set[tuple[str, ...]]:
    """All runs of five words of a normalized text."""
    words = text.split()
    return {tuple(words[i : i + GRAM]) for i in range(len(words) - GRAM + 1)}


class HeldOut:
    """Knows the runs of five words of normalized `texts`."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._grams = {gram for text in texts for gram in grams(text)}

    def has(self, text: str) -> bool:
        """True if a normalized text shares five words in a row with a held-out one."""
        return not self._grams.isdisjoint(grams(text))


def demo_texts() -> list[str]:
    """Sentences of the demo's conversation, as written."""
    return [turn["text"] for turn in json.loads(DEMO.read_text(encoding="utf-8"))["turns"]]
