"""What the teachers say of every utterance, once, into a cache that training reads.

    python -m training.teachers.cache --data DATA --cache runs/cache --teachers runs/teachers

`CACHE/latents/SPLIT` gets Whisper's latents (`latents.LatentStore`). A run that was stopped goes on
where it was; a corpus that got more utterances gets only theirs; a folder is whole at any moment.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from training.data import SAMPLE_RATE, Corpus, load_splits

from .fetch import describe
from .latents import LatentWriter, length, plan, speech
from .whisper import Whisper

WINDOWS = 8
"""Encoded and written at once."""


def cache_latents(corpus: Corpus, folder: Path, teachers: Path, bf16: bool) -> None:
    """Whisper's latents of every utterance that has none yet."""
    teacher = describe(teachers, "whisper-base") | {"bf16": str(bf16), "torch": torch.__version__}
    writer = LatentWriter(folder, teacher)
    windows = plan(corpus, {piece.id for window in writer.windows for piece in window})
    utterances = {u.id: u for u in corpus.utterances}
    whisper = Whisper(teachers / "whisper-base", bf16)
    seconds, started = 0.0, time.monotonic()
    for i in range(0, len(windows), WINDOWS):
        some = windows[i : i + WINDOWS]
        heard = [speech(corpus, utterances, window, 0, length(window)) for window in some]
        writer.add(some, whisper.latents(heard).astype(np.float16))
        seconds += sum(map(length, some)) / SAMPLE_RATE
        if i // WINDOWS % 10 == 9:
            rate = seconds / (time.monotonic() - started)
            print(
                f"{folder}: {i + len(some)} of {len(windows)}, {rate:.0f} x real time", flush=True
            )
    print(f"{folder}: {len(writer.windows)} windows, {len(windows)} of them new", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and dev/")
    parser.add_argument("--more", type=Path, nargs="*", default=[], help="further training corpora")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--teachers", type=Path, default=Path("runs/teachers"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bf16", action="store_true", help="layers in bfloat16: needs AMX to pay")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train, dev = load_splits(args.data, args.cache, args.more)
    for name, corpus in (("dev", dev), ("train", train)):
        cache_latents(corpus, args.cache / "latents" / name, args.teachers, args.bf16)


if __name__ == "__main__":
    main()
