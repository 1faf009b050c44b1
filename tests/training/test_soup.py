"""The mean of two checkpoints."""

import torch

from echo_edge_export.model.config import EchoConfig
from echo_edge_export.model.echo import Echo
from training.soup import mean


def test_every_weight_is_so_far_from_start_to_end() -> None:
    start, end = Echo(EchoConfig(n_layers=1)), Echo(EchoConfig(n_layers=1))
    expected = 0.75 * start.encoder.patch.weight + 0.25 * end.encoder.patch.weight
    n_batches = end.speaker.batch_norm.num_batches_tracked + 3
    end.speaker.batch_norm.num_batches_tracked += 3

    mean(start, end, 0.25)

    torch.testing.assert_close(end.encoder.patch.weight, expected)
    assert end.speaker.batch_norm.num_batches_tracked == n_batches
