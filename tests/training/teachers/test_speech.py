"""Synthetic speech as a corpus, with pretended voices and ears; Kokoro itself where it is there."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from training.corpora.corpus_formats import read_rows
from training.teachers import speech as s

RATE = 16_000


class Voices:
    """Reads a text as a tone as long as it."""

    def __init__(self) -> None:
        self.voices = {n: np.full((2, 4), i, np.float32) for i, n in enumerate(("af_x", "jm_y"))}

    def speak(self, text: str, voice: np.ndarray, british: bool, speed: float) -> np.ndarray:
        assert voice.shape == (2, 4)
        assert not british
        assert 0.85 <= speed <= 1.2
        return 1.5 * np.sin(np.arange(800 * len(text)) / 5).astype(np.float32)


class Ears:
    """Hears sentences of an odd number of letters; the texts are what was last read."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def words(self, pieces: list[np.ndarray]) -> list[tuple[str, float]]:
        lengths = [len(piece) // 800 for piece in pieces]
        assert len(lengths) == s.SENTENCES
        return [("x" * n if n % 2 else "?", -0.1) for n in lengths]


@pytest.fixture
def reader() -> s.Speech:
    made = s.Speech.__new__(s.Speech)
    made._kokoro, made._listener = Voices(), Ears()  # type: ignore[assignment]
    texts = ["x" * n for n in range(5, 15)]
    made._texts = {"kokoro_books": texts, "kokoro_conversation": texts}
    return made


def test_a_chunk_is_a_function_of_its_number(reader: s.Speech) -> None:
    first, again, other = reader.chunk(0, 3), reader.chunk(0, 3), reader.chunk(0, 4)

    assert [(x.text, x.voice) for x in first] == [(x.text, x.voice) for x in again]
    assert [x.text for x in first] != [x.text for x in other]
    assert 0 < len(first) < s.SENTENCES  # what was not heard back is left out
    assert {len(x.text) % 2 for x in first} == {1}
    assert max(float(np.abs(x.pcm).max()) for x in first) == pytest.approx(0.9, abs=1e-3)


def test_chunks_are_a_corpus_at_any_moment(reader: s.Speech, tmp_path: Path) -> None:
    first = reader.chunk(0, 0)
    seconds = s.write(tmp_path, 0, first)
    s.write(tmp_path, 7, reader.chunk(0, 7))

    rows = read_rows(tmp_path)
    assert [row.text for row in rows[: len(first)]] == [x.text for x in first]
    assert {row.speaker.split("_")[0] for row in rows} == {"tts"}
    assert {row.path.name for row in rows} == {"kokoro_00000.flac", "kokoro_00007.flac"}
    assert sum(row.duration_s or 0 for row in rows) / 3600 == pytest.approx(s.hours(tmp_path))
    pcm, rate = soundfile.read(tmp_path / "kokoro_00000.flac")
    assert (rate, len(pcm)) == (RATE, round(seconds * RATE))
    second = rows[1]
    start = round(second.start_s * RATE)
    cut = pcm[start : start + round((second.duration_s or 0) * RATE)]
    np.testing.assert_allclose(cut, first[1].pcm, atol=1e-4)
    assert not pcm[start - s.PAUSE : start].any()


@pytest.mark.parametrize(
    ("text", "heard", "is_same"),
    [
        ("It's B, R, O.", "It's B-R-O", True),
        ("About forty-two metres more.", "about forty two meters more", True),
        ("Call me at noon.", "Call me at night.", False),
        ("Call me.", "", False),
        ("Call me.", "Thank you for watching! Call me.", False),
    ],
)
def test_what_counts_as_heard_back(text: str, heard: str, is_same: bool) -> None:
    assert s.same(text, heard) is is_same


@pytest.mark.slow
def test_kokoro_is_heard_back_by_whisper(teachers: Path) -> None:
    pytest.importorskip("ctranslate2")
    from training.teachers.kokoro import Kokoro, pronounce
    from training.teachers.listen import Listener

    text = "No, Mr. Brown said it's on the left; about two hundred and forty steps."
    assert pronounce("Mr. Brown: no, two!", british=False) == "mˈɪstɚ bɹˈaʊn: nˈoʊ, tˈuː!"
    kokoro = Kokoro(teachers / "kokoro")
    assert len(kokoro.voices) == 54
    one, other = kokoro.voices["af_heart"], kokoro.voices["bm_daniel"]

    spoken = [kokoro.speak(text, one, british=False), kokoro.speak(text, (one + other) / 2, True)]

    for heard, logprob in Listener(teachers / "whisper-base").words(spoken):
        assert s.same(text, heard)
        assert logprob > -0.6
    with pytest.raises(ValueError, match="found 0 sounds, expected 1 to 509"):
        kokoro.speak("", one, False)
