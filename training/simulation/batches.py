"""Step number -> batch, a pure function: training resumes anywhere and replays exactly.

The loader builds batches ahead in processes of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from echo_edge_export.model.config import TOKENS, EchoConfig
from training.corpora.alignment import Alignment
from training.corpora.data import SAMPLE_RATE, Corpus
from training.nonspeech import KINDS
from training.simulation.augment import SPEEDS, active_steps, converter, room_bank
from training.simulation.batch import Batch
from training.simulation.conversations import Conversations
from training.simulation.meetings import Meeting
from training.simulation.mixtures import MAX_SPEAKERS, STEP_SAMPLES, Mixture
from training.simulation.nonspeech_scenes import background, scene
from training.simulation.read_speech import UNCHANGED, Reading, Readings
from training.simulation.voice_crops import VoiceCrops, VoiceSource
from training.simulation.windows import LATENT_SAMPLES, LatentSource, Windows

CHARACTER = {" " if token == "<space>" else token: i for i, token in enumerate(TOKENS)}

EASY_STEPS, RAMP_STEPS = 300, 1000
"""Training starts with short, clean items under full context and ramps to the full task."""

CHUNKS = (4, 5, 6, 8, 10, 12, 15, 16, 20, 24)
"""Chunk sizes of training, in steps."""

LEFT_STEPS = EchoConfig().left_context_steps
"""As in the streaming graph."""

MEETING_SHARE = 0.4
"""In how many batches the last conversation is a real one: minutes of them are all there are."""

NONSPEECH_SHARE = 0.3
"""In how many it is a scene with sounds that nobody speaks."""


def difficulty(step: int) -> float:
    """0 for the easy start (short, clean, mostly synthetic), 1 for the full task."""
    return min(1.0, max(0.0, (step - EASY_STEPS) / RAMP_STEPS))


@dataclass(frozen=True)
class BatchSpec:
    """Numbers and lengths of a batch's items."""

    read_items: int = 5
    read_s: tuple[float, float] = (4.0, 12.0)
    conversations: int = 3
    conversation_s: float = 9.6
    """240 steps: every one of CHUNKS divides it."""
    full_context: float = 0.4
    """Share of steps trained with unlimited context instead of chunks."""
    windows: int = 0
    window_s: float = 8.0
    crops_s: float = 0.0
    """Seconds of single voices, where a speaker encoder is known."""
    other_speeds: float = 0.5
    """Share of readings that are slower or faster."""


@dataclass(frozen=True)
class Teachers:
    """Targets by pretrained models for the corpora, none by default."""

    latents: LatentSource | None = None
    voices: VoiceSource | None = None

    def voiceprint(self, name: str) -> NDArray[np.float32]:
        """Embedding `[E]` of a speaker, zero where nothing is known."""
        if self.voices is None:
            return np.zeros(0, np.float32)
        nothing = np.zeros(len(self.voices.pooling[1]), np.float32)
        return self.voices.centroids.get(name, nothing)


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
        meetings: Sequence[Meeting] = (),
        timing: Sequence[Sequence[tuple[float, float, str]]] = (),
        teachers: Teachers | None = None,
    ) -> None:
        self.corpus, self.rooms, self.spec, self.seed = corpus, rooms, spec, seed
        self.alignment, self.easy_start = alignment, easy_start
        self.meetings = meetings
        self.conversations = Conversations(corpus, rooms, spec.conversation_s, meetings, timing)
        self.voices = self.conversations.voices
        met = {speaker for meeting in meetings for speaker in meeting.speakers}
        names = [*sorted(self.voices), *sorted(met)]
        self.classes = {name: i for i, name in enumerate(names)}
        self.teachers = teachers or Teachers()
        latents = self.teachers.latents
        self.windows = Windows(latents, rooms) if latents is not None and spec.windows else None
        self.readings = Readings(
            corpus, rooms, alignment, self.classes, roughness, latents, spec.other_speeds,
            background=partial(background, KINDS, rooms),
        )  # fmt: skip
        self.crops = VoiceCrops(
            self.teachers.voices, spec.crops_s, self.classes, self.readings.colour
        )

    @property
    def n_voices(self) -> int:
        """Speaker classes: every known voice at every speed."""
        return len(self.classes) * len(SPEEDS)

    def __len__(self) -> int:
        return 1 << 40

    def __getitem__(self, step: int) -> Batch:
        # 1. All chance of a step comes from (seed, step): the order of draws below is part of what
        # makes a stopped run continue with the same batches.
        rng = np.random.default_rng((self.seed, step))
        hard = difficulty(step) if self.easy_start else 1.0
        # 2. Full context or chunks: always full at the start, `full_context` of steps at the end.
        full = rng.random() < 1.0 - (1.0 - self.spec.full_context) * hard
        # 3. Read items, then conversations, then windows without words.
        return Batch(
            **self._read(hard, rng),
            **self._mixtures(rng),
            **self._untranscribed(rng),
            **self.crops.draw(rng),
            # 4. 1000 steps are 40 s, longer than any item: one chunk, which sees everything.
            chunk_steps=1000 if full else int(rng.choice(CHUNKS)),
            left_steps=1000 if full else LEFT_STEPS,
        )

    def _read(self, hard: float, rng: np.random.Generator) -> dict[str, Any]:
        spec = self.spec
        # All items of a batch have one length, so that none is padded; its number of items is
        # such that batches hold about equally much audio.
        shortest, longest = spec.read_s
        seconds = float(rng.uniform(shortest, longest - 0.6 * (1.0 - hard) * (longest - shortest)))
        n_items = max(1, round(spec.read_items * np.mean(spec.read_s) / seconds))
        read = [self.readings.draw(seconds, hard, rng) for _ in range(n_items)]
        targets = [[CHARACTER[c] for c in item.text] for item in read]
        spoken = [self.readings.sounds(item.text) for item in read]
        return {
            "pcm": torch.from_numpy(np.stack([item.pcm for item in read])),
            "texts": tuple(item.text for item in read),
            "targets": torch.tensor([c for row in targets for c in row], dtype=torch.long),
            "target_lengths": torch.tensor([len(row) for row in targets]),
            "phone_targets": torch.tensor(
                [phone for row in spoken for phone in row], dtype=torch.long
            ),
            "phone_target_lengths": torch.tensor([len(row) for row in spoken]),
            "phones": torch.from_numpy(np.stack([item.phones for item in read])),
            "active": torch.from_numpy(np.stack([active_steps(i.clean) for i in read])).float(),
            "voices": torch.tensor([item.voice for item in read]),
            "latents": torch.from_numpy(np.stack([item.latents for item in read])).half(),
            "latents_valid": torch.from_numpy(np.stack([item.valid for item in read])),
            "voiceprints": torch.from_numpy(np.stack([self._voiceprint(item) for item in read])),
        }

    def _voiceprint(self, item: Reading) -> NDArray[np.float32]:
        known = item.speed == UNCHANGED and item.utterances
        return self.teachers.voiceprint(item.utterances[0].speaker if known else "")

    def _mixtures(self, rng: np.random.Generator) -> dict[str, Any]:
        spec = self.spec
        others = self._unmixed(rng) if spec.conversations > 1 else []
        n_simulated = spec.conversations - len(others)
        mixtures = [self.conversations.draw(False, rng) for _ in range(n_simulated)] + others
        n_samples = int(spec.conversation_s * SAMPLE_RATE) // STEP_SAMPLES * STEP_SAMPLES
        voices = np.full((len(mixtures), MAX_SPEAKERS), -1)
        prints = np.zeros((*voices.shape, len(self.teachers.voiceprint(""))), np.float32)
        pcm = np.zeros((len(mixtures), n_samples), np.float32)
        sources = np.zeros((n_simulated, MAX_SPEAKERS, n_samples), np.float32)
        active = np.zeros((*voices.shape, n_samples // STEP_SAMPLES), np.float32)
        for i, mixture in enumerate(mixtures):
            pcm[i], active[i] = mixture.pcm, mixture.active
            if i < n_simulated:
                sources[i] = mixture.sources
            for k, (name, speed) in enumerate(zip(mixture.speakers, mixture.speeds, strict=True)):
                # A voice at another speed is another voice, with a class of its own.
                voices[i, k] = self.classes[name] * len(SPEEDS) + speed
                if speed == UNCHANGED:
                    prints[i, k] = self.teachers.voiceprint(name)
        return {
            "mixture": torch.from_numpy(pcm),
            "sources": torch.from_numpy(sources),
            "mixture_active": torch.from_numpy(active),
            "mixture_voices": torch.from_numpy(voices),
            "mixture_voiceprints": torch.from_numpy(prints),
        }

    def _unmixed(self, rng: np.random.Generator) -> list[Mixture]:
        """At times a conversation whose voices are not known one by one: a window of a meeting, or
        a scene with non-speech."""
        chance = rng.random()
        if self.meetings and chance < MEETING_SHARE:
            return [self.conversations.draw(True, rng)]
        if chance < 1.0 - NONSPEECH_SHARE:
            return []
        made = scene(self.conversations, KINDS, rng)
        nothing = np.zeros((0, len(made.pcm)), np.float32)
        return [Mixture(converter(made.pcm, rng), nothing, made.active, (), ())]

    def _untranscribed(self, rng: np.random.Generator) -> dict[str, Any]:
        n_samples = int(self.spec.window_s * SAMPLE_RATE) // STEP_SAMPLES * STEP_SAMPLES
        n = 0 if self.windows is None else self.spec.windows
        pcm = np.zeros((n, n_samples), np.float32)
        shape = (n, n_samples // LATENT_SAMPLES)
        latents = np.zeros((*shape, self.readings.width), np.float16)
        valid = np.zeros(shape, bool)
        for i in range(n):
            assert self.windows is not None  # noqa: S101 - n is 0
            window = self.windows.draw(n_samples, rng)
            pcm[i], latents[i], valid[i] = window.pcm, window.latents, window.valid
        return {
            "windows": torch.from_numpy(pcm),
            "windows_latents": torch.from_numpy(latents),
            "windows_valid": torch.from_numpy(valid),
        }


def loader(
    batches: Batches, first: int, last: int, rank: int = 0, world: int = 1, workers: int = 1
) -> DataLoader[Batch]:
    """Batches of steps `first` to `last - 1`, in order, built ahead by `workers` processes; each of
    `world` processes has batches of its own."""
    steps = range(first * world + rank, last * world + rank, world)
    return DataLoader(
        batches,
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        prefetch_factor=6,
    )


def default_rooms(cache: Path) -> NDArray[np.float32]:
    """The bank of rooms, made once."""
    return room_bank(cache / "rooms.npy")
