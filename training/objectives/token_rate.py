"""An encoder with shorter or longer tokens under the same heads: what its 40 ms are worth.

For ablation only. Heads read one latent per step of 40 ms as ever: a linear map for every layer
folds the tokens of a step into one, or unfolds a token into several steps.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echo_edge_export.model.config import EchoConfig
from echo_edge_export.model.echo import Encoder


class Refold(nn.Linear):
    """`fold` tokens to `unfold` steps, `[B, T, d]` to `[B, T / fold * unfold, d]`; starts as their
    mean, or as copies."""

    def __init__(self, d_model: int, fold: int, unfold: int) -> None:
        super().__init__(fold * d_model, unfold * d_model)
        self.fold, self.unfold = fold, unfold
        with torch.no_grad():
            self.weight.copy_(torch.eye(d_model).repeat(unfold, fold) / fold)
            self.bias.zero_()

    def forward(self, tokens: Tensor) -> Tensor:
        """T is a multiple of `fold`."""
        folded = super().forward(tokens.unflatten(1, (-1, self.fold)).flatten(2))
        return folded.unflatten(2, (self.unfold, -1)).flatten(1, 2)


class RatedEncoder(Encoder):
    """The encoder of `config` with tokens of `token_frames` mel frames, 10 ms each.

    Contexts last as long as the config says; a chunk of a broken number of tokens is shorter.
    Raises ValueError where neither of a token and a step is a multiple of the other.
    """

    def __init__(self, config: EchoConfig, token_frames: int) -> None:
        super().__init__(replace(config, patch_frames=token_frames))
        self.step_frames = step = config.patch_frames
        if step % token_frames and token_frames % step:
            raise ValueError(
                f"token_frames: found {token_frames}, expected a divisor or a multiple of {step}"
            )
        fold, unfold = max(1, step // token_frames), max(1, token_frames // step)
        self.refolds = nn.ModuleList(
            Refold(config.d_model, fold, unfold) for _ in range(config.n_layers + 1)
        )

    def layers(
        self, features: Tensor, chunk_steps: int, left_steps: int | None = None
    ) -> list[Tensor]:
        """The `n_layers + 1` outputs `[B, S, d]` per step of whole utterances `[B, T, n_mels]`;
        zeros, the mean of features, fill their last token."""
        token, step = self.config.patch_frames, self.step_frames
        left = self.config.left_context_steps if left_steps is None else left_steps
        chunk, left = (max(1, n * step // token) for n in (chunk_steps, left))
        padded = F.pad(features, (0, 0, 0, -features.shape[1] % token))
        n_steps = features.shape[1] // step
        per_token = super().layers(padded, chunk, left)
        return [refold(x)[:, :n_steps] for refold, x in zip(self.refolds, per_token, strict=True)]
