"""Teachers' outputs for every utterance, written once to a cache that training reads.

    python -m training.teachers.cache --data DATA --cache runs/cache --teachers runs/teachers

`CACHE/latents/SPLIT` gets Whisper's latents (`latents.LatentStore`), `CACHE/voices/SPLIT` CAM++'s
frames of some speech of every voice (`voices.VoiceStore`), `CACHE/turns/SPLIT` the segmentation's
posteriors of recordings nobody labelled (`turns.TurnStore`). A run that was stopped goes on where
it was; a corpus that got more utterances gets only theirs; a folder is whole at any moment.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.corpora.data import SAMPLE_RATE, Corpus, Pcm, load_splits
from training.teachers import latents, segmentation, voices
from training.teachers.campplus import CHANNELS, CamPlusPlus
from training.teachers.fetch import describe
from training.teachers.whisper import Whisper
from training.teachers.windows import Window, WindowFile, length, speech

Run = Callable[[Sequence[Pcm]], NDArray[np.float32]]

KINDS = ("latents", "voices", "turns")


def add(corpus: Corpus, file: WindowFile, windows: list[Window], run: Run, batch: int) -> None:
    """Write what `run` says of each window, `batch` at once, and how fast it goes."""
    utterances = {u.id: u for u in corpus.utterances}
    seconds, started, said = 0.0, time.monotonic(), time.monotonic()
    for i in range(0, len(windows), batch):
        some = windows[i : i + batch]
        heard = [speech(corpus, utterances, window, 0, length(window)) for window in some]
        file.add(some, run(heard).astype(np.float16))
        seconds += sum(map(length, some)) / SAMPLE_RATE
        if time.monotonic() - said > 60:
            said = time.monotonic()
            rate = seconds / (said - started)
            place = f"{file.folder}: {i + len(some)} of {len(windows)}"
            print(f"{place}, {rate:.0f} x real time", flush=True)
    print(f"{file.folder}: {len(file.windows)} windows, {len(windows)} of them new", flush=True)


def cache_latents(corpus: Corpus, folder: Path, teachers: Path, bf16: bool) -> None:
    """Whisper's latents of every utterance."""
    teacher = describe(teachers, "whisper-base") | {"bf16": str(bf16)}
    file = WindowFile(folder, "latents.f16", (latents.FRAMES, latents.WIDTH), teacher)
    whisper = Whisper(teachers / "whisper-base", bf16)
    add(corpus, file, latents.plan(corpus, file.ids()), whisper.latents, 8)


def cache_voices(corpus: Corpus, folder: Path, teachers: Path) -> None:
    """CAM++'s frames of some speech of every voice, and the layer that makes embeddings of them."""
    shape = (voices.STEPS, CHANNELS)
    file = WindowFile(folder, "voices.f16", shape, describe(teachers, "campplus"))
    model = CamPlusPlus(teachers / "campplus")

    def frames(heard: Sequence[Pcm]) -> NDArray[np.float32]:
        rows = np.zeros((len(heard), *shape), np.float32)
        for row, pcm in zip(rows, heard, strict=True):
            said = model.frames(pcm)
            row[: len(said)] = said
        return rows

    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "pooling.npz", weight=model.weight.numpy(), bias=model.bias.numpy())
    add(corpus, file, voices.plan(corpus, file.ids()), frames, 16)


def cache_turns(corpus: Corpus, folder: Path, teachers: Path) -> None:
    """The segmentation's posteriors of recordings nobody labelled."""
    shape = (segmentation.STEPS, segmentation.CLASSES)
    file = WindowFile(folder, "turns.f16", shape, describe(teachers, "segmentation"))
    model = segmentation.Segmentation(teachers / "segmentation")
    add(corpus, file, segmentation.plan(corpus, file.ids()), model.posteriors, 32)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and dev/")
    parser.add_argument("--more", type=Path, nargs="*", default=[], help="further training corpora")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--teachers", type=Path, default=Path("runs/teachers"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=KINDS, default=KINDS)
    parser.add_argument("--bf16", action="store_true", help="latents in bfloat16: pays with AMX")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train, dev = load_splits(args.data, args.cache, args.more)
    for split, corpus in (("dev", dev), ("train", train)):
        if "latents" in args.only:
            folder = args.cache / "latents" / split
            cache_latents(corpus, folder, args.teachers, args.bf16)
        if "voices" in args.only:
            cache_voices(corpus, args.cache / "voices" / split, args.teachers)
        if "turns" in args.only:
            cache_turns(corpus, args.cache / "turns" / split, args.teachers)


if __name__ == "__main__":
    main()
