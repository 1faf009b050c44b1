"""Two stretches of a conversation with pauses around them, as a 16-bit WAV: make_clip.py IN OUT.

5 s of quiet, 12 s of talk, 10 s of quiet, 8 s of talk, 6 s of quiet; over all of it the faint noise
of a room (about -58 dBFS), from a generator that gives the same numbers everywhere.
"""

import sys

RATE = 16_000
PARTS = ((5, None), (12, 0.5), (10, None), (8, 32.0), (6, None))
"""Seconds, and where in the recording they start; None is quiet."""


def hiss(n: int) -> list[int]:
    """`n` samples of noise: sums of four numbers between -32 and 31."""
    state, out = 1, []
    for _ in range(n):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append(sum((state >> shift & 63) - 32 for shift in (32, 40, 48, 56)))
    return out


def main() -> None:
    """Read, place, write."""
    import numpy as np
    import soundfile

    source, target = sys.argv[1:]
    recording, rate = soundfile.read(source, dtype="int16")
    if rate != RATE or recording.ndim != 1:
        sys.exit(f"{source}: found {rate} Hz, expected 16 kHz, mono")
    parts = [
        np.zeros(seconds * RATE, np.int32)
        if start is None
        else recording[int(start * RATE) :][: seconds * RATE].astype(np.int32)
        for seconds, start in PARTS
    ]
    clip = np.concatenate(parts)
    clip += np.array(hiss(len(clip)), np.int32)
    samples = np.clip(clip, -32768, 32767).astype(np.int16)
    soundfile.write(target, samples, RATE, subtype="PCM_16", format="WAV")


if __name__ == "__main__":
    main()
