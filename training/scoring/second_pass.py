"""Words of the second pass straight from the torch model: greedy text and its WER."""

from collections.abc import Sequence

import torch
from torch import Tensor

from echo_edge_export.model.echo import Echo
from echo_edge_export.model.text_decoder import TextDecoder
from training.corpora.data import Corpus, Utterance, normalize_text
from training.scoring.quick import CHUNK_STEPS, encode, error_rates
from training.simulation.mixtures import STEP_SAMPLES
from training.teachers.whisper_text import Tokens

SOURCES = {"libri": "librispeech_dev-clean_mp3", "so762": "speechocean762", "wuw": "wuw"}
UTTERANCES, BATCH, MAX_S = 32, 8, 17.0
MAX_TOKENS = 80


@torch.no_grad()
def greedy_texts(
    decoder: TextDecoder, tokens: Tokens, final: Tensor, valid: Tensor, limit: int = MAX_TOKENS
) -> list[str]:
    """The likeliest token after the other, for final latents `[B, S, d]`."""
    memory, past = decoder.remember(final), None
    given = torch.tensor([tokens.prompt] * len(final))
    rows: list[list[int]] = [[] for _ in range(len(final))]
    done = torch.zeros(len(final), dtype=torch.bool)
    for _ in range(limit):
        logits, past = decoder(given, memory, valid, past)
        best = logits[:, -1].argmax(-1)
        done |= best == tokens.end
        for row, token, over in zip(rows, best.tolist(), done.tolist(), strict=True):
            if not over:
                row.append(token)
        if done.all():
            break
        given = best[:, None]
    return [tokens.decode(row) for row in rows]


@torch.no_grad()
def second_pass_figures(
    model: Echo, decoder: TextDecoder, tokens: Tokens, corpus: Corpus
) -> dict[str, float]:
    """WER of the second pass by source, `NAME_wer2`, in chunks of 480 ms; case and punctuation do
    not count."""
    model.eval()
    decoder.eval()
    figures = {}
    for name, source in SOURCES.items():
        chosen = [
            u for u in corpus.utterances if u.source == source and u.text and u.duration_s < MAX_S
        ]
        chosen = chosen[:: max(1, len(chosen) // UTTERANCES)][:UTTERANCES]
        if not chosen:
            continue
        texts = []
        for at in range(0, len(chosen), BATCH):
            texts += _texts(model, decoder, tokens, corpus, chosen[at : at + BATCH])
        found = [normalize_text(text) or "-" for text in texts]
        figures[f"{name}_wer2"] = error_rates([u.text for u in chosen], found)["wer"]
    return figures


def _texts(
    model: Echo, decoder: TextDecoder, tokens: Tokens, corpus: Corpus, some: Sequence[Utterance]
) -> list[str]:
    n_steps = [u.n_samples // STEP_SAMPLES + 2 for u in some]
    pcm = torch.zeros(len(some), max(n_steps) * STEP_SAMPLES)
    for row, u in zip(pcm, some, strict=True):
        row[: u.n_samples] = torch.from_numpy(corpus.pcm(u))
    final = encode(model, pcm, CHUNK_STEPS)[0]
    valid = torch.arange(final.shape[1])[None] < torch.tensor(n_steps)[:, None]
    return greedy_texts(decoder, tokens, final, valid)
