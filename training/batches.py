"""Step number -> batch, a pure function: training resumes anywhere and replays exactly.

A batch holds read utterances (words, one voice each) and simulated conversations (turns, voices,
sources). The loader builds them ahead in one worker process.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from echo_edge_export.config import PHONES, TOKENS

from .align import FRAME, Alignment
from .augment import SPEEDS, active_steps, add_noise, change_speed, level_gain, reverberate, tilt
from .data import SAMPLE_RATE, Corpus, Pcm, Utterance
from .mixtures import MAX_SPEAKERS, STEP_SAMPLES, conversation

PHONE = {phone: i for i, phone in enumerate(PHONES)}
CHARACTER = {" " if token == "<space>" else token: i for i, token in enumerate(TOKENS)}

SOURCE_WEIGHTS = {
    "librispeech_dev-clean_mp3": 4.0,
    "ljspeech": 2.0,
    "speechocean762": 1.5,
    "fsdd": 0.6,
    "arabic_commands": 0.4,
    "tts": 0.3,
    "mycroft_community": 0.3,
    "picovoice_wake": 0.1,
}
"""How often a second of each transcribed source is drawn; 1 for any other."""

PHONE_SAMPLES = 2 * FRAME
"""One phone label per CTC frame: 20 ms."""

EASY_STEPS, RAMP_STEPS = 300, 1000
"""Training starts with short, clean items under full context and ramps to the full task."""


CHUNKS = (4, 5, 6, 8, 10, 12, 15, 16, 20, 24)
"""Chunk sizes of training, in steps."""


def difficulty(step: int) -> float:
    """0 for the easy start (short, clean, mostly synthetic), 1 for the full task."""
    return min(1.0, max(0.0, (step - EASY_STEPS) / RAMP_STEPS))


@dataclass(frozen=True)
class Batch:
    """Tensors of one training step (U read items of N samples, M conversations of P samples)."""

    pcm: Tensor
    """`[U, N]` read speech."""
    targets: Tensor
    """Characters of all U items, concatenated, int64."""
    target_lengths: Tensor
    """`[U]`."""
    said: Tensor
    """Phones of all U items, a space between words, concatenated, int64."""
    said_lengths: Tensor
    """`[U]`."""
    phones: Tensor
    """`[U, N / 320]` index of the phone at every CTC frame, int64; -100 where unknown."""
    active: Tensor
    """`[U, N / 640]` in {0, 1}."""
    voices: Tensor
    """`[U]` speaker class, -1 where unknown."""
    mixture: Tensor
    """`[M, P]`."""
    sources: Tensor
    """`[M, K, P]`."""
    mixture_active: Tensor
    """`[M, K, P / 640]` in {0, 1}."""
    mixture_voices: Tensor
    """`[M, K]` speaker class, -1 for an unused slot."""
    chunk_steps: int
    left_steps: int


@dataclass(frozen=True)
class BatchSpec:
    """How much of what a batch holds."""

    read_items: int = 5
    read_s: tuple[float, float] = (4.0, 12.0)
    conversations: int = 3
    conversation_s: float = 9.6
    """240 steps: every one of CHUNKS divides it."""
    full_context: float = 0.4
    """Share of steps trained with unlimited context instead of chunks."""


@dataclass(frozen=True)
class Reading:
    """One voice reading: clean and coloured PCM `[N]`, text, phones `[N / 320]`, speaker class."""

    clean: Pcm
    pcm: Pcm
    text: str
    phones: NDArray[np.int64]
    voice: int


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


class Batches(Dataset[Batch]):
    """`batches[step]` is the batch of that step, the same in every run with the same seed."""

    def __init__(
        self,
        corpus: Corpus,
        rooms: NDArray[np.float32] | None,
        spec: BatchSpec,
        seed: int,
        alignment: Alignment,
        easy_start: bool = True,
        roughness: float = 1.0,
    ) -> None:
        self.corpus, self.rooms, self.spec, self.seed = corpus, rooms, spec, seed
        self.alignment = alignment
        self.easy_start, self.roughness = easy_start, roughness
        self.voices = corpus.by_speaker()
        self.classes = {name: i for i, name in enumerate(sorted(self.voices))}
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

    @property
    def n_voices(self) -> int:
        """Speaker classes: every known voice at every speed."""
        return len(self.classes) * len(SPEEDS)

    def __len__(self) -> int:
        return 1 << 40

    def _speaker(self, rng: np.random.Generator) -> list[Utterance]:
        """Transcribed utterances of one voice, drawn by source, then by how much it reads."""
        weights = self.source_weights
        groups = self.texts[str(rng.choice(self.source_names, p=weights / weights.sum()))]
        sizes = np.array([len(group) for group in groups.values()], dtype=float)
        return list(groups.values())[int(rng.choice(len(sizes), p=sizes / sizes.sum()))]

    def _read(self, seconds: float, hard: float, rng: np.random.Generator) -> Reading:
        """One voice reading about `seconds`."""
        pool = self._speaker(rng)
        rough = hard * self.roughness
        speed = int(rng.choice(3, p=(0.25 * hard, 1.0 - 0.5 * hard, 0.25 * hard)))
        n_samples = int(seconds * SAMPLE_RATE) // STEP_SAMPLES * STEP_SAMPLES
        clean = np.zeros(n_samples, dtype=np.float32)
        phones = np.zeros(n_samples // PHONE_SAMPLES, dtype=np.int64)
        words: list[str] = []
        at = int(rng.uniform(0.0, 0.3) * SAMPLE_RATE)
        lengths = np.array([u.n_samples for u in pool]) / SPEEDS[speed]
        while np.any(fitting := lengths * (at + lengths <= n_samples)):
            u = pool[int(rng.choice(len(pool), p=fitting / fitting.sum()))]
            piece = change_speed(self.corpus.pcm(u), SPEEDS[speed])[: n_samples - at]
            clean[at : at + len(piece)] = piece
            mark_phones(phones, self.alignment.of(u), at, SPEEDS[speed], len(piece))
            words.append(u.text)
            at += len(piece) + int(rng.uniform(0.0, 0.3) * SAMPLE_RATE)
        voice = self.classes.get(pool[0].speaker, -1)
        label = voice * len(SPEEDS) + speed if voice >= 0 else -1
        return Reading(clean, self._colour(clean, rough, rng), " ".join(words), phones, label)

    def _sounds(self, text: str) -> list[int]:
        """Phones of the words, a space between them."""
        words = [[PHONE[p] for p in self.alignment.lexicon[word]] for word in text.split()]
        return [phone for word in words for phone in (PHONE["<space>"], *word)][1:]

    def _colour(self, clean: Pcm, rough: float, rng: np.random.Generator) -> Pcm:
        if not clean.any():
            return clean
        pcm = tilt(clean, rng)
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
        return pcm * level_gain(pcm, rng)

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng((self.seed, step))
        spec = self.spec
        hard = difficulty(step) if self.easy_start else 1.0
        shortest, longest = spec.read_s
        seconds = float(rng.uniform(shortest, longest - 0.6 * (1.0 - hard) * (longest - shortest)))
        n_items = max(1, round(spec.read_items * np.mean(spec.read_s) / seconds))
        read = [self._read(seconds, hard, rng) for _ in range(n_items)]
        mixtures = [
            conversation(
                self.corpus, self.voices, self.rooms, spec.conversation_s,
                int(rng.choice([1, 2, 3], p=[0.25, 0.45, 0.3])), rng,
            )
            for _ in range(spec.conversations)
        ]  # fmt: skip
        targets = [[CHARACTER[c] for c in item.text] for item in read]
        said = [self._sounds(item.text) for item in read]
        mixture_voices = np.full((len(mixtures), MAX_SPEAKERS), -1)
        for row, mix in zip(mixture_voices, mixtures, strict=True):
            for k, (name, speed) in enumerate(zip(mix.speakers, mix.speeds, strict=True)):
                row[k] = self.classes[name] * len(SPEEDS) + speed
        full = rng.random() < 1.0 - (1.0 - spec.full_context) * hard
        chunk = 1000 if full else int(rng.choice(CHUNKS))
        return Batch(
            pcm=torch.from_numpy(np.stack([item.pcm for item in read])),
            targets=torch.tensor([c for row in targets for c in row], dtype=torch.long),
            target_lengths=torch.tensor([len(row) for row in targets]),
            said=torch.tensor([phone for row in said for phone in row], dtype=torch.long),
            said_lengths=torch.tensor([len(row) for row in said]),
            phones=torch.from_numpy(np.stack([item.phones for item in read])),
            active=torch.from_numpy(np.stack([active_steps(item.clean) for item in read])).float(),
            voices=torch.tensor([item.voice for item in read]),
            mixture=torch.from_numpy(np.stack([m.pcm for m in mixtures])),
            sources=torch.from_numpy(np.stack([m.sources for m in mixtures])),
            mixture_active=torch.from_numpy(np.stack([m.active for m in mixtures])).float(),
            mixture_voices=torch.from_numpy(mixture_voices),
            chunk_steps=chunk,
            left_steps=1000 if full else int(rng.integers(2, 9)) * 12,
        )


def loader(
    batches: Batches, first: int, last: int, rank: int = 0, world: int = 1
) -> DataLoader[Batch]:
    """Batches of steps `first` to `last - 1`, built ahead by one worker; each of `world` processes
    has batches of its own."""
    steps = range(first * world + rank, last * world + rank, world)
    return DataLoader(
        batches,
        batch_size=None,
        sampler=steps,
        num_workers=1,
        prefetch_factor=6,
    )


def default_rooms(cache: Path) -> NDArray[np.float32]:
    """The bank of rooms, made once."""
    from .augment import room_bank

    return room_bank(cache / "rooms.npy")
