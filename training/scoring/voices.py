"""Speaker verification and nearest neighbours on speakers unseen in training."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echo_edge.session import Session
from training.corpora.corpus_formats import clean_speech
from training.corpora.data import SAMPLE_RATE, Corpus, Pcm
from training.scoring.quick import equal_error_rate
from training.simulation.mixtures import STEP_SAMPLES

Array = NDArray[np.float32]

EXCERPT_S = 3.4
STEP_S = STEP_SAMPLES / SAMPLE_RATE


def latents(session: Session, pcm: Pcm) -> dict[str, Array]:
    """The encoder's outputs `[S, d]` by name over the whole chunks of one excerpt."""
    frontend, encoder = session.graph("frontend"), session.graph("encoder")
    size = session.bundle.manifest.audio.chunk_samples
    rows = [
        encoder.run(features=frontend.run(pcm=pcm[None, start : start + size])["features"])
        for start in range(0, len(pcm) // size * size, size)
    ]
    names = [name for name in rows[0] if name.startswith("latents")]
    return {name: np.concatenate([row[name][0] for row in rows]) for name in names}


def embed(session: Session, spoken: Array) -> Array:
    """Speaker embedding `[E]` of latents `[S, d]` of one voice."""
    window = session.bundle.manifest.diarization.window_steps
    spoken = spoken[-window:]
    weights = np.zeros((1, 3, window), np.float32)
    weights[0, 0, window - len(spoken) :] = 1.0
    padded = np.pad(spoken, ((window - len(spoken), 0), (0, 0)))[None]
    outputs = session.engines["speaker"].run({"latents": padded, "weights": weights})
    return outputs["embeddings"][0, 0]


def nearest_right(table: Array, labels: NDArray[np.str_]) -> float:
    """Share of rows whose nearest other row, by cosine, has the same label, in per cent."""
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    return 100.0 * float(np.mean(labels[similarity.argmax(1)] == labels))


def stretches(
    turns: list[tuple[float, float, str]], max_s: float = 3.0
) -> list[tuple[int, int, str]]:
    """(first step, end, speaker) of what one voice says alone, in pieces of 1 to `most_s` s."""
    found = []
    for start_s, end_s, name in sorted(clean_speech(turns), key=lambda row: row[2]):
        first, end = round(start_s / STEP_S), round(end_s / STEP_S)
        pieces = range(first, end, round(max_s / STEP_S))
        found += [(at, min(at + pieces.step, end), name) for at in pieces]
    return [each for each in found if each[1] - each[0] >= round(1.0 / STEP_S)]


def in_one_room(
    session: Session, recordings: Sequence[tuple[Pcm, list[tuple[float, float, str]]]]
) -> dict[str, float]:
    """Verification of voices that share a room and a microphone: EER and mean cosines over
    all pairs of stretches of the same recording, of (pcm, true turns) each."""
    scores: list[float] = []
    same: list[bool] = []
    for pcm, turns in recordings:
        heard = latents(session, pcm)["latents_speaker"]
        pieces = stretches(turns)
        if len(pieces) < 2:
            continue
        table = np.stack([embed(session, heard[first:end]) for first, end, _ in pieces])
        names = np.array([name for _, _, name in pieces])
        left, right = np.triu_indices(len(names), 1)
        scores += (table @ table.T)[left, right].tolist()
        same += (names[left] == names[right]).tolist()
    cosines, alike = np.array(scores), np.array(same)
    return {
        "one_room.eer": equal_error_rate(cosines, alike),
        "one_room.cosine_same": float(cosines[alike].mean()),
        "one_room.cosine_others": float(cosines[~alike].mean()),
        "one_room.pairs": float(len(cosines)),
    }


def voices(session: Session, corpus: Corpus, out: Path) -> dict[str, float]:
    """EER over all pairs of excerpts, four per unseen voice, of different utterances, and how well
    the nearest neighbour tells the speaker from the embedding and from the pooled transcription
    latents: the gap says how far voice and words are apart in one encoder."""
    embeddings, contents, names = [], [], []
    for name, pool in sorted(corpus.by_speaker().items()):
        quarter = len(pool) // 4
        for part in [pool[i * quarter : (i + 1) * quarter] for i in range(4 if quarter else 0)]:
            pcm = np.concatenate([corpus.pcm(u) for u in part])[: int(EXCERPT_S * 16_000)]
            if len(pcm) >= 2 * 16_000:
                heard = latents(session, pcm)
                embeddings.append(embed(session, heard["latents_speaker"]))
                contents.append(heard["latents_asr"].mean(0))
                names.append(name)
    table, labels = np.stack(embeddings), np.array(names)
    left, right = np.triu_indices(len(labels), 1)
    scores = (table @ table.T)[left, right].astype(np.float64)
    same = labels[left] == labels[right]
    rows = zip(labels[left], labels[right], scores, strict=True)
    trials = "".join(f"{a}\t{b}\t{score:.4f}\n" for a, b, score in rows)
    (out / "trials.tsv").write_text(trials)
    from_voice, from_words = nearest_right(table, labels), nearest_right(np.stack(contents), labels)
    return {
        "eer": equal_error_rate(scores, same),
        "eer.trials": float(len(same)),
        "nearest.speaker_from_embedding": from_voice,
        "nearest.speaker_from_asr_latents": from_words,
        "factorisation_gap": from_voice - from_words,
    }
