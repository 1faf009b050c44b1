"""Words: WER and CER of single readers, digits, and cpWER of conversations, through the
runtime, with and without the bundle's language model."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.language_model import LanguageModel
from echo_edge.result import Result
from echo_edge.session import Session
from training.corpora.alignment import Lexicon, pronounce
from training.corpora.bigrams import estimate
from training.corpora.data import SAMPLE_RATE, Corpus, Utterance
from training.scoring.quick import error_rates
from training.simulation.mixtures import ENOUGH, MAX_SPEAKERS, STEP_SAMPLES, Mixture, mix

READERS = {"libri": "librispeech_dev-clean_mp3", "so762": "speechocean762"}
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
GAP_S = (0.25, 0.4)
"""Silence between two utterances of a dialogue: mean and standard deviation."""
WAYS = {"": True, ".greedy": False}
"""Suffix of a figure -> whether the language model was used."""


def evaluated(corpus: Corpus, source: str, between: bool = False) -> list[Utterance]:
    """Some 150 utterances of a source that figures are of, evenly spread; or as many in between,
    to tune on, if there are so many."""
    pool = [u for u in corpus.utterances if u.source == source and u.text]
    step = max(1, len(pool) // 150)
    if between:
        return pool[step // 2 :: step] if step > 1 else []
    return pool[::step]


def heard(session: Session, pcm: NDArray[np.float32], language_model: bool) -> str:
    """The words of one utterance, with a little silence around it."""
    words = session.process(np.pad(pcm, (1600, 8000)), language_model=language_model).words
    return " ".join(word.text for word in words)


def transcription(session: Session, corpus: Corpus, out: Path) -> dict[str, float]:
    """WER and CER on unseen readers: LibriSpeech and non-native English, one stream each."""
    figures: dict[str, float] = {}
    for name, source in READERS.items():
        pool = evaluated(corpus, source)
        references = [u.text for u in pool]
        for suffix, language_model in WAYS.items():
            texts = [heard(session, corpus.pcm(u), language_model) for u in pool]
            rows = [f"{u.id}\t{u.text}\t{text}\n" for u, text in zip(pool, texts, strict=True)]
            (out / f"words_{name}{suffix}.tsv").write_text("".join(rows))
            rates = error_rates(references, texts)
            figures |= {f"{name}.{k}{suffix}": v for k, v in rates.items()}
    return figures


def word_list(lexicon: Lexicon) -> LanguageModel:
    """A language model in which any word of `lexicon` may come next and nothing else is known."""
    return LanguageModel(**estimate(lexicon, defaultdict(Counter), min_count=1))


def digits(session: Session, corpus: Corpus, out: Path) -> dict[str, float]:
    """Share of spoken digits of an unseen voice that are right, in per cent: as English, and with
    the ten digits for a vocabulary."""
    pool = [u for u in corpus.utterances if u.source == "fsdd" and u.text in DIGITS]
    closed = replace(session, bundle=replace(session.bundle, language=word_list(pronounce(DIGITS))))
    figures = {}
    for name, way in (("digits.open", session), ("digits.closed", closed)):
        texts = [heard(way, corpus.pcm(u), True) for u in pool]
        rows = [f"{u.id}\t{u.text}\t{text}\n" for u, text in zip(pool, texts, strict=True)]
        (out / f"{name}.tsv").write_text("".join(rows))
        right = [u.text == text for u, text in zip(pool, texts, strict=True)]
        figures[name] = 100.0 * float(np.mean(right))
    return figures


def readers(corpus: Corpus) -> dict[str, list[Utterance]]:
    """Readers of English, with the utterances that they read."""
    pools = {
        name: [u for u in pool if u.text and u.source in READERS.values()]
        for name, pool in corpus.by_speaker().items()
    }
    return {name: pool for name, pool in pools.items() if len(pool) >= ENOUGH}


def dialogue(
    corpus: Corpus,
    voices: dict[str, list[Utterance]],
    n_speakers: int,
    rng: np.random.Generator,
    gap_s: tuple[float, float] = GAP_S,
) -> tuple[Mixture, list[tuple[str, str]]]:
    """A dry conversation of about a minute in which every utterance is whole; who said what, by
    start. `gap_s` as in `GAP_S`."""
    names = [str(name) for name in rng.choice(sorted(voices), n_speakers, replace=False)]
    n_rows = max(MAX_SPEAKERS, n_speakers)
    dry = np.zeros((n_rows, 80 * SAMPLE_RATE // STEP_SAMPLES * STEP_SAMPLES), np.float32)
    said: list[tuple[str, str]] = []
    clock, last, turn = 0.5, -1, 0
    while clock < 55.0:
        turn = int(rng.choice([k for k in range(n_speakers) if k != last]))
        pool = [u for u in voices[names[turn]] if u.duration_s < 20.0]
        utterance = pool[int(rng.integers(len(pool)))]
        start = int(max(clock, 0.0) * SAMPLE_RATE)
        dry[turn, start : start + utterance.n_samples] += corpus.pcm(utterance)
        said.append((names[turn], utterance.text))
        clock += utterance.duration_s + float(rng.normal(*gap_s))
        last = turn
    end = int((clock + 1.0) * SAMPLE_RATE) // STEP_SAMPLES * STEP_SAMPLES
    mixture = mix(dry[:, :end], tuple(names), (1,) * n_speakers, None, rng)
    return mixture, said


def dialogues(
    corpus: Corpus,
    n: int,
    seed: int = 79,
    speakers: Sequence[int] = (2, 3),
    gap_s: tuple[float, float] = GAP_S,
) -> Iterator[tuple[Mixture, list[tuple[str, str]]]]:
    """`n` of them by unseen readers, of so many `speakers` in turn; evaluation's have this seed."""
    voices = readers(corpus)
    for i, n_speakers in zip(range(n), cycle(speakers), strict=False):
        yield dialogue(corpus, voices, n_speakers, np.random.default_rng((seed, i)), gap_s)


def by_speaker(said: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The words of every speaker; of nobody if there are none."""
    texts: dict[str, list[str]] = {}
    for speaker, text in said:
        texts.setdefault(speaker, []).append(text)
    return {speaker: " ".join(parts) for speaker, parts in texts.items()} or {"nobody": ""}


def words_of(result: Result) -> dict[str, str]:
    """The words of every speaker of a result."""
    return by_speaker((word.speaker or "nobody", word.text) for word in result.words)


def conversations(
    session: Session, corpus: Corpus, out: Path, n: int = 12, latency_s: float = float("inf")
) -> dict[str, float]:
    """cpWER of conversations of 2 or 3 unseen readers (Watanabe et al., CHiME-6, 2020)."""
    from meeteval.wer import combine_error_rates, cp_word_error_rate

    scenes = [(mixture.pcm, said) for mixture, said in dialogues(corpus, n)]
    figures = {}
    for suffix, language_model in WAYS.items():
        rates, rows = [], []
        for i, (pcm, said) in enumerate(scenes):
            result = session.process(pcm, latency_s, language_model=language_model)
            truth, found = by_speaker(said), words_of(result)
            rates.append(
                cp_word_error_rate(truth, found, reference_sort=False, hypothesis_sort=False)
            )
            rows += [f"{i}\treference\t{k}\t{v}\n" for k, v in truth.items()]
            rows += [f"{i}\thypothesis\t{k}\t{v}\n" for k, v in found.items()]
        (out / f"cpwer{suffix}.tsv").write_text("".join(rows))
        figures[f"conversations.cpwer{suffix}"] = 100.0 * combine_error_rates(*rates).error_rate
    return figures
