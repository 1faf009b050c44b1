"""PCM to log-mel features and spectrum, and spectrum back to PCM, as plain tensor operations.

Both directions are graphs in the bundle, so neither Python nor C re-implements any of this.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echo_edge_export.model.config import EchoConfig

LOG_FLOOR = 1e-6


def mel_filters(config: EchoConfig) -> Tensor:
    """Triangular mel filters `[n_fft/2+1, n_mels]`, peak 1, 0 Hz to half the sample rate.

    Mel scale: m = 2595 log10(1 + f/700) (O'Shaughnessy 1987, the "HTK" scale).
    """
    top = 2595.0 * math.log10(1.0 + config.sample_rate / 2 / 700.0)
    mels = torch.linspace(0.0, top, config.n_mels + 2, dtype=torch.float64)
    edges = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    bins = torch.arange(config.n_fft // 2 + 1, dtype=torch.float64)
    hertz = bins[:, None] * config.sample_rate / config.n_fft
    rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0.0).float()


def hann_window(config: EchoConfig) -> Tensor:
    """The analysis window `[win_length]`, float64."""
    n = torch.arange(config.win_length, dtype=torch.float64)
    return 0.5 - 0.5 * torch.cos(2 * math.pi * n / config.win_length)


def dft(config: EchoConfig) -> Tensor:
    """The DFT of one frame `[2 * bins, win_length]`, float64: cosines, then sines."""
    n = torch.arange(config.win_length, dtype=torch.float64)
    k = torch.arange(config.n_fft // 2 + 1, dtype=torch.float64)[:, None]
    angle = 2 * math.pi * k * n / config.n_fft
    return torch.cat([torch.cos(angle), -torch.sin(angle)])


def without_offset(kernels: Tensor, window: Tensor) -> Tensor:
    """Windowed kernels `[rows, win_length]` of a frame whose mean, weighted by the window, is taken
    away first: a high-pass that is free, for it changes constants only.

    An offset of the microphone (I2S ones have up to 5 % of full scale) fills the lowest mel bands
    and hides voices. The weighted mean, unlike the plain one, takes nothing from above 80 Hz.
    """
    return kernels - kernels.sum(dim=1, keepdim=True) * (window / window.sum())


class Frontend(nn.Module):
    """Log-mel features and complex spectrum of PCM without its offset, causal: frame t ends at
    sample (t+1) * hop."""

    mean: Tensor
    std: Tensor
    kernels: Tensor
    filters: Tensor

    def __init__(self, config: EchoConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.n_mels))
        self.register_buffer("std", torch.ones(config.n_mels))
        window = hann_window(config)
        kernels = without_offset(dft(config) * window, window).float()
        self.register_buffer("kernels", kernels[:, None, :], persistent=False)
        self.register_buffer("filters", mel_filters(config), persistent=False)

    def spectrum(self, pcm: Tensor) -> Tensor:
        """`[B, N]` to `[B, T, bins, 2]` (real, imaginary); no padding: T = (N - win) // hop + 1."""
        frames = F.conv1d(pcm[:, None, :], self.kernels, stride=self.config.hop_length)
        bins = self.kernels.shape[0] // 2
        return torch.stack([frames[:, :bins], frames[:, bins:]], dim=-1).transpose(1, 2)

    def features(self, spectrum: Tensor) -> Tensor:
        """`[B, T, bins, 2]` to standardized log-mel `[B, T, n_mels]`."""
        power = spectrum.square().sum(-1)
        return ((power @ self.filters + LOG_FLOOR).log() - self.mean) / self.std

    def forward(self, pcm: Tensor, pcm_state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One chunk `[1, N]` and the last samples before it to features, spectrum, next state."""
        joined = torch.cat([pcm_state, pcm], dim=1)
        spectrum = self.spectrum(joined)
        return self.features(spectrum), spectrum, joined[:, -self.config.overlap_samples :]

    def pad(self, pcm: Tensor) -> Tensor:
        """Silence before the stream's start, so that `[B, N]` PCM gives N // hop frames."""
        return F.pad(pcm, (self.config.overlap_samples, 0))

    def whole(self, pcm: Tensor) -> tuple[Tensor, Tensor]:
        """Features and spectrum of whole recordings `[B, N]`, as a stream gives them chunk by
        chunk."""
        spectrum = self.spectrum(self.pad(pcm))
        return self.features(spectrum), spectrum


class Synthesis(nn.Module):
    """Spectrum back to PCM: inverse DFT, dual window, overlap-add. Exact, but for what the frontend
    takes away (below 80 Hz), for an untouched spectrum.

    Dual window: w(n) / sum_k w(n + k hop)^2 (Griffin & Lim 1984, eq. 6).
    """

    kernels: Tensor

    def __init__(self, config: EchoConfig) -> None:
        super().__init__()
        self.config = config
        window = hann_window(config)
        hops = math.ceil(config.win_length / config.hop_length)
        padded = F.pad(window, (0, hops * config.hop_length - config.win_length))
        weight = padded.view(hops, config.hop_length).square().sum(0).repeat(hops)
        k = torch.arange(config.n_fft // 2 + 1)[:, None]
        twice = torch.where((k == 0) | (k == config.n_fft // 2), 1.0, 2.0)
        inverse = dft(config).unflatten(0, (2, -1)).transpose(0, 1) * twice[:, None, :]
        dual = window / weight[: config.win_length]
        kernels = (inverse.flatten(0, 1) / config.n_fft * dual).float()
        padding = hops * config.hop_length - config.win_length
        self.register_buffer("kernels", F.pad(kernels, (0, padding)), persistent=False)
        self.hops = hops

    def forward(self, spectrum: Tensor) -> Tensor:
        """`[K, T, bins, 2]` to `[K, (T-1) hop + win]`; the ends lack what neighbours would add."""
        hop = self.config.hop_length
        n_frames = spectrum.shape[1]
        parts = (spectrum.flatten(2) @ self.kernels).unflatten(2, (self.hops, hop))
        total = torch.zeros_like(parts[:, :1, 0]).expand(-1, n_frames + self.hops - 1, -1)
        for i in range(self.hops):
            total = total + F.pad(parts[:, :, i], (0, 0, i, self.hops - 1 - i))
        length = (n_frames - 1) * hop + self.config.win_length
        return total.flatten(1)[:, :length]
