"""A voice-activity gate for a Cortex-M, distilled from a bundle: `gate_weights.h`.

Teacher: the bundle's diarization head, one minus its probability of silence at every 40 ms step.
Student: three small causal convolutions, trained with its rounding, run as integers
(`gate_integer`). Labelled scenes are kept, so that a run that was stopped goes on.

    python -m training.gate --data DATA --bundle echo_edge/default_bundle \\
      --out firmware_examples/cortex_m_gate/gate_weights.h
"""

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from echo_edge.session import Session, load
from training.corpora.data import Corpus, load_splits
from training.scoring.voices import latents
from training.simulation.augment import room_bank
from training.voice_gate import integer as gi
from training.voice_gate.scenes import (
    FRAMES_PER_STEP,
    Scene,
    Scored,
    energy_scores,
    equal_error,
    excerpt,
    measure,
    real_meetings,
    scene,
    tuned,
)

WIDTH = 24
DILATIONS = (1, 3, 9)
MAX_FALSE_WAKES = 5.0
"""Per hour of noise, on the scenes for tuning."""

Rooms = NDArray[np.float32]
Described = dict[str, NDArray[Any]]
"""`features` `[frames, 48]`, `energy` `[frames]`; `speech` and `teacher` `[steps]`."""


@dataclass(frozen=True)
class Split:
    """Numbers of scenes: of voices of a corpus, of noise, and of its real meetings."""

    name: str
    seed: int
    with_speech: int
    without: int
    real: int
    seconds: float


SPLITS = (
    Split("train", 1, 200, 400, 60, 24.0),
    Split("tune", 2, 40, 120, 0, 30.0),
    Split("dev", 3, 60, 120, 0, 30.0),
)


class Student(nn.Module):
    """The network in floating point, with the rounding of its integers."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        sizes = (gi.N_INPUTS, *[width] * len(DILATIONS))
        self.hidden = nn.ModuleList(
            nn.Conv1d(a, b, gi.TAPS, dilation=d)
            for a, b, d in zip(sizes, sizes[1:], DILATIONS, strict=False)
        )
        self.last = nn.Conv1d(width, 1, 1)

    def _convolutions(self) -> list[nn.Conv1d]:
        return [each for each in self.hidden if isinstance(each, nn.Conv1d)]

    def forward(self, inputs: Tensor) -> Tensor:
        """Log odds `[B, T]` for int8 features `[B, T, 48]`."""
        x = inputs.transpose(1, 2).float() / gi.FEATURE_SCALE
        for conv, dilation in zip(self._convolutions(), DILATIONS, strict=True):
            x = F.pad(x, ((gi.TAPS - 1) * dilation, 0))
            x = F.conv1d(x, _rounded(conv.weight), conv.bias, dilation=dilation)
            x = _ste_round(x.clamp(0, 127 / gi.ACTIVATION_SCALE) * gi.ACTIVATION_SCALE)
            x = x / gi.ACTIVATION_SCALE
        return F.conv1d(x, _rounded(self.last.weight), self.last.bias)[:, 0]

    def integers(self) -> tuple[gi.Layer, ...]:
        """The same network as `gate_integer` computes it."""
        layers, scale = [], gi.FEATURE_SCALE
        for conv, dilation in zip([*self._convolutions(), self.last], [*DILATIONS, 0], strict=True):
            to = gi.ACTIVATION_SCALE if dilation else gi.SCORE_SCALE
            weight, bias = (each.detach().double() for each in conv.parameters())
            step = _step(weight)
            unit = step[:, 0, 0].numpy() / scale  # what 1 is worth in a sum
            layers.append(
                gi.Layer(
                    torch.round(weight / step).long().transpose(1, 2).numpy(),
                    np.rint(bias.numpy() / unit).astype(np.int64),
                    np.rint(unit * to * 2**gi.MULTIPLIER_BITS).astype(np.int64),
                    dilation,
                )
            )
            scale = to
        return tuple(layers)


def _step(weight: Tensor) -> Tensor:
    """Step size of int8 weights, per output."""
    return weight.abs().amax((1, 2), keepdim=True).clamp_min(1e-4) / 127


def _ste_round(x: Tensor) -> Tensor:
    """Round; the gradient passes."""
    return x + (torch.round(x) - x).detach()


def _rounded(weight: Tensor) -> Tensor:
    step = _step(weight).detach()
    return _ste_round(weight / step) * step


def posteriors(session: Session, pcm: NDArray[np.int16]) -> NDArray[np.float32]:
    """The teacher: probability that anybody speaks at every step, the mean over the windows of
    the diarization head (a new one each half window) that saw it."""
    manifest, head = session.bundle.manifest, session.graph("diarization")
    chunk, window = manifest.audio.chunk_samples, manifest.diarization.window_steps
    n_steps = len(pcm) // manifest.streaming.step_samples
    padded = np.pad(pcm.astype(np.float32) / np.float32(32768), (0, -len(pcm) % chunk))
    scored = latents(session, padded)["latents_diarization"][None, :n_steps]
    silence = [not members for members in manifest.diarization.powerset]
    total, seen = np.zeros(n_steps, np.float32), np.zeros(n_steps, np.float32)
    for first in range(0, max(n_steps - window // 2, 1), window // 2):
        part = scored[:, first : first + window]
        rest = window - part.shape[1]
        valid = np.pad(np.ones((1, part.shape[1]), np.float32), ((0, 0), (rest, 0)))
        inputs = np.pad(part, ((0, 0), (rest, 0), (0, 0)))
        logprobs = head.run(latents=inputs, valid=valid)["logprobs"][0, rest:]
        total[first : first + window] += 1 - np.exp(logprobs[:, silence]).sum(1)
        seen[first : first + window] += 1
    return np.clip(total / seen, 0, 1)


def described(session: Session | None, made: Scene) -> Described:
    """A scene as features, truth, plain energy and what the teacher thinks of it: without a
    session the truth, as for noise that nobody needs to be asked about."""
    teacher = posteriors(session, made.pcm) if session else made.speech
    return {
        "features": gi.features(gi.levels(made.pcm)).astype(np.int8),
        "speech": made.speech,
        "teacher": teacher.astype(np.float32),
        "energy": energy_scores(made.pcm),
    }


def labelled(
    session: Session, corpus: Corpus, meetings: list[Scene], rooms: Rooms, split: Split, work: Path
) -> list[Described]:
    """The scenes of a split, made and described once."""
    voices = corpus.by_speaker()
    out = []
    for index in range(split.with_speech + split.without + split.real):
        path = work / f"{split.name}_{index:04d}.npz"
        if not path.exists():
            rng = np.random.default_rng((split.seed, index))
            has_speech = index < split.with_speech
            rest = index - split.with_speech - split.without
            if rest < 0:
                made = scene(corpus, voices, rooms, split.seconds, has_speech, rng)
            else:
                made = excerpt(meetings[rest % len(meetings)], split.seconds, rng)
            asked = session if made.speech.any() or split.name != "train" else None
            partial = path.with_suffix(f".{os.getpid()}.npz")
            np.savez_compressed(partial, **described(asked, made))  # type: ignore[arg-type]
            partial.replace(path)
        with np.load(path) as stored:
            out.append(dict(stored))
    return out


def train(
    features: NDArray[np.int8],
    targets: NDArray[np.float32],
    steps: int,
    seed: int = 0,
    batch: int = 16,
    length: int = 500,
    width: int = WIDTH,
) -> tuple[Student, list[float]]:
    """A student of scenes `[S, T, 48]` with targets `[S, T]`, and its losses."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    student = Student(width)
    optimizer = torch.optim.AdamW(student.parameters(), lr=4e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    length = min(length, features.shape[1])
    losses = []
    for step in range(steps):
        rows = rng.integers(len(features), size=batch)
        first = int(rng.integers(features.shape[1] - length + 1))
        logits = student(torch.from_numpy(features[rows, first : first + length]))
        wanted = torch.from_numpy(targets[rows, first : first + length])
        loss = F.binary_cross_entropy_with_logits(logits, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if step % 100 == 99:
            print(f"step {step + 1}: loss {np.mean(losses[-100:]):.4f}", flush=True)
    return student, losses


def opinions(layers: tuple[gi.Layer, ...], scenes: list[Described]) -> dict[str, list[Scored]]:
    """Scores of gate, plain energy and teacher per frame of scenes."""
    out: dict[str, list[Scored]] = {"gate": [], "energy": [], "teacher": []}
    for each in scenes:
        truth = np.repeat(each["speech"].astype(bool), FRAMES_PER_STEP)
        sure = np.clip(np.repeat(each["teacher"].astype(np.float64), FRAMES_PER_STEP), 1e-6, 1)
        odds = np.log(sure / np.clip(1 - sure, 1e-6, 1))
        out["gate"].append(Scored(gi.network(layers, each["features"].astype(np.int64)), truth))
        out["energy"].append(Scored(each["energy"].astype(np.int64), truth))
        out["teacher"].append(Scored(np.rint(odds * gi.SCORE_SCALE).astype(np.int64), truth))
    return out


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and dev/")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--work", type=Path, default=Path("runs/gate"), help="labelled scenes")
    parser.add_argument("--bundle", type=Path, required=True, help="the teacher")
    parser.add_argument("--out", type=Path, required=True, help="gate_weights.h")
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--teacher-share", type=float, default=0.5, help="the rest is the truth")
    args = parser.parse_args()
    corpus, dev = load_splits(args.data, args.cache)
    rooms = room_bank(args.cache / "rooms.npy")
    with load(args.bundle, threads=2) as session:
        source = session.bundle.manifest.source.checkpoint_sha256[:12]
        work = args.work / source  # another teacher, other labels
        work.mkdir(parents=True, exist_ok=True)
        meetings = real_meetings(corpus, args.data / "train/rttm")
        if not meetings:
            parser.error(f"{args.data}/train/rttm: found no meeting of the index, expected some")
        learn, tune, held = (
            labelled(session, dev if split.name == "dev" else corpus, meetings, rooms, split, work)
            for split in SPLITS
        )
        known = [described(session, s) for s in meetings]
        unseen = [described(session, s) for s in real_meetings(dev, args.data / "dev/rttm")]
    share = args.teacher_share
    targets = np.stack([share * s["teacher"] + (1 - share) * s["speech"] for s in learn])
    student, _ = train(
        np.stack([s["features"] for s in learn]),
        np.repeat(targets, FRAMES_PER_STEP, axis=1).astype(np.float32),
        args.steps,
    )
    layers = student.integers()
    before, familiar, after, there = (opinions(layers, s) for s in (tune, known, held, unseen))
    for name, scenes in before.items():
        rules = tuned(scenes, familiar[name], MAX_FALSE_WAKES)
        if name == "gate":
            remark = f"Made by training.gate from checkpoint {source}; see README.md."
            gi.write_header(args.out, gi.Gate(layers, rules), remark)
        for kind, scored in (("simulated", after[name]), ("real", there[name])):
            found = {**measure(scored, rules), "equal_error": equal_error(scored)}
            figures = {k: None if np.isnan(v) else round(v, 2) for k, v in found.items()}
            row = {"scenes": kind, "detector": name, **vars(rules), **figures}
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
