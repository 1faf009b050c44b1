"""The diarization head alone, further: non-speech becomes silence, all else frozen.

It reads what it will read on a board, the latents of the shipped bundle, kept once, and of every
fourth scene those of the float model in chunks of another length. Some scenes with non-speech have
speech before it, after it or under it. Wherever somebody speaks the head learns to say what it said
before, so turns stay what they were.

    python -m training.segmentation --data DATA --start models/echo-25m.safetensors \\
      --bundle echo_edge/default_bundle --out models/echo-25m.safetensors
"""

import argparse
import copy
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from echo_edge.session import load
from echo_edge_export.checkpoint import load_checkpoint, save_checkpoint
from echo_edge_export.model.config import POWERSET
from echo_edge_export.model.heads import DiarizationHead
from echo_edge_export.quantize.calibrate import Calibration, Ranges, observed_ranges
from training.corpora.data import load_corpus
from training.nonspeech import KINDS
from training.scoring.quick import encode
from training.scoring.voices import latents
from training.simulation.augment import room_bank
from training.simulation.conversations import Conversations
from training.simulation.meetings import load_meetings, load_timing
from training.simulation.nonspeech_scenes import SPEECH, Scene, scene
from training.stages.loop import Schedule, adamw

SCENE_S = 14.4
CHUNKS = (6, 24, 40)
"""Lengths in steps, dividing a scene, of chunks that the bundle does not have."""

PART = 25
"""Scenes in one file."""

STARTING = 0.3
"""Of windows that end within the first ten seconds of a stream: what was before does not exist."""


@dataclass(frozen=True)
class EncodedScenes:
    """Scenes as latents, the head's input, with their truth."""

    latents: NDArray[np.float16]
    """`[scenes, S, d]`."""
    active: NDArray[np.bool_]
    """`[scenes, 3, S]`."""
    sorts: NDArray[np.int64]


@cache
def conversations_of(data: Path, folder: Path) -> Conversations:
    """Sources of training conversations, read once in a process."""
    corpus = load_corpus([data / "train"], folder / "train")
    return Conversations(
        corpus, room_bank(folder / "rooms.npy"), SCENE_S,
        load_meetings(corpus, data / "train/rttm"), load_timing(data / "timing/ami_dev.rttm"),
    )  # fmt: skip


def make(args: argparse.Namespace, folder: Path, first: int) -> Path:
    """The file of one part, the scenes from `first` on, made once; each scene is a function of seed
    and index."""
    path = folder / f"{first:06d}.npz"
    if path.exists():
        return path
    torch.set_num_threads(1)
    conversations = conversations_of(args.data, args.cache)
    model = load_checkpoint(args.start).model
    rows: list[NDArray[np.float16]] = []
    scenes: list[Scene] = []
    with load(args.bundle, threads=1) as session, torch.no_grad():
        for index in range(first, first + PART):
            made = scene(conversations, KINDS, np.random.default_rng((args.seed, index)))
            if index % 4:
                spoken = latents(session, made.pcm)["latents_diarization"]
            else:
                pcm = torch.from_numpy(made.pcm)[None]
                spoken = encode(model, pcm, CHUNKS[index // 4 % len(CHUNKS)])[1][0].numpy()
            rows.append(spoken.astype(np.float16))
            scenes.append(made)
    partial_path = path.with_suffix(".partial.npz")
    np.savez(
        partial_path,
        latents=np.stack(rows),
        active=np.stack([s.active for s in scenes]),
        sorts=np.array([s.sort for s in scenes]),
    )
    partial_path.replace(path)
    return path


def all_scenes(args: argparse.Namespace) -> EncodedScenes:
    """Every scene, made by several processes and kept below the cache."""
    source = load_checkpoint(args.start).sha256[:12]
    folder = args.cache / f"segmentation_{source}_{args.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    firsts = range(0, args.scenes, PART)
    parts = []
    with multiprocessing.get_context("spawn").Pool(args.workers) as pool:
        for path in pool.imap(partial(make, args, folder), firsts):
            with np.load(path) as stored:
                parts.append(dict(stored))
            print(f"{PART * len(parts)} of {args.scenes} scenes", flush=True)
    return EncodedScenes(
        **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    )


def windows(
    encoded: EncodedScenes, size: int, batch: int, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Latents `[B, W, d]`, valid `[B, W]`, active `[B, 3, W]` and sorts `[B]`, for ever."""
    n_scenes, n_steps = encoded.latents.shape[:2]
    while True:
        rows = rng.integers(n_scenes, size=batch)
        x = np.zeros((batch, size, encoded.latents.shape[2]), np.float32)
        valid = np.zeros((batch, size), np.float32)
        active = np.zeros((batch, encoded.active.shape[1], size), np.float32)
        for i, row in enumerate(rows):
            end = int(rng.integers(size, n_steps + 1))
            if rng.random() < STARTING:
                end = int(rng.integers(25, size))
            have = min(end, size)
            x[i, size - have :] = encoded.latents[row, end - have : end]
            valid[i, size - have :] = 1.0
            active[i, :, size - have :] = encoded.active[row, :, end - have : end]
        yield (
            torch.from_numpy(x), torch.from_numpy(valid), torch.from_numpy(active),
            torch.from_numpy(encoded.sorts[rows]),
        )  # fmt: skip


def targets(known: Tensor, active: Tensor, sorts: Tensor) -> Tensor:
    """Targets of the head, posteriors `[B, W, 7]`: as before (`known`, log-posteriors) where
    somebody speaks and in scenes of speech, silence where nobody does in the other scenes."""
    silent = (active.sum(1) == 0) & (sorts != SPEECH)[:, None]
    silence = F.one_hot(torch.tensor(POWERSET.index(())), len(POWERSET)).to(known)
    return torch.where(silent[..., None], silence, known.exp())


def divergences(logprobs: Tensor, wanted: Tensor, valid: Tensor) -> Tensor:
    """Kullback-Leibler divergence of log-posteriors from `wanted`, both `[B, W, 7]`, in nats: the
    mean over the steps of each window that exist, `[B]`."""
    apart = (wanted * (wanted.clamp(min=1e-9).log() - logprobs)).sum(2)
    mean: Tensor = (apart * valid).sum(1) / valid.sum(1)
    return mean


def train(
    head: DiarizationHead, encoded: EncodedScenes, size: int, args: argparse.Namespace
) -> None:
    """`args.steps` steps on windows of `size` steps."""
    before = copy.deepcopy(head).eval().requires_grad_(False)
    schedule = Schedule(args.peak, args.steps, warmup=50, decay=0.6)
    optimizer = adamw([head], args.peak)
    rows = windows(encoded, size, args.batch, np.random.default_rng(args.seed))
    sums, counts, began = np.zeros(3), np.zeros(3), time.monotonic()
    for step, (x, valid, active, sorts) in zip(range(args.steps), rows, strict=False):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step)
        with torch.no_grad():
            wanted = targets(before(x, valid), active, sorts)
        losses = divergences(head(x, valid), wanted, valid)
        optimizer.zero_grad(set_to_none=True)
        losses.mean().backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
        np.add.at(sums, sorts.numpy(), losses.detach().numpy())
        np.add.at(counts, sorts.numpy(), 1)
        if (step + 1) % 50 == 0:
            alone, mixed, speech = sums / np.maximum(counts, 1)
            rate = (step + 1) / (time.monotonic() - began)
            print(
                f"step {step + 1}/{args.steps}  alone {alone:.3f}  mixed {mixed:.3f}  "
                f"speech {speech:.3f}  {rate:.1f} steps/s", flush=True,
            )  # fmt: skip
            sums[:], counts[:] = 0.0, 0.0


def calibrated(
    head: DiarizationHead, encoded: EncodedScenes, size: int, calibration: Calibration
) -> Calibration:
    """The calibration with the ranges of this head's linears over windows of all scenes."""
    prefix = "diarization."

    def ranges(old: Ranges, new: Ranges) -> Ranges:
        return {**old, **{prefix + name: found for name, found in new.items()}}

    part = torch.from_numpy(encoded.latents[:400, -size:].astype(np.float32))
    with torch.no_grad():
        inputs, outputs = observed_ranges(head, lambda: head(part, part.new_ones(part.shape[:2])))
    return replace(
        calibration,
        ranges=ranges(calibration.ranges, inputs),
        outputs=ranges(calibration.outputs, outputs),
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and timing/")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--start", type=Path, required=True, help="a checkpoint of training.ship")
    parser.add_argument("--bundle", type=Path, required=True, help="what it was exported to")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=700)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--peak", type=float, default=6e-4, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processes that make scenes")
    args = parser.parse_args()
    encoded = all_scenes(args)
    torch.manual_seed(args.seed)
    start = load_checkpoint(args.start)
    if start.calibration is None:
        parser.error(f"{args.start}: found no calibration, expected a checkpoint of training.ship")
    size = start.model.config.window_steps
    head = start.model.diarization.train()
    train(head, encoded, size, args)
    calibration = calibrated(head.eval(), encoded, size, start.calibration)
    save_checkpoint(args.out, start.model, start.step, calibration, torch.float16)


if __name__ == "__main__":
    main()
