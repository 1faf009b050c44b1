"""Whisper base as listener: the words of short speech, to check synthetic speech by."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import ctranslate2
import numpy as np
from tokenizers import Tokenizer

from training.corpora.data import Pcm
from training.teachers.whisper import Whisper

PROMPT = ("<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>")
MAX_TOKENS = 100

SIGNS = re.compile(r"[0-9$%&#@+=/*]|Â|â")
"""Never written: digits and signs that stand for words, and currencies of more than one byte."""


class Listener:
    """Greedy transcription, numbers as words; our encoder in front of CTranslate2's decoder."""

    def __init__(self, folder: Path, bf16: bool = False, threads: int = 1) -> None:
        self._encoder = Whisper(folder, bf16)
        self._model = ctranslate2.models.Whisper(
            str(folder), compute_type="int8_float32", intra_threads=threads
        )
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        vocabulary = self._tokenizer.get_vocab()
        self._prompt = [vocabulary[token] for token in PROMPT]
        suppressed = json.loads((folder / "config.json").read_text())["suppress_ids"]
        signs = [i for token, i in vocabulary.items() if SIGNS.search(token)]
        self._suppressed = [*suppressed, *(i for i in signs if i < self._prompt[0])]

    def words(self, speech: Sequence[Pcm]) -> list[tuple[str, float]]:
        """Text and mean log probability of each piece of at most 30 s."""
        latents = ctranslate2.StorageView.from_array(self._encoder.latents(speech))
        results = self._model.generate(
            latents,
            [self._prompt] * len(speech),
            beam_size=1,
            max_length=MAX_TOKENS,
            return_scores=True,
            suppress_tokens=self._suppressed,
        )
        return [
            (self._tokenizer.decode(r.sequences_ids[0]).strip(), float(np.mean(r.scores)))
            for r in results
        ]
