"""Whisper's text decoder, read from its file, says what the teacher's own package says."""

from pathlib import Path

import pytest
import soundfile
import torch

from training.scoring.second_pass import greedy_texts
from training.teachers.whisper import Whisper
from training.teachers.whisper_text import PROMPT, Tokens, read_text_decoder

DEMO = Path(__file__).parents[3] / "demo" / "conversation.flac"


@pytest.mark.slow
def test_says_what_ctranslate2_says(teachers: Path) -> None:
    ctranslate2 = pytest.importorskip("ctranslate2")
    folder = teachers / "whisper-base"
    pcm, _ = soundfile.read(DEMO, 8 * 16_000, dtype="float32")
    latents = torch.from_numpy(Whisper(folder).latents([pcm]))
    everything = Tokens(folder / "tokenizer.json", range(51_865))
    decoder = read_text_decoder(folder, everything.kept)
    decoder.positions = torch.nn.Parameter(torch.zeros(1500, 512))
    theirs = ctranslate2.models.Whisper(str(folder), compute_type="float32", intra_threads=1)

    said = greedy_texts(decoder, everything, latents, torch.ones(1, 1500, dtype=torch.bool))

    found = theirs.generate(
        ctranslate2.StorageView.from_array(latents.numpy()), [list(PROMPT)], beam_size=1,
        suppress_blank=False,
    )  # fmt: skip
    assert said == [everything.decode(found[0].sequences_ids[0])]
    assert len(said[0].split()) > 15


def test_tokens_of_english_hold_what_texts_need(teachers: Path) -> None:
    pytest.importorskip("tokenizers")
    text = "Dr. O'Brien's recorder costs $20, doesn't it?"

    tokens = Tokens.of_english(teachers / "whisper-base" / "tokenizer.json", [text])

    assert tokens.decode(tokens.encode(text)) == text
    assert 8_000 < len(tokens.kept) < 20_000
