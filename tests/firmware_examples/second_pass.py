"""The second pass of words of a simulated recording: its tokens, its graphs and their outputs."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle import manifest as m

Array = NDArray[np.float32]
Answer = dict[str, NDArray[np.floating]]

WIDTH = 4
TEXT = "the quick brown fox said that his table was a good one qzx borogoves and then i left"
WORDS = TEXT.split()

SUBWORDS = [
    *(f" {w}" for w in sorted({*WORDS} - {"qzx"})), *(f" {w.title()}" for w in sorted({*WORDS})),
    " q", "zx", ",", ".", " 5", " ", "", "", "",
]  # fmt: skip
"""Of a second pass: words as they were said and with a capital, parts of words, a number, signs."""
END, PROMPT = len(SUBWORDS) - 3, (len(SUBWORDS) - 2, len(SUBWORDS) - 1)
MEMORY, MAX_TOKENS, N_HEADS, HEAD = 120, 40, 2, 3


class SimulatedSecondPass:
    """Outputs of both graphs, which write about what was said."""

    def __init__(self, random: np.random.Generator, said: Sequence[tuple[int, str]]) -> None:
        """`said` is the first frame and the text of each word."""
        self._random, self._said = random, said
        self._stretch: list[int] = []
        """Steps that are to be read."""
        self._text: list[int] = []

    def asr_memory(self, inputs: Mapping[str, Array]) -> Answer:
        if inputs["steps"][0, 0] == 0:
            self._stretch = []
        self._stretch += [int(step) - 1 for step in inputs["latents"][0, :, 0] if step > 0]
        return {}

    def asr_decoder(self, inputs: Mapping[str, Array]) -> Answer:
        """Token after token of what was said in the stretch, more or less."""
        place = int(inputs["place"][0, 0])
        if place == 0:
            assert inputs["memory_valid"].sum() == len(self._stretch)
            self._text = self._written()
        told = place + 1 - len(PROMPT)
        logits = self._random.normal(size=len(SUBWORDS))
        logits[self._text[told] if 0 <= told < len(self._text) else END] += 9.0
        return {"logprobs": logits - np.log(np.exp(logits).sum())}

    def _written(self) -> list[int]:
        """Tokens of a text: some words are others, some follow a number; a few texts are empty or
        have no end."""
        random, first, end = self._random, 2 * self._stretch[0], 2 * self._stretch[-1] + 2
        said = [word for at, word in self._said if first <= at < end]
        kind, text = random.random(), ""
        for word in said:
            changed = str(random.choice(WORDS)) if random.random() < 0.1 * kind else word
            text += " 5" * int(random.random() < 0.1)
            text += f" {changed.title()}," if random.random() < 0.3 else f" {changed}"
        tokens: list[int] = []
        while text and kind > 0.05:
            longest = max((s for s in SUBWORDS if s and text.startswith(s)), key=len)
            tokens.append(SUBWORDS.index(longest))
            text = text[len(longest) :]
        return tokens if kind < 0.95 else [*tokens, *[0] * MAX_TOKENS]


def tensor(name: str, *shape: int) -> m.TensorSpec:
    return m.TensorSpec(name, shape, "float32")


def second_pass_tensors(chunk: int) -> dict[str, tuple[list[m.TensorSpec], list[m.TensorSpec]]]:
    """Inputs and outputs of its graphs; those of `asr_decoder` end with its state."""
    names = ("key_memory_0", "value_memory_0")
    memory = [tensor(name, 1, N_HEADS, MEMORY, HEAD) for name in names]
    state = [("valid", MAX_TOKENS), ("key_cache_0", MAX_TOKENS * HEAD)]
    fed = [tensor("token", 1, 1), tensor("place", 1, 1), tensor("memory_valid", 1, MEMORY)]
    return {
        "asr_memory": (
            [tensor("latents", 1, chunk, WIDTH), tensor("steps", 1, chunk)],
            [tensor(name, 1, N_HEADS, chunk, HEAD) for name in names],
        ),
        "asr_decoder": (
            [*fed, *memory, *(tensor(name, 1, size) for name, size in state)],
            [
                tensor("logprobs", 1, len(SUBWORDS)),
                *(tensor(f"{name}_next", 1, size) for name, size in state),
            ],
        ),
    }
