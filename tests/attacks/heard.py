"""Seconds heard, by the audio readers and by FFmpeg (PyAV), of files that are joined, cut short,
damaged, or whose headers tell another length. `fuzz.py heard` runs it, led by what of the readers
each input reaches; `heard.py N [SEED]` makes N files at random, faster. An input that fails is
printed as hex, and `heard.py HEX` runs it again."""

import io
import os
import random
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import atheris
import av
import numpy as np
import soundfile

from echo_edge import audio
from echo_edge.errors import AudioError

FOLDER = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - fast
FILE = Path(tempfile.mkdtemp(dir=FOLDER)) / "input"
SIZES = (0, 1, 8, 100, 0x7FFFF000, 0x7FFFFF00, 0x80000000, 0xFFFFFFD8, 0xFFFFFFFF)
TAILS = {
    "none": b"",
    "LIST": b"LIST\x1a\0\0\0INFOISFT\x0d\0\0\0Lavf59.27.100\0",
    "id3 ": b"id3 \x0c\0\0\0ID3\x03\0\0\0\0\0\x02\0\0",
    "TAG": b"TAG" + bytes(125),
    "APE": b"APETAGEX\xd0\x07\0\0" + struct.pack("<III", 32, 0, 0) + bytes(8),
}
FITTING = {"RIFF": ("LIST", "id3 "), "MP3": ("TAG", "APE")}
PLAIN = ("RIFF", "W64", "AIFF", "CAF", "AU")
HEAD_BYTES = 128
TOLERANCE_S = 0.2
"""Four frames of MP3 at 16 kHz, of which an index may say that they are padding."""


class Seed(NamedTuple):
    """A whole file."""

    family: str
    data: bytes
    seconds: float
    size_at: int = 0


def _sound(family: str, rate: int, channels: int, **options: object) -> Seed:
    noise = np.random.default_rng(rate + channels).normal(0, 0.1, (rate * 2 // 5, channels))
    data = io.BytesIO()
    soundfile.write(data, noise, rate, **options)
    found = data.getvalue()
    size_at = found.find(b"data") + 4 if options["format"] == "WAV" else 0
    return Seed(family, found, 0.4, size_at)


def _media(suffix: str, *options: str) -> Seed:
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "anoisesrc=d=0.4:r=16000:a=0.1",
        *options,
    ]
    path = FILE.with_suffix(suffix)
    subprocess.run([*command, str(path)], check=True)
    return Seed(suffix, path.read_bytes(), _theirs(path))


def fuzz_heard(data: bytes) -> None:
    """One file made as `data` says, read in three ways."""
    made = _Made(atheris.FuzzedDataProvider(data))
    FILE.write_bytes(made.data)
    with _no_stderr():
        ours, said = _read(audio.read_blocks(FILE, 1.0))
        if not made.damaged or len(made.data) % 4 == 0:
            piped, piped_said = _read(audio.stdin_blocks(io.BytesIO(made.data), 0.1))
    theirs = _theirs()
    context = f"{made.story}: heard {len(ours) / 16000:.3f} s, FFmpeg {theirs:.3f} s, said {said!r}"
    assert said.isprintable(), context
    heard = len(ours) / 16000
    # A damaged head behind others may be a sound one that tells fewer samples: only we read it.
    # FFmpeg makes audio of the index and of the padding of each MP3 that follows another.
    assert made.other_heads or said or heard > min(theirs, made.seconds) - TOLERANCE_S, context
    if made.damaged:
        return
    if len(made.data) < 256:
        return  # too little to be recognised in a pipe
    assert np.array_equal(ours, piped), (context, len(piped), piped_said)
    assert bool(said) == bool(piped_said), (context, piped_said)
    assert heard < made.seconds + TOLERANCE_S, context
    if made.whole:
        assert not said, context
        assert heard > made.seconds - TOLERANCE_S, context


class _Made:
    """A file put together, and what is known of it."""

    def __init__(self, choose: atheris.FuzzedDataProvider) -> None:
        seed = SEEDS[choose.ConsumeIntInRange(0, len(SEEDS) - 1)]
        family = [other for other in SEEDS if other.family == seed.family]
        n_more = choose.ConsumeIntInRange(0, 2)
        parts = [seed]
        parts += [family[choose.ConsumeIntInRange(0, len(family) - 1)] for _ in range(n_more)]
        self.damaged = self.whole = self.other_heads = False
        starts = np.cumsum([len(part.data) for part in parts])[:-1]
        self.seconds = sum(part.seconds for part in parts)
        self.whole = len(parts) == 1 or seed.family != ".m4a"
        made = bytearray(b"".join(part.data for part in parts))
        self.story = f"{seed.family} x {len(parts)}"
        if seed.size_at and len(parts) == 1 and choose.ConsumeBool():
            size = SIZES[choose.ConsumeIntInRange(0, len(SIZES) - 1)]
            made[seed.size_at : seed.size_at + 4] = struct.pack("<I", size)
            self.story += f", size {size:#x}"
        elif (tails := FITTING.get(seed.family)) and choose.ConsumeBool():
            tail = tails[choose.ConsumeIntInRange(0, len(tails) - 1)]
            made += TAILS[tail]
            self.story += f", {tail}"
        elif choose.ConsumeBool():
            del made[choose.ConsumeIntInRange(1, len(made)) :]
            self.whole = False
            self.story += f", cut at {len(made)}"
        if choose.ConsumeBool():
            self.damaged = True
            for _ in range(choose.ConsumeIntInRange(1, 4)):
                at = choose.ConsumeIntInRange(0, len(made) - 1)
                piece = choose.ConsumeBytes(choose.ConsumeIntInRange(1, 40))
                made[at : at + len(piece)] = piece
                hit = [start - len(piece) < at < start + HEAD_BYTES for start in starts]
                self.other_heads |= seed.family in PLAIN and any(hit)
                self.story += f", {len(piece)} bytes at {at}"
        self.data = bytes(made)


def _read(blocks: Iterator[audio.Array]) -> tuple[audio.Array, str]:
    held = [np.empty(0, np.float32)]
    try:
        held.extend(blocks)
    except AudioError as error:
        return np.concatenate(held), str(error)
    return np.concatenate(held), ""


def _theirs(path: Path = FILE) -> float:
    """Seconds that FFmpeg decodes of the first audio track, however damaged."""
    seconds = 0.0
    try:
        with av.open(str(path), options={"protocol_whitelist": "file"}) as container:
            if not container.streams.audio:
                return 0.0
            for packet in container.demux(container.streams.audio[0]):
                try:
                    seconds += sum(frame.samples / frame.sample_rate for frame in packet.decode())
                except (av.FFmpegError, ValueError):
                    continue
    except (av.FFmpegError, OSError, ValueError, IndexError):
        pass
    return seconds


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Fail if a byte is written to descriptor 2."""
    with open(os.memfd_create("stderr"), "r+b", buffering=0) as said:  # noqa: PTH123
        real = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(real, 2)
            os.close(real)
        said.seek(0)
        written = said.read()
    assert not written, written


SEEDS = [
    _sound("RIFF", 16000, 1, format="WAV", subtype="PCM_16"),
    _sound("RIFF", 8000, 2, format="WAV", subtype="PCM_24"),
    _sound("RIFF", 11025, 3, format="WAV", subtype="FLOAT"),
    _sound("RIFF", 8000, 1, format="WAV", subtype="ULAW"),
    _sound("RIFF", 16000, 1, format="RF64", subtype="PCM_16"),
    _sound("W64", 16000, 1, format="W64", subtype="PCM_16"),
    _sound("AIFF", 8000, 2, format="AIFF", subtype="PCM_16"),
    _sound("CAF", 16000, 1, format="CAF", subtype="PCM_16"),
    _sound("AU", 16000, 1, format="AU", subtype="PCM_16"),
    _sound("FLAC", 16000, 1, format="FLAC", subtype="PCM_16"),
    _sound("FLAC", 8000, 2, format="FLAC", subtype="PCM_24"),
    _sound("Ogg", 16000, 1, format="OGG", subtype="VORBIS"),
    _sound("Ogg", 8000, 2, format="OGG", subtype="VORBIS"),
    _sound("Ogg", 48000, 1, format="OGG", subtype="OPUS"),
    _sound("MP3", 16000, 1, format="MP3"),
    _sound("MP3", 44100, 2, format="MP3"),
    _sound("MP3", 16000, 1, format="MP3", bitrate_mode="VARIABLE", compression_level=0.5),
    _media(".webm", "-c:a", "libopus"),
    _media(".m4a", "-c:a", "aac"),
]


def main() -> None:
    count, seed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
    if not count.isdecimal():
        fuzz_heard(bytes.fromhex(count))
        return
    for number in range(int(count)):
        data = random.Random(seed << 32 | number).randbytes(96)
        try:
            fuzz_heard(data)
        except Exception:
            print(f"after {number} inputs: {data.hex()}", flush=True)
            raise
    print(f"{count} inputs, seed {seed}")


if __name__ == "__main__":
    main()
