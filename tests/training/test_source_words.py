"""The table of what transcribing each source is worth, from figures made by hand."""

import numpy as np
from meeteval.wer import cp_word_error_rate
from numpy.typing import NDArray

from echo_edge.result import Result, Word
from training.simulation.mixtures import MAX_SPEAKERS, STEP_SAMPLES, Mixture
from training.source_words import Told, rows, tell


class Pretender:
    """In place of a session: hears everybody only where each source is transcribed."""

    def process(self, pcm: NDArray[np.float32], latency_s: float, **options: bool) -> Result:
        assert latency_s == 2.0
        both = options["transcribe_sources"]
        said = [("one two", "a"), ("three", "b")] if both else [("one three", "a")]
        words = tuple(
            Word(float(n), n + 1.0, text, speaker, 1.0)
            for n, (texts, speaker) in enumerate(said)
            for text in texts.split()
        )
        return Result(words=words, duration_s=len(pcm) / 16000)


def _told(words: dict[str, str], wer: float, wall_s: float) -> Told:
    errors = cp_word_error_rate({"x": "one two three four"}, words)
    return Told(errors, 100.0 * errors.error_rate, wer, wall_s)


def test_differences_are_of_the_same_dialogue() -> None:
    told = {
        "mixture": [_told({"a": "one"}, 75.0, 1.0), _told({"a": "one two"}, 50.0, 1.0)],
        "each source": [_told({"a": "one two"}, 50.0, 2.0), _told({"a": "one two"}, 50.0, 3.0)],
    }

    assert rows("ordinary", 2.0, told, audio_s=20.0) == [
        ["ordinary", "2", "mixture", "62.5", "62.5", "", "0.100"],
        ["ordinary", "2", "each source", "50.0", "50.0", "-12.5 +- 12.5", "0.250"],
    ]


def test_words_count_for_their_speaker() -> None:
    n_samples = 25 * STEP_SAMPLES
    silence = np.zeros((MAX_SPEAKERS, n_samples), np.float32)
    mixture = Mixture(silence[0], silence, silence[:, :25] > 0, ("x", "y"), (1, 1))
    said = [("x", "one two"), ("y", "three")]

    found = [
        tell(Pretender(), mixture, said, latency_s=2.0, transcribe_sources=sources)
        for sources in (False, True)
    ]

    # Of three words: "one three" of one speaker lacks "two", and "three" is the wrong one's.
    assert [round(each.cpwer, 1) for each in found] == [66.7, 0.0]
    assert [round(each.wer, 1) for each in found] == [33.3, 0.0]
