"""The arithmetic of the voice-activity gate, bit for bit as `gate.c` of
`firmware_examples/cortex_m_gate` computes it: integers alone, whole recordings at a time.

Bounds are in the comments: nothing here leaves what a C `int32_t` (spectrum) or `int64_t`
(products, energies) holds.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

SAMPLE_RATE = 16_000
HOP, WINDOW = 320, 512
FRAME_S = HOP / SAMPLE_RATE
N_BANDS = 24
LOWEST_HZ, HIGHEST_HZ = 60.0, 7600.0
N_INPUTS = 2 * N_BANDS
FEATURE_SCALE, ACTIVATION_SCALE, SCORE_SCALE = 32, 16, 256
"""What 1.0 is as an integer: network inputs (12 dB), hidden activations, scores (log odds)."""
TAPS, MULTIPLIER_BITS = 3, 24
BLOCK_FRAMES = 2048

SINE = np.rint(32767 * np.sin(2 * np.pi * np.arange(385) / WINDOW)).astype(np.int64)
LOG2 = np.rint(256 * np.log2(1 + (np.arange(128) + 0.5) / 128)).astype(np.int64)


def _mel(hz: float) -> float:
    return float(1127.0 * np.log1p(hz / 700.0))


def _filters() -> tuple[Ints, Ints]:
    """For bins 1 to 255, which triangle they rise out of (its successor they rise into; 0 and
    N_BANDS + 1 are off the scale), and how far they have come, in 1/256."""
    low, high = _mel(LOWEST_HZ), _mel(HIGHEST_HZ)
    mels = np.array([_mel(k * SAMPLE_RATE / WINDOW) for k in range(1, 256)])
    place = np.clip((mels - low) / (high - low) * (N_BANDS + 1), 0, N_BANDS + 0.999)
    band = np.floor(place).astype(np.int64)
    part = np.minimum(np.rint(256 * (place - band)), 255).astype(np.int64)
    outside = (mels <= low) | (mels >= high)
    part[outside] = 0
    band[outside] = 0
    return band, part


BAND, PART = _filters()
_MATRIX = np.zeros((255, N_BANDS + 2), np.int64)
_MATRIX[np.arange(255), BAND] += 256 - PART
_MATRIX[np.arange(255), BAND + 1] += PART
_COS, _SIN = SINE[128:384], SINE[:256]
_HANN = (32768 - np.concatenate([SINE[128:385], SINE[128:384][:0:-1]])) >> 1
_REVERSED = np.array([int(f"{i:08b}"[::-1], 2) for i in range(256)])


@dataclass(frozen=True)
class Layer:
    """A causal convolution: int8 weights `[out, taps, in]` (the oldest tap first), and per
    output a bias (int32) and what 2^-24 of the sum is worth (int32)."""

    weights: Ints
    bias: Ints
    multiplier: Ints
    dilation: int


@dataclass(frozen=True)
class Rules:
    """Decision rules of the gate: levels are scores, smoothed over about 80 ms."""

    speech_level: int
    """From this on a frame counts as speech."""
    wake_level: int
    wake_frames: int = 5
    """So many frames in a row at `wake_level` wake."""
    hangover_frames: int = 100
    """So many frames in a row below `speech_level` send back to sleep."""


@dataclass(frozen=True)
class Gate:
    """Contents of `gate_weights.h`."""

    layers: tuple[Layer, ...]
    rules: Rules

    def scores(self, pcm: NDArray[np.int16]) -> Ints:
        """Log odds of speech, in 1/256, of every whole frame of 20 ms."""
        return network(self.layers, features(levels(pcm)))


def levels(pcm: NDArray[np.int16]) -> Ints:
    """Log2 energies `[frames, bands]`, in 1/256, of the frames' windows: the last 512 samples."""
    n_frames = len(pcm) // HOP
    padded = np.concatenate([np.zeros(WINDOW - HOP, np.int16), pcm[: n_frames * HOP]])
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] if n_frames else padded
    out = [np.zeros((0, N_BANDS), np.int64)]
    for first in range(0, n_frames, BLOCK_FRAMES):
        power = _power(frames[first : first + BLOCK_FRAMES].astype(np.int64))
        energy = (power >> 8) @ _MATRIX  # at most 2^61: the window's power is at most 2^61
        out.append(_log2(energy[:, 1:-1] + 2**20))
    return np.concatenate(out)


def _power(frames: Ints) -> Ints:
    """Power of bins 1 to 255. Windowed samples have 7 bits after the point; the sum of their
    magnitudes, and so every value of the transform, is at most 2^30."""
    samples = (frames * _HANN + 128) >> 8
    re, im = samples[:, 0::2][:, _REVERSED], samples[:, 1::2][:, _REVERSED]
    half = 1
    while half < 256:
        c, s = _COS[:: 256 // half], _SIN[:: 256 // half]
        re, im = (part.reshape(len(frames), -1, 2, half) for part in (re, im))
        turned_re, turned_im = _turn(re[:, :, 1], im[:, :, 1], c, s)
        re = np.stack([re[:, :, 0] + turned_re, re[:, :, 0] - turned_re], 2).reshape(-1, 256)
        im = np.stack([im[:, :, 0] + turned_im, im[:, :, 0] - turned_im], 2).reshape(-1, 256)
        half *= 2
    back_re, back_im = re[:, :0:-1], im[:, :0:-1]
    re, im = re[:, 1:], im[:, 1:]
    odd = _turn((im + back_im) >> 1, (back_re - re) >> 1, _COS[1:], _SIN[1:])
    return (((re + back_re) >> 1) + odd[0]) ** 2 + (((im - back_im) >> 1) + odd[1]) ** 2


def _turn(re: Ints, im: Ints, c: Ints, s: Ints) -> tuple[Ints, Ints]:
    """A complex number times c - is, both with 15 bits after the point."""
    return (re * c + im * s + 2**14) >> 15, (im * c - re * s + 2**14) >> 15


def _log2(values: Ints) -> Ints:
    """Base-2 logarithm in 1/256; values from 1 to 2^62 - 1."""
    exponent = np.frexp(values.astype(np.float64))[1].astype(np.int64) - 1
    exponent -= (values >> exponent) == 0  # where the float was rounded up
    return exponent * 256 + LOG2[((values << (62 - exponent)) >> 55) & 127]


def features(energies: Ints) -> Ints:
    """Inputs of the network `[frames, 48]`, int8: each band above the noise floor that it
    follows (down in 0.1 s, up by 0.6 dB a second and more), and above the mean of all bands."""
    floor = energies[0].copy() if len(energies) else np.zeros(N_BANDS, np.int64)
    above = np.empty_like(energies)
    for row, energy in zip(above, energies, strict=True):
        distance = energy - floor
        floor += np.where(distance < 0, distance >> 3, 1 + (distance >> 10))
        row[:] = energy - floor
    shape = energies - (energies.sum(1) // N_BANDS)[:, None]
    return np.clip(np.concatenate([above, shape], 1) >> 5, -128, 127)


def network(layers: tuple[Layer, ...], inputs: Ints) -> Ints:
    """Scores `[frames]`; nothing was heard before the first frame."""
    values = inputs
    for layer in layers[:-1]:
        values = np.clip(_convolve(layer, values), 0, 127)
    return np.clip(_convolve(layers[-1], values)[:, 0], -32768, 32767)


def _convolve(layer: Layer, inputs: Ints) -> Ints:
    taps, n_frames = layer.weights.shape[1], len(inputs)
    before = np.zeros(((taps - 1) * layer.dilation, inputs.shape[1]), np.int64)
    padded = np.concatenate([before, inputs]).astype(np.float64)  # exact: sums stay below 2^53
    sums = layer.bias + sum(
        padded[tap * layer.dilation :][:n_frames] @ layer.weights[:, tap].T for tap in range(taps)
    )
    total = np.asarray(sums).astype(np.int64)
    return (total * layer.multiplier + 2 ** (MULTIPLIER_BITS - 1)) >> MULTIPLIER_BITS


def decide(scores: Ints, rules: Rules) -> tuple[Flags, Flags]:
    """Flags of frames: speech, and gate awake."""
    speech, awake = np.zeros(len(scores), bool), np.zeros(len(scores), bool)
    level, run, is_awake = rules.speech_level - SCORE_SCALE, 0, False
    for frame, score in enumerate(scores.tolist()):
        level += (score - level) >> 2
        speech[frame] = level >= rules.speech_level
        against = level < rules.speech_level if is_awake else level >= rules.wake_level
        run = run + 1 if against else 0
        if run == (rules.hangover_frames if is_awake else rules.wake_frames):
            is_awake, run = not is_awake, 0
        awake[frame] = is_awake
    return speech, awake


def write_header(path: Path, gate: Gate, remark: str) -> None:
    """`gate_weights.h`: tables and weights for `gate.c`."""
    lines = [f"/* {remark} */", "#ifndef GATE_WEIGHTS_H", "#define GATE_WEIGHTS_H", ""]
    lines += ["#include <stdint.h>", ""]
    for name, value in vars(gate.rules).items():
        lines.append(f"#define GATE_{name.upper()} {value}")
    tables = [("sine", 16, SINE), ("log2", 8, LOG2), ("band", 8, BAND), ("part", 8, PART)]
    for number, layer in enumerate(gate.layers, 1):
        lines.append(f"#define GATE_DILATION_{number} {layer.dilation}")
        tables += [
            (f"weights_{number}", 8, layer.weights),
            (f"bias_{number}", 32, layer.bias),
            (f"multiplier_{number}", 32, layer.multiplier),
        ]
    for name, bits, values in tables:
        signed = "u" if name in ("log2", "band", "part") else ""
        shape = "".join(f"[{n}]" for n in (values.shape if values.ndim < 3 else [values.size]))
        lines += ["", f"static const {signed}int{bits}_t gate_{name}{shape} = {{"]
        numbers = values.ravel().tolist()
        lines += [
            "    " + " ".join(f"{n}," for n in numbers[at : at + 20])
            for at in range(0, len(numbers), 20)
        ]
        lines.append("};")
    path.write_text("\n".join([*lines, "", "#endif", ""]), encoding="ascii")


def read_header(path: Path) -> Gate:
    """The gate that `write_header` wrote."""
    text = path.read_text(encoding="ascii")
    found = {n.lower(): int(v) for n, v in re.findall(r"#define GATE_(\w+) (-?\d+)\n", text)}
    tables = {
        name: np.array(numbers.replace(",", " ").split(), np.int64)
        for name, numbers in re.findall(r"gate_(\w+)\[\d+\] = \{([^}]*)\}", text)
    }
    layers = []
    for number in range(1, 1 + sum(name.startswith("bias_") for name in tables)):
        bias, taps = tables[f"bias_{number}"], TAPS if found[f"dilation_{number}"] else 1
        weights = tables[f"weights_{number}"].reshape(len(bias), taps, -1)
        layers.append(
            Layer(weights, bias, tables[f"multiplier_{number}"], found[f"dilation_{number}"])
        )
    names = Rules.__dataclass_fields__
    return Gate(tuple(layers), Rules(**{name: found[name] for name in names}))
