"""Write any recording of 16 kHz, mono, as a 16-bit WAV: to_wav.py IN OUT [SECONDS]."""

import sys


def main() -> None:
    """Read, cut, write."""
    import soundfile

    source, target, *seconds = sys.argv[1:]
    n_frames = int(16_000 * float(seconds[0])) if seconds else -1
    samples, rate = soundfile.read(source, frames=n_frames, dtype="int16")
    soundfile.write(target, samples, rate, subtype="PCM_16")


if __name__ == "__main__":
    main()
