"""Synthesize the demonstration conversation: audio, reference turns (RTTM) and texts (JSON).

    python -m demo.make_conversation --out demo/

The text is ours and the voices are Debian's flite: slt, rms and awb. Training must never use
these three voices, so the demonstration is always about unseen speakers. Same flite version, same
reference turns, because each turn is where its utterance was placed. Needs `flite` on PATH.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from demo.script import LINES, SPEAKERS, Line, Voice

Samples = NDArray[np.float64]

SAMPLE_RATE = 16_000
FRAME = SAMPLE_RATE // 100
"""10 ms: trimming and placement stay on this grid, so the reference times are exact."""
LEAD_IN_S = 0.5
LEAD_OUT_S = 1.0
REVERBERATION_S = 0.25
"""RT60 of the room."""
DIRECT_TO_REVERBERANT_DB = 9.0
NOISE_DB = -32.0
"""Room noise relative to the speech level of the loudest speaker."""
PEAK_DB = -3.0
SEED = 2024


@dataclass(frozen=True)
class Turn:
    """One placed utterance; seconds from the start of the file."""

    start_s: float
    end_s: float
    speaker: str
    text: str


def _gain(level_db: float) -> float:
    return float(10 ** (level_db / 20))


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(samples**2)))


def synthesize(voice: Voice, text: str) -> Samples:
    """Speech of one line without leading and trailing silence, at RMS 1, whole 10 ms frames."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "line.wav"
        stretch = f"duration_stretch={voice.stretch}"
        subprocess.run(
            ["flite", "-voice", voice.flite, "--setf", stretch, "-t", text, str(wav)], check=True
        )
        samples, sample_rate = soundfile.read(wav, dtype="float64")
    if sample_rate != SAMPLE_RATE:
        raise ValueError(f"flite voice {voice.flite}: {sample_rate} Hz, expected {SAMPLE_RATE}")
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    energy = np.mean(frames**2, axis=1)
    audible = np.flatnonzero(energy > energy.max() * 1e-4)  # 40 dB below the loudest frame
    speech: Samples = frames[audible[0] : audible[-1] + 1].reshape(-1)
    return speech / _rms(speech)


def room_response(rng: np.random.Generator) -> Samples:
    """Direct path of gain 1, then, 4 ms later, exponentially decaying noise."""
    tail = rng.standard_normal(int(REVERBERATION_S * SAMPLE_RATE))
    tail *= 10 ** (-3 * np.arange(tail.size) / tail.size)  # 60 dB down at REVERBERATION_S
    tail *= _gain(-DIRECT_TO_REVERBERANT_DB) / np.linalg.norm(tail)
    response = np.concatenate([np.zeros(SAMPLE_RATE // 250), tail])
    response[0] = 1.0
    return response


def pink_noise(length: int, rng: np.random.Generator) -> Samples:
    """Noise at RMS 1 whose power falls with frequency; flat below 40 Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    frequency = np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
    noise: Samples = np.fft.irfft(spectrum / np.sqrt(np.maximum(frequency, 40.0)), length)
    return noise / _rms(noise)


def place(lines: tuple[Line, ...], speech: list[Samples]) -> list[Turn]:
    """Put each line `gap_s` after the latest end so far: negative gaps make the overlaps."""
    turns: list[Turn] = []
    latest_end = LEAD_IN_S
    for line, samples in zip(lines, speech, strict=True):
        start = round(latest_end + (line.gap_s if turns else 0.0), 2)
        end = round(start + samples.size / SAMPLE_RATE, 2)
        turns.append(Turn(start, end, line.speaker, line.text))
        latest_end = max(latest_end, end)
    return turns


def mix(turns: list[Turn], speech: list[Samples]) -> Samples:
    """Sum of the speakers, each at its level and place in the room, and of the room's noise."""
    rng = np.random.default_rng(SEED)
    responses = {name: room_response(rng) for name in SPEAKERS}
    length = round((max(turn.end_s for turn in turns) + LEAD_OUT_S) * SAMPLE_RATE)
    audio = pink_noise(length, rng) * _gain(NOISE_DB)
    for turn, samples in zip(turns, speech, strict=True):
        heard = np.convolve(samples, responses[turn.speaker])
        start = round(turn.start_s * SAMPLE_RATE)
        audio[start : start + heard.size] += heard * _gain(SPEAKERS[turn.speaker].level_db)
    return audio * (_gain(PEAK_DB) / float(np.max(np.abs(audio))))


def write(out: Path, turns: list[Turn], audio: Samples) -> None:
    """Write `conversation.flac`, `.rttm` and `.json`; turns in order of their start."""
    ordered = sorted(turns, key=lambda turn: turn.start_s)
    out.mkdir(parents=True, exist_ok=True)
    soundfile.write(out / "conversation.flac", audio, SAMPLE_RATE, subtype="PCM_16")
    rttm = (
        f"SPEAKER conversation 1 {turn.start_s:.3f} {turn.end_s - turn.start_s:.3f} "
        f"<NA> <NA> {turn.speaker} <NA> <NA>\n"
        for turn in ordered
    )
    (out / "conversation.rttm").write_text("".join(rttm), encoding="utf-8")
    reference = {"turns": [asdict(turn) for turn in ordered]}
    text = json.dumps(reference, indent=1, ensure_ascii=False) + "\n"
    (out / "conversation.json").write_text(text, encoding="utf-8")


def main() -> int:
    """Make the three files in `--out`."""
    parser = argparse.ArgumentParser(prog="python -m demo.make_conversation", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the three files")
    out: Path = parser.parse_args().out
    speech = [synthesize(SPEAKERS[line.speaker], line.text) for line in LINES]
    turns = place(LINES, speech)
    audio = mix(turns, speech)
    write(out, turns, audio)
    print(f"{out}: {len(turns)} turns, {audio.size / SAMPLE_RATE:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
