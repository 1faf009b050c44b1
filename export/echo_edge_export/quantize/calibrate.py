"""One calibration for all engines: SmoothQuant folded into the float model, then the range of every
linear's input over real audio, streamed as the board streams it.
"""

import copy
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from echo_edge.errors import EchoError
from echo_edge_export.model.echo import Block, Echo
from echo_edge_export.model.streaming import EncoderStep, graph_inputs

MARGIN = 1.15
"""Ranges are widened by 15 %: what was not seen in calibration must not saturate."""

SMOOTHING = 0.7
"""SmoothQuant's alpha: how much of the activations' spread moves into the weights."""

MIN_PART = 0.1
"""What a channel is taken to contribute at least, of what the middle one does. A channel that was
silent in calibration is silent no longer some day, and must not drown the others then."""


Ranges = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Calibration:
    """Input and output range of every linear, by its name in the model."""

    ranges: Ranges
    outputs: Ranges = field(default_factory=dict)
    """Only engines whose integer products have integer results need them (LiteRT, ExecuTorch)."""
    smoothing: float = SMOOTHING
    """What `smooth` was done with."""

    def quantization(self, name: str) -> tuple[float, int]:
        """Scale and zero point of the unsigned 8-bit input of one linear."""
        return _quantization(*self.ranges[name])

    def output_quantization(self, name: str, relu: bool = False) -> tuple[float, int]:
        """Scale and zero point of the unsigned 8-bit output of one linear, or of the ReLU after
        it. EchoError for a calibration from before outputs were kept."""
        if name not in self.outputs:
            raise EchoError(
                f"{name}: the calibration holds no output range, expected one for this engine: "
                "calibrate again with --calibrate AUDIO ..."
            )
        low, high = self.outputs[name]
        return _quantization(0.0 if relu else low, high)

    def to_json(self) -> str:
        """Deterministic text for the bundle."""
        rows = {kind: _rounded(r) for kind, r in (("ranges", self.ranges), ("out", self.outputs))}
        return json.dumps({"margin": MARGIN, "smoothing": self.smoothing, **rows}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Calibration":
        """The inverse of `to_json`. ValueError or KeyError for anything else."""
        stored = json.loads(text)
        kinds = (stored["ranges"], stored.get("out", {}))
        ranges, outputs = (
            {n: (float(low), float(high)) for n, (low, high) in r.items()} for r in kinds
        )
        return cls(ranges, outputs, float(stored["smoothing"]))


def _quantization(low: float, high: float) -> tuple[float, int]:
    low, high = min(low * MARGIN, 0.0), max(high * MARGIN, 0.0)
    scale = max(high - low, 1e-6) / 255.0
    return float(np.float32(scale)), round(-low / scale)


def _rounded(ranges: Ranges) -> dict[str, list[float]]:
    return {k: [float(np.float32(v)) for v in r] for k, r in sorted(ranges.items())}


@dataclass
class Statistics:
    """Smallest and largest input and output of a linear, and the largest magnitude of each input
    channel."""

    input: tuple[float, float]
    output: tuple[float, float]
    channels: Tensor

    def __or__(self, other: "Statistics") -> "Statistics":
        return Statistics(
            _wider(self.input, other.input),
            _wider(self.output, other.output),
            torch.maximum(self.channels, other.channels),
        )


def _wider(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return min(one[0], other[0]), max(one[1], other[1])


@contextmanager
def _observed(model: nn.Module) -> Iterator[dict[str, Statistics]]:
    """Collect `Statistics` of every linear while the context is open."""
    seen: dict[str, Statistics] = {}

    def observe(name: str, _: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x, y = inputs[0].detach(), output.detach()
        now = Statistics(
            (float(x.min()), float(x.max())),
            (float(y.min()), float(y.max())),
            x.flatten(0, -2).abs().amax(0),
        )
        seen[name] = seen[name] | now if name in seen else now

    hooks = [
        module.register_forward_hook(partial(observe, name))
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def stream(
    model: Echo, pcm: NDArray[np.float32], chunk_steps: int, voices: Tensor | None = None
) -> dict[str, Tensor]:
    """All graphs over one recording (float32, 16 kHz) exactly as a board runs them; the outputs of
    every graph, concatenated over time. The eager reference of parity tests. `voices`
    `[1, K, embedding_dim]` are known to the separation from the start; none by default."""
    config = model.config
    size = chunk_steps * config.step_samples
    padded = np.pad(pcm, (0, -len(pcm) % size)).astype(np.float32)
    inputs = graph_inputs(config, chunk_steps)
    encoder = EncoderStep(model, chunk_steps)
    front = inputs["frontend"]["pcm_state"]
    states = list(inputs["encoder"].values())[1:]
    asr_state = inputs["asr"]["asr_state"]
    voices = inputs["separation"]["voices"] if voices is None else voices
    slot_states = list(inputs["separation"].values())[4:]
    pieces: dict[str, list[Tensor]] = {}

    def keep(**outputs: Tensor) -> None:
        for name, tensor in outputs.items():
            pieces.setdefault(name, []).append(tensor)

    for start in range(0, len(padded), size):
        chunk = torch.from_numpy(padded[start : start + size])[None]
        features, spectrum, front = model.frontend(chunk, front)
        final, diarization, speaker, asr, separation, *states = encoder(features, *states)
        logprobs, sounds, asr_state = model.asr(asr, asr_state)
        separated = model.separation(separation, features, spectrum, voices, *slot_states)
        slot_states = list(separated[2:])
        keep(
            features=features, latents=final, latents_diarization=diarization,
            latents_speaker=speaker, latents_asr=asr, latents_separation=separation,
            asr=logprobs, phones=sounds, sources=separated[0], presence=separated[1],
        )  # fmt: skip
    stacked = ("sources", "presence")
    joined = {k: torch.stack(v) if k in stacked else torch.cat(v, dim=1) for k, v in pieces.items()}
    window = config.window_steps
    logprobs, embeddings = [], []
    for end in range(window, joined["latents"].shape[1] + 1, window):
        part = slice(end - window, end)
        logprobs.append(
            model.diarization(joined["latents_diarization"][:, part], torch.ones(1, window))
        )
        weights = torch.ones(1, 1, window)
        embeddings.append(model.speaker(joined["latents_speaker"][:, part], weights))
    if logprobs:
        joined |= {"diarization": torch.cat(logprobs, 1), "speaker": torch.cat(embeddings, 1)}
    return joined


def _fold(divide: Iterable[Tensor], multiply: Iterable[Tensor], factor: Tensor) -> None:
    """Divide rows and multiply columns by the same factors: the product stays what it was."""
    for tensor in divide:
        tensor.div_(factor if tensor.ndim == 1 else factor[:, None])
    for tensor in multiply:
        tensor.mul_(factor)


@torch.no_grad()
def smooth(model: Echo, statistics: dict[str, Statistics]) -> Echo:
    """SmoothQuant (Xiao et al., ICML 2023) folded into a copy: norms into `qkv_gate` and `fc1`,
    values into `proj`, `fc1` through its ReLU into `fc2`. Exact in float.

    What channel j contributes, `p = max |x_j| max |w_j|`, no factor changes; its weights become
    `p ** alpha`, its activations `p ** (1 - alpha)`.
    """
    smoothed = copy.deepcopy(model)
    d = model.config.d_model
    for i, module in enumerate(smoothed.encoder.blocks):
        block: Any = module
        assert isinstance(block, Block)  # noqa: S101

        def factor(linear: nn.Linear, part: str, index: int = i) -> Tensor:
            weights = linear.weight.abs().amax(0).clamp(min=1e-7)
            parts = statistics[f"encoder.blocks.{index}.{part}"].channels * weights
            active = parts[parts > 0]
            if not len(active):
                return torch.ones_like(weights)
            raw = parts.clamp(min=MIN_PART * float(active.median())) ** SMOOTHING / weights
            return raw / raw.log().mean().exp()

        norm1, norm2 = (
            [block.norm1.weight, block.norm1.bias],
            [block.norm2.weight, block.norm2.bias],
        )
        _fold(norm1, [block.qkv_gate.weight], factor(block.qkv_gate, "qkv_gate"))
        values = [block.qkv_gate.weight[2 * d : 3 * d], block.qkv_gate.bias[2 * d : 3 * d]]
        _fold(values, [block.proj.weight], factor(block.proj, "proj"))
        _fold(norm2, [block.fc1.weight], factor(block.fc1, "fc1"))
        _fold([block.fc1.weight, block.fc1.bias], [block.fc2.weight], factor(block.fc2, "fc2"))
    return smoothed


def observed_ranges(module: nn.Module, run: Callable[[], object]) -> tuple[Ranges, Ranges]:
    """Input and output ranges of a module's linears, by name in it, while `run` is called."""
    with _observed(module) as seen:
        run()
    return {name: s.input for name, s in seen.items()}, {name: s.output for name, s in seen.items()}


def observe_ranges(model: Echo, clips: list[NDArray[np.float32]], chunk_steps: int) -> Calibration:
    """The ranges of a model's linears over recordings (16 kHz float32), as it is; the separation
    hears each clip twice, the second time with its first speaker known."""
    with _observed(model) as seen:
        for clip in clips:
            blind = stream(model, clip, chunk_steps)
            if "speaker" in blind:  # at least one whole window
                voices = graph_inputs(model.config, chunk_steps)["separation"]["voices"]
                voices[:, 0] = blind["speaker"][:, 0]
                stream(model, clip, chunk_steps, voices)
    return Calibration(
        {name: s.input for name, s in seen.items()}, {name: s.output for name, s in seen.items()}
    )


def calibrate(
    model: Echo, recordings: Iterable[NDArray[np.float32]], chunk_steps: int
) -> tuple[Echo, Calibration]:
    """The smoothed model and the ranges of its linears over `recordings` (16 kHz float32)."""
    clips = list(recordings)
    with _observed(model) as before:
        for clip in clips:
            stream(model, clip, chunk_steps)
    smoothed = smooth(model, before)
    return smoothed, observe_ranges(smoothed, clips, chunk_steps)
