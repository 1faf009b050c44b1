"""CAM++: who speaks, as 192 numbers, from up to some seconds of one voice (3D-Speaker, Apache-2.0).

The network's class comes with its weights, in the package that `training.teachers.fetch` brings.
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

    @torch.inference_mode()
    def embed(self, speech: Sequence[Pcm]) -> NDArray[np.float32]:
        """L2-normalised embeddings `[len(speech), 192]` of crops of any length, 0.2 s at least."""
        crops = [torch.from_numpy(features(pcm))[None] for pcm in speech]
        embeddings = torch.cat([self.model(crop) for crop in crops])
        return torch.nn.functional.normalize(embeddings).numpy()
