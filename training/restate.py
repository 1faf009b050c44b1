"""Statistics of a changed frontend, so that trained weights see what they learnt to see.

    python -m training.restate --data DATA --start OLD.safetensors --out NEW.safetensors

The frontend takes each frame's mean away, which lowers the three lowest mel bands. Weights that
were trained without it keep their figures if mean and deviation of those bands move along: over
clips of the training data, at the levels and in the noise of training, each band has the same
moments after standardization as it had before. Training from nothing needs none of this.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor

from echo_edge_export.checkpoint import load_checkpoint, save_checkpoint
from echo_edge_export.model.frontend import Frontend, dft, hann_window
from training.corpora.corpus_formats import Row, read_rows
from training.corpora.data import SAMPLE_RATE, Pcm
from training.simulation.augment import add_noise, level_gain, microphone

CLIP_S = 10.0
SEED = 3


def restated(frontend: Frontend, clips: Sequence[Pcm]) -> tuple[Tensor, Tensor]:
    """Mean and deviation `[n_mels]` under which the features of `clips` have the moments that the
    frontend without its high-pass gives them under its own."""
    before, after = Frontend(frontend.config), Frontend(frontend.config)
    plain = dft(frontend.config) * hann_window(frontend.config)
    before.kernels.copy_(plain.float()[:, None, :])
    old, new = (torch.cat([log_mel(part, clip) for clip in clips]) for part in (before, after))
    std = frontend.std * new.std(0) / old.std(0)
    return new.mean(0) - std * (old.mean(0) - frontend.mean) / frontend.std, std


@torch.inference_mode()
def log_mel(frontend: Frontend, clip: Pcm) -> Tensor:
    """Features `[T, n_mels]` of a clip, not standardized if the frontend is a new one."""
    return frontend.whole(torch.from_numpy(clip)[None])[0][0]


def clips_of(rows: Sequence[Row], n: int) -> list[Pcm]:
    """`n` utterances, each the start of one, with noise, microphone and level as in training."""
    rng = np.random.default_rng(SEED)
    found = []
    for at in rng.choice(len(rows), n, replace=False):
        row = rows[int(at)]
        with soundfile.SoundFile(row.path) as sound:
            sound.seek(round(row.start_s * sound.samplerate))
            length_s = min(row.duration_s or CLIP_S, CLIP_S)
            pcm = sound.read(round(length_s * sound.samplerate), "float32", always_2d=True).mean(1)
            pcm = soxr.resample(pcm, sound.samplerate, SAMPLE_RATE)
        pcm = add_noise(pcm.astype(np.float32), float(np.mean(pcm**2)), None, rng)
        if rng.random() < 0.5:
            pcm = microphone(pcm[None], rng)[0]
        found.append((pcm * level_gain(pcm, rng)).astype(np.float32))
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with train/")
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=400, help="utterances of at most 10 s")
    parser.add_argument("--bands", type=int, default=3, help="so many, from the lowest, move")
    args = parser.parse_args()
    rows = [row for row in read_rows(args.data / "train") if row.path.suffix != ".wav"]
    start = load_checkpoint(args.start)
    frontend = start.model.frontend
    mean, std = restated(frontend, clips_of(rows, args.clips))
    for name, old, new in (("mean", frontend.mean, mean), ("std", frontend.std, std)):
        for band in range(args.bands):
            print(f"{name} of band {band}: {old[band]:.3f} -> {new[band]:.3f}")
        old[: args.bands] = new[: args.bands]
    save_checkpoint(args.out, start.model, start.step, start.calibration, torch.float16)


if __name__ == "__main__":
    main()
