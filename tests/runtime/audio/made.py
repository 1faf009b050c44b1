"""What the tests of the audio readers share: a signal, files that other programs made, and what
they hear in them."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from echo_edge.audio import SAMPLE_RATE, Array
from echo_edge.audio.pieces import Cut
from echo_edge.audio.read import file_pieces
from echo_edge.errors import AudioError


def noise(seconds: float, rate: int = SAMPLE_RATE, channels: int = 1) -> Array:
    """A tone in noise, float32 `[frames, channels]`, different in each channel."""
    random = np.random.default_rng(0)
    n_frames = round(seconds * rate)
    tone = 0.3 * np.sin(2 * np.pi * 300 * np.arange(n_frames) / rate)
    return (tone[:, None] + 0.05 * random.standard_normal((n_frames, channels))).astype(np.float32)


def read(blocks: Iterator[Array]) -> tuple[Array, str]:
    """Everything that was yielded, and the error that ended it or nothing."""
    held = [np.empty(0, np.float32)]
    try:
        held.extend(blocks)
    except AudioError as error:
        return np.concatenate(held), str(error)
    return np.concatenate(held), ""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def run(*command: str | os.PathLike[str], data: bytes | None = None) -> bytes:
    """What a program writes to stdout."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}")
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    assert done.returncode == 0, (command, done.stderr[-500:])
    return done.stdout


def by_ffmpeg(path: Path, channels: int) -> Array:
    """Float32 `[frames, channels]` at the file's own rate."""
    found = run("ffmpeg", "-v", "quiet", "-i", path, "-map", "0:a:0", "-f", "f32le", "-")
    return np.frombuffer(found, "<f4").reshape(-1, channels)


def decoded(path: Path) -> tuple[Array, str]:
    """Float32 `[frames, channels]` at the file's own rate, and what was said of the rest."""
    held: list[Array] = []
    with path.open("rb", buffering=0) as file:
        try:
            held.extend(piece.frames for piece in file_pieces(file, "file"))
        except Cut as cut:
            return np.concatenate(held), str(cut)
    return np.concatenate(held), ""


def snr_db(samples: Array, expected: Array) -> float:
    error = float(((samples - expected).astype(np.float64) ** 2).sum())
    return 10 * np.log10(float((expected.astype(np.float64) ** 2).sum()) / max(error, 1e-30))
