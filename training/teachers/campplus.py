"""CAM++: who speaks, as 192 numbers, from up to some seconds of one voice (3D-Speaker, Apache-2.0).

The network's class comes with its weights, in the package that `training.teachers.fetch` brings.
That class ends in a ReLU, which 3D-Speaker's own network does not have; embeddings here are those
before it. With it all voices point in a common direction (mean cosine of two voices 0.44, without
it 0.12), and a student learns that direction and little else.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import kaldi_native_fbank
import numpy as np
import torch
from numpy.typing import NDArray

from training.corpora.data import SAMPLE_RATE, Pcm

MELS = 80
EMBEDDING = 192
CHANNELS = 512
"""Of a frame, before its mean and deviation over time are pooled."""
STEP = 640
"""Samples per row of `frames`: 40 ms, two frames of the network."""

MIN_SAMPLES = SAMPLE_RATE // 5
"""Below 0.2 s there is nothing to know a voice by."""


def load_module(path: Path) -> ModuleType:
    """A teacher's own module, by its path."""
    spec = importlib.util.spec_from_file_location(f"_teacher_{path.stem}", path)
    if spec is None or spec.loader is None or not path.exists():
        raise FileNotFoundError(f"{path}: bring it with python -m training.teachers.fetch")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def features(pcm: Pcm) -> NDArray[np.float32]:
    """Kaldi's log-mel `[T, 80]`, 25 ms every 10 ms, no dither, without their mean over time."""
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.samp_freq = SAMPLE_RATE
    options.mel_opts.num_bins = MELS
    bank = kaldi_native_fbank.OnlineFbank(options)
    bank.accept_waveform(SAMPLE_RATE, pcm.tolist())
    bank.input_finished()
    mel = np.stack([bank.get_frame(i) for i in range(bank.num_frames_ready)])
    return np.asarray(mel - mel.mean(0), np.float32)


class CamPlusPlus:
    """Embeddings of whole crops; `folder` is `campplus` of `training.teachers.fetch`."""

    def __init__(self, folder: Path) -> None:
        module = load_module(folder / "camplusplus.py")
        self.model = module.CAMPPlus(feat_dim=MELS, embedding_size=EMBEDDING)
        weights = torch.load(folder / "campplus_cn_en_common.pt", "cpu", weights_only=True)
        self.model.load_state_dict(weights)
        self.model.eval()

        layers = dict(self.model.xvector.named_children())
        dense = layers.pop("dense")
        layers.pop("stats")
        self.trunk = torch.nn.Sequential(*layers.values())
        norm = dense.nonlinear.batchnorm
        scale = (norm.running_var + norm.eps).rsqrt()
        self.weight = (dense.linear.weight[..., 0] * scale[:, None]).detach()
        """`[192, 1024]`, of mean and deviation."""
        self.bias = (-norm.running_mean * scale).detach()

    def _network_frames(self, pcm: Pcm) -> torch.Tensor:
        """`[512, T]` at 50 Hz, none below 0."""
        mel = torch.from_numpy(features(pcm))[None]
        frames: torch.Tensor = self.trunk(self.model.head(mel.permute(0, 2, 1)))[0]
        return frames

    @torch.inference_mode()
    def frames(self, pcm: Pcm) -> NDArray[np.float32]:
        """`[N // 640, 512]` of a crop `[N]`, the mean of the network's two frames per step."""
        n_steps = len(pcm) // STEP
        frames = self._network_frames(pcm)
        missing = max(0, 2 * n_steps - frames.shape[1])
        frames = torch.cat([frames, frames[:, -1:].expand(-1, missing)], 1)[:, : 2 * n_steps]
        return frames.unflatten(1, (n_steps, 2)).mean(2).T.numpy()

    @torch.inference_mode()
    def embed(self, speech: Sequence[Pcm]) -> NDArray[np.float32]:
        """L2-normalised embeddings `[len(speech), 192]` of crops of any length, 0.2 s at least."""
        rows = []
        for pcm in speech:
            frames = self._network_frames(pcm)
            rows.append(torch.cat([frames.mean(1), frames.std(1)]))
        pooled = torch.stack(rows) @ self.weight.T + self.bias
        return torch.nn.functional.normalize(pooled).numpy()
