"""Figures on development data straight from the torch model: CER, powerset error, EER.

For watching a training run. Headline numbers come from `training.evaluate`, through the runtime.
"""

from collections.abc import Sequence

import jiwer
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from echo_edge_export.model.config import TOKENS
from echo_edge_export.model.echo import Echo
from training.corpora.data import SAMPLE_RATE, Corpus, Pcm, Utterance
from training.objectives.losses import ORDERS, powerset_targets
from training.objectives.vq import VectorQuantizer
from training.simulation.mixtures import STEP_SAMPLES, conversation

CHUNK_STEPS = 12
"""Of 40 ms: what the default bundle hears at once."""

SHORT_NAMES = {"librispeech_dev-clean_mp3": "libri", "speechocean762": "so762"}
READERS = tuple(SHORT_NAMES)
VOICES = {"readers": (3.4, READERS), "telephone": (2.0, ("wuw",))}
"""Seconds and sources of the excerpts whose voices are verified apart."""


def encode(model: Echo, pcm: Tensor, chunk_steps: int = CHUNK_STEPS) -> tuple[Tensor, ...]:
    """PCM `[B, N]` to (final, diarization, speaker, asr, separation) latents `[B, S, d]`."""
    pcm = pcm.to(model.frontend.mean.device)
    latents = model.encoder(model.frontend.whole(pcm)[0], chunk_steps)
    return latents.final, latents.diarization, latents.speaker, latents.asr, latents.separation


def streamed_latents(model: Echo, pcm: Pcm, chunk_steps: int = CHUNK_STEPS) -> Tensor:
    """The asr head's latents `[1, S, d]` of an utterance `[N]` with some silence around it."""
    pcm = np.pad(pcm, (1600, 8000))
    pcm = pcm[: len(pcm) // STEP_SAMPLES * STEP_SAMPLES]
    return encode(model, torch.from_numpy(pcm)[None], chunk_steps)[3]


def greedy(logprobs: Tensor) -> str:
    """Best path of CTC log-posteriors `[T, tokens]` as text."""
    best = torch.unique_consecutive(logprobs.argmax(-1))
    text = "".join(TOKENS[i].replace("<space>", " ") for i in best.tolist() if i)
    return " ".join(text.split())


def transcripts(
    model: Echo,
    corpus: Corpus,
    utterances: Sequence[Utterance],
    quantizer: VectorQuantizer | None = None,
    chunk_steps: int = CHUNK_STEPS,
) -> list[str]:
    """Greedy transcripts under the streaming mask, through a bottleneck if there is one."""
    texts = []
    for u in utterances:
        latents = streamed_latents(model, corpus.pcm(u), chunk_steps)
        if quantizer is not None:
            latents = quantizer(latents)[0]
        state = latents.new_zeros(1, model.asr.memory, latents.shape[-1])
        texts.append(greedy(model.asr(latents, state)[0][0]))
    return texts


def error_rates(references: list[str], hypotheses: list[str]) -> dict[str, float]:
    """WER and CER in per cent."""
    pairs = [(r, h) for r, h in zip(references, hypotheses, strict=True) if r]
    left, right = [r for r, _ in pairs], [h for _, h in pairs]
    return {"wer": 100 * jiwer.wer(left, right), "cer": 100 * jiwer.cer(left, right)}


def equal_error_rate(scores: NDArray[np.float64], same: NDArray[np.bool_]) -> float:
    """EER in per cent of verification scores, higher meaning the same speaker."""
    order = np.argsort(scores)[::-1]
    hits = np.cumsum(same[order]) / max(same.sum(), 1)
    alarms = np.cumsum(~same[order]) / max((~same).sum(), 1)
    crossing = int(np.argmin(np.abs(1 - hits - alarms)))
    return float(50.0 * (1 - hits[crossing] + alarms[crossing]))


def speaker_eer(
    model: Echo,
    corpus: Corpus,
    seconds: float = 3.0,
    chunk_steps: int = CHUNK_STEPS,
    sources: Sequence[str] | None = None,
    n_excerpts: int = 4,
) -> float:
    """EER of all pairs among excerpts of `seconds` of every development voice, dry; of `sources`
    only, where they are given. NaN without a pair of the same voice."""
    n_samples = int(seconds * SAMPLE_RATE) // STEP_SAMPLES * STEP_SAMPLES
    excerpts, names = [], []
    for name, pool in sorted(corpus.by_speaker().items()):
        kept = [u for u in pool if sources is None or u.source in sources]
        speech = np.concatenate([*(corpus.pcm(u) for u in kept[:40]), np.zeros(0, np.float32)])
        n_whole = min(n_excerpts, len(speech) // n_samples)
        starts = np.linspace(0, max(0, len(speech) - n_samples), n_whole).astype(int)
        excerpts += [speech[start : start + n_samples] for start in starts]
        names += [name] * n_whole
    if len(set(names)) == len(names):
        return float("nan")
    table = []
    for first in range(0, len(excerpts), 16):
        pcm = torch.from_numpy(np.stack(excerpts[first : first + 16]))
        latents = encode(model, pcm, chunk_steps)[2]
        weights = latents.new_ones(len(latents), 1, latents.shape[1])
        table.append(model.speaker(latents, weights)[:, 0].float().cpu().numpy())
    embeddings = np.concatenate(table)
    left, right = np.triu_indices(len(names), 1)
    same = np.array(names)[left] == np.array(names)[right]
    return equal_error_rate((embeddings @ embeddings.T)[left, right].astype(np.float64), same)


def powerset_error(
    model: Echo, corpus: Corpus, seed: int, n_mixtures: int = 12, chunk_steps: int = CHUNK_STEPS
) -> float:
    """Share of wrong steps (per cent, best permutation per window) on dry 10 s conversations."""
    voices = corpus.by_speaker()
    wrong = total = 0.0
    for i in range(n_mixtures):
        rng = np.random.default_rng((seed, i))
        mix = conversation(corpus, voices, None, 10.0, 1 + i % 3, rng)
        latents = encode(model, torch.from_numpy(mix.pcm)[None], chunk_steps)[1]
        logprobs = model.diarization(latents, latents.new_ones(1, latents.shape[1]))
        active = torch.from_numpy(mix.active).to(latents)[None]
        losses = [powerset_targets(active[:, order]) != logprobs.argmax(-1) for order in ORDERS]
        wrong += min(float(loss.sum()) for loss in losses)
        total += latents.shape[1]
    return 100.0 * wrong / total


@torch.no_grad()
def quick_figures(
    model: Echo,
    corpus: Corpus,
    quantizer: VectorQuantizer | None = None,
    n_utterances: int = 60,
    chunk_steps: int = CHUNK_STEPS,
) -> dict[str, float]:
    """CER and WER on English of unseen speakers of each source that `corpus` has, EER of all
    voices, of readers and of the telephone, powerset error."""
    model.eval()
    if quantizer is not None:
        quantizer.eval()
    figures: dict[str, float] = {}
    for source in sorted({u.source for u in corpus.utterances if u.text}):
        pool = [u for u in corpus.utterances if u.source == source and u.text]
        chosen = pool[:: max(1, len(pool) // (n_utterances // 2))]
        chosen = [u for u in chosen if u.duration_s < 12]
        if not chosen:
            continue
        texts = transcripts(model, corpus, chosen, quantizer, chunk_steps)
        rates = error_rates([u.text for u in chosen], texts)
        figures |= {f"{SHORT_NAMES.get(source, source)}_{k}": v for k, v in rates.items()}
        shown = min(3, len(chosen) - 1)
        print(f"  {chosen[shown].text}\n  -> {texts[shown]}", flush=True)
    figures["eer"] = speaker_eer(model, corpus, chunk_steps=chunk_steps)
    for name, (seconds, sources) in VOICES.items():
        rate = speaker_eer(model, corpus, seconds, chunk_steps, sources)
        if not np.isnan(rate):
            figures[f"eer_{name}"] = rate
    figures["powerset"] = powerset_error(model, corpus, seed=2, chunk_steps=chunk_steps)
    model.train()
    if quantizer is not None:
        quantizer.train()
    return figures
