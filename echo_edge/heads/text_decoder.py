"""Second pass of words: an attention decoder reads the latents of a turn, token by token.

The graphs are `asr_memory`, which makes keys and values of a chunk of latents, and `asr_decoder`,
which takes one token and says how likely each next one is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.manifest import GraphSpec, SecondPassSpec
from echo_edge.engines.stateful import GraphStream

Array = NDArray[np.float32]


@dataclass(frozen=True)
class TextWord:
    """A word as written; its confidence is the geometric mean of its tokens' posteriors, 0 to 1."""

    text: str
    confidence: float


class TextDecoder:
    """Writes the text of a turn, the likeliest token after the other."""

    def __init__(
        self,
        graph: Callable[[str], GraphStream],
        specs: dict[str, GraphSpec],
        spec: SecondPassSpec,
        subwords: Sequence[str],
    ) -> None:
        """`graph` gives a graph of the bundle by name, its state zero; `subwords` are the texts of
        the tokens, a leading space where a word begins, empty for those that are not text."""
        self._graph, self._spec, self._subwords = graph, spec, subwords
        self._memory_graph = graph("asr_memory")
        decoder = {t.name: t.shape for t in specs["asr_decoder"].inputs}
        self._names = [t.name for t in specs["asr_memory"].outputs]
        self._memory = {name: np.zeros(decoder[name], np.float32) for name in self._names}
        self.max_steps: int = decoder["memory_valid"][1]
        """Of a turn that can be read at once."""
        self._max_tokens = decoder["valid"][1]
        self._chunk_steps = {t.name: t.shape for t in specs["asr_memory"].inputs}["latents"][1]
        self._silent = np.array([not text for text in subwords])
        self._silent[spec.end] = False

    def read(self, latents: Array) -> list[TextWord] | None:
        """The words of latents `[S, d]`, S at most `max_steps`; None if the text has no end."""
        valid = self._remember(latents)
        decoder = self._graph("asr_decoder")
        tokens: list[tuple[int, float]] = []
        token = self._spec.prompt[0]
        for place in range(self._max_tokens):
            logprobs = decoder.run(
                token=np.full((1, 1), token, np.float32),
                place=np.full((1, 1), place, np.float32),
                memory_valid=valid,
                **self._memory,
            )["logprobs"][0]
            if place + 1 < len(self._spec.prompt):
                token = self._spec.prompt[place + 1]
                continue
            token = int(np.where(self._silent, -np.inf, logprobs).argmax())
            if token == self._spec.end:
                return self._words(tokens)
            tokens.append((token, float(logprobs[token])))
        return None

    def _remember(self, latents: Array) -> Array:
        """Fill the memory; which of its steps are the turn's, `[1, M]`."""
        size, n_steps = self._chunk_steps, len(latents)
        for first in range(0, n_steps, size):
            chunk = np.zeros((1, size, latents.shape[1]), np.float32)
            part = latents[first : first + size]
            chunk[0, : len(part)] = part
            steps = np.arange(first, first + size, dtype=np.float32)[None]
            pairs = self._memory_graph.run(latents=chunk, steps=steps)
            for name in self._names:
                self._memory[name][:, :, first : first + size] = pairs[name]
        valid = np.zeros((1, self.max_steps), np.float32)
        valid[0, :n_steps] = 1.0
        return valid

    def _words(self, tokens: Sequence[tuple[int, float]]) -> list[TextWord]:
        words: list[tuple[str, list[float]]] = []
        for token, logprob in tokens:
            text = self._subwords[token]
            if text.startswith(" ") or not words:
                words.append(("", []))
            before, logprobs = words[-1]
            words[-1] = (before + text, [*logprobs, logprob])
        return [
            TextWord(text.strip(), float(np.exp(np.mean(logprobs))))
            for text, logprobs in words
            if text.strip()
        ]
