"""One voice reading: utterances drawn by source, strung together, coloured, with their phones."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echo_edge_export.model.config import PHONES
from training.corpora.alignment import FRAME, Alignment
from training.corpora.data import SAMPLE_RATE, Corpus, Pcm, Utterance
from training.simulation.augment import (
    SPEEDS,
    add_noise,
    change_speed,
    converter,
    level_gain,
    microphone,
    reverberate,
    tilt,
)
from training.simulation.mixtures import STEP_SAMPLES
from training.simulation.windows import LATENT_SAMPLES, LatentSource

PHONE = {phone: i for i, phone in enumerate(PHONES)}

SOURCE_WEIGHTS = {
    "librispeech_dev-clean_mp3": 4.0,
    "librispeech_tc100": 4.0,
    "ljspeech": 3.0,
    "alphanumeric": 2.0,
    "speechocean762": 1.5,
    "fsdd": 1.0,
    "kathleen": 0.7,
    "arabic_commands": 0.4,
    "tts": 0.3,
    "mycroft_community": 0.3,
    "speech_commands": 0.3,
    "picovoice_wake": 0.1,
}
"""How often a second of each transcribed source is drawn; 1 for any other."""

PHONE_SAMPLES = 2 * FRAME
"""One phone label per CTC frame: 20 ms."""

UNCHANGED = SPEEDS.index(1.0)

SILENT_SHARE, BACKGROUND_SHARE = 0.05, 0.15
"""Of rough readings: those that are non-speech alone, and those with non-speech under the words."""

Background = Callable[[int, np.random.Generator], Pcm]
"""Number of samples to non-speech `[n]` of unit power where it is loud."""

MICROPHONE_SHARE = 0.8
"""How many conversations, and rough readings, a random microphone hears."""


@dataclass(frozen=True)
class Reading:
    """One voice reading: clean and coloured PCM `[N]`, text, phones `[N / 320]`, speaker class,
    the target encoder's latents `[N / 320, d]`, which of them are known, and the utterances."""

    clean: Pcm
    pcm: Pcm
    text: str
    phones: NDArray[np.int64]
    voice: int
    latents: NDArray[np.float32]
    valid: NDArray[np.bool_]
    utterances: tuple[Utterance, ...]
    speed: int
    """Index into `SPEEDS`."""


def mark_phones(
    phones: NDArray[np.int64],
    labels: NDArray[np.uint8] | None,
    start: int,
    speed: float,
    n_samples: int,
) -> None:
    """Write an utterance's labels (one per 160 samples, None where unknown) played `speed` times
    faster from sample `start` on into the item's `phones` (one per 320 samples)."""
    first, last = -(-start // PHONE_SAMPLES), (start + n_samples) // PHONE_SAMPLES
    if labels is None:
        phones[first:last] = -100
        return
    at = (np.arange(first, last) * PHONE_SAMPLES - start) * speed / FRAME
    phones[first:last] = labels[np.minimum(np.rint(at).astype(int), len(labels) - 1)]


class Readings:
    """Draws who reads what, and how it sounds."""

    def __init__(
        self,
        corpus: Corpus,
        rooms: NDArray[np.float32] | None,
        alignment: Alignment,
        classes: dict[str, int],
        roughness: float,
        latents: LatentSource | None = None,
        other_speeds: float = 0.5,
        background: Background | None = None,
    ) -> None:
        """`classes` numbers the known voices; `roughness` is the share of the augmentation,
        `other_speeds` that of readings that are slower or faster: `latents` know only those that
        are not. `background` makes sounds that nobody speaks."""
        self.corpus, self.rooms, self.alignment = corpus, rooms, alignment
        self.classes, self.roughness = classes, roughness
        self.latents, self.other_speeds = latents, other_speeds
        self.background = background
        self.width = 0 if latents is None else len(latents.mean)
        self.texts: dict[str, dict[str, list[Utterance]]] = {}
        for u in corpus.utterances:
            if u.text and 0.25 < u.duration_s < 16.0:
                self.texts.setdefault(u.source, {}).setdefault(u.speaker or u.id, []).append(u)
        seconds = {
            source: sum(u.duration_s for group in groups.values() for u in group)
            for source, groups in self.texts.items()
        }
        self.source_names = list(self.texts)
        self.source_weights = np.array(
            [SOURCE_WEIGHTS.get(source, 1.0) * seconds[source] for source in self.texts]
        )

    def _speaker(self, rng: np.random.Generator) -> list[Utterance]:
        """Transcribed utterances of one voice, drawn by source, then by how much it reads."""
        weights = self.source_weights
        groups = self.texts[str(rng.choice(self.source_names, p=weights / weights.sum()))]
        sizes = np.array([len(group) for group in groups.values()], dtype=float)
        return list(groups.values())[int(rng.choice(len(sizes), p=sizes / sizes.sum()))]

    def draw(self, seconds: float, hard: float, rng: np.random.Generator) -> Reading:
        """One voice reading about `seconds`."""
        pool = self._speaker(rng)
        rough = hard * self.roughness
        other = self.other_speeds * hard
        speed = int(rng.choice(3, p=(0.5 * other, 1.0 - other, 0.5 * other)))
        n_samples = int(seconds * SAMPLE_RATE) // STEP_SAMPLES * STEP_SAMPLES
        clean = np.zeros(n_samples, dtype=np.float32)
        phones = np.zeros(n_samples // PHONE_SAMPLES, dtype=np.int64)
        latents = np.zeros((n_samples // LATENT_SAMPLES, self.width), dtype=np.float32)
        valid = np.zeros(len(latents), dtype=bool)
        drawn: list[Utterance] = []
        at = int(rng.uniform(0.0, 0.3) * SAMPLE_RATE)
        lengths = np.array([u.n_samples for u in pool]) / SPEEDS[speed]
        if self.background is not None and rng.random() < SILENT_SHARE * rough:
            at = n_samples  # nobody reads
        while np.any(fitting := lengths * (at + lengths <= n_samples)):
            u = pool[int(rng.choice(len(pool), p=fitting / fitting.sum()))]
            if speed == UNCHANGED:
                at = self._write_latents(latents, valid, u, at)
            piece = change_speed(self.corpus.pcm(u), SPEEDS[speed])[: n_samples - at]
            clean[at : at + len(piece)] = piece
            mark_phones(phones, self.alignment.select(u), at, SPEEDS[speed], len(piece))
            drawn.append(u)
            at += len(piece) + int(rng.uniform(0.0, 0.3) * SAMPLE_RATE)
        voice = self.classes.get(pool[0].speaker, -1)
        label = voice * len(SPEEDS) + speed if voice >= 0 else -1
        text, pcm = " ".join(u.text for u in drawn), self.colour(clean, rough, rng)
        return Reading(clean, pcm, text, phones, label, latents, valid, tuple(drawn), speed)

    def _write_latents(
        self,
        latents: NDArray[np.float32],
        valid: NDArray[np.bool_],
        utterance: Utterance,
        at: int,
    ) -> int:
        """Write the utterance's latents for a start at sample `at` or within a step after it, so
        that they fall on the item's grid; the start."""
        if self.latents is None or utterance.id not in self.latents:
            return at
        window, start, n_samples = self.latents.place(utterance.id)
        at = -(-at // STEP_SAMPLES) * STEP_SAMPLES
        first = at // LATENT_SAMPLES
        last = min(first + n_samples // LATENT_SAMPLES, len(latents))
        if last > first:
            _, rows = self.latents.cut(window, start, (last - first) * LATENT_SAMPLES)
            latents[first:last], valid[first:last] = rows, True
        return at

    def sounds(self, text: str) -> list[int]:
        """Phones of the words, a space between them."""
        words = [[PHONE[p] for p in self.alignment.lexicon[word]] for word in text.split()]
        return [phone for word in words for phone in (PHONE["<space>"], *word)][1:]

    def colour(self, clean: Pcm, rough: float, rng: np.random.Generator) -> Pcm:
        """A reading as heard; `rough` is the share of the augmentation."""
        if not clean.any():
            pcm = clean if self.background is None else self.background(len(clean), rng)
            return converter(pcm * np.float32(level_gain(pcm, rng)), rng)
        pcm = tilt(clean, rng)
        if rng.random() < MICROPHONE_SHARE * rough:
            pcm = microphone(pcm[None], rng)[0]
        if self.rooms is not None and rng.random() < 0.4 * rough:
            room = self.rooms[int(rng.integers(len(self.rooms)))]
            pcm = reverberate(pcm, room[int(rng.integers(len(room)))])
        if rng.random() < 0.6 * rough:
            babble = None
            if rng.random() < 0.2:
                start = int(rng.integers(len(self.corpus.samples) - 2 * len(pcm)))
                two = self.corpus.samples[start : start + 2 * len(pcm)].astype(np.float32)
                babble = two[: len(pcm)] + two[len(pcm) :]
            pcm = add_noise(pcm, float(np.mean(pcm**2)), babble, rng)
        if self.background is not None and rng.random() < BACKGROUND_SHARE * rough:
            power = float(np.mean(pcm**2)) * 10 ** (-rng.uniform(0.0, 30.0) / 10)
            pcm = pcm + self.background(len(pcm), rng) * np.float32(np.sqrt(power))
        return converter(pcm * level_gain(pcm, rng), rng)
