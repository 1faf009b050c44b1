"""What one bundle is worth by the measures of `training.evaluate` that take no waiting: voices and
separation, on the latents that the bundle itself computes.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from echo_edge.errors import UsageError
from echo_edge.session import Session
from echo_edge_export.checkpoint import load_checkpoint
from echo_edge_export.model import Latents

from .data import Corpus
from .mixtures import Mixture
from .separation_metrics import separation_figures
from .voice_metrics import voices

PER_BUNDLE = {
    "eer": "eer",
    "pit": "separation.pit_accuracy",
    "si_sdri_db": "separation.si_sdri_db_streamed",
}
"""Column -> its name in `training.evaluate`."""
LATENTS = (
    "latents",
    "latents_diarization",
    "latents_speaker",
    "latents_asr",
    "latents_separation",
)
"""In the order of `Latents`."""


class BundleEncoder(torch.nn.Module):
    """A bundle's encoder in the place of the checkpoint's."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session

    def forward(self, features: Tensor, _chunk_steps: int) -> Latents:
        """Latents of whole chunks of features `[B, T, n_mels]`, each row a stream of its own."""
        rows = [self._stream(row) for row in features]
        return Latents(*(torch.stack(each) for each in zip(*rows, strict=True)))

    def _stream(self, features: Tensor) -> list[Tensor]:
        encoder, audio = self.session.graph("encoder"), self.session.bundle.manifest.audio
        frames = features.split(audio.chunk_samples // audio.spectrum_hop_samples)
        chunks = [encoder.run(features=chunk[None].numpy()) for chunk in frames]
        return [torch.cat([torch.from_numpy(c[name][0]) for c in chunks]) for name in LATENTS]


def per_bundle(
    session: Session, checkpoint: Path, corpus: Corpus, mixtures: Sequence[Mixture]
) -> dict[str, float]:
    """EER and PIT accuracy in per cent, SI-SDRi of the live waveforms in dB.

    For PIT accuracy the voices are separated by the checkpoint's head, in float and told them from
    the start, as is the embedding of whom to separate. Turns and all latents are the bundle's.
    UsageError if the bundle was made of another checkpoint.
    """
    source = session.bundle.manifest.source
    stored = load_checkpoint(checkpoint)
    if stored.sha256 != source.checkpoint_sha256:
        raise UsageError(
            f"--checkpoint {checkpoint}: found SHA-256 {stored.sha256[:12]}, expected "
            f"{source.checkpoint_sha256[:12]}, of which {session.bundle.manifest.name} was made"
        )
    stored.model.add_module("encoder", BundleEncoder(session))
    with tempfile.TemporaryDirectory() as trials:
        told = voices(session, corpus, Path(trials))
    with torch.no_grad():
        told |= separation_figures(stored.model, session, mixtures)
    return {column: round(told[name], 2) for column, name in PER_BUNDLE.items()}
