"""A small Echo: every part of the real one, sizes that train and export in a second. For tests that
need torch anyway; importing this imports it."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from echo_edge_export.checkpoint import Checkpoint, SecondPassCheckpoint
from echo_edge_export.convert.table import find_exporter
from echo_edge_export.model.config import EchoConfig
from echo_edge_export.model.echo import Echo
from echo_edge_export.model.text_decoder import TextDecoder, TextDecoderConfig
from echo_edge_export.quantize.calibrate import calibrate
from echo_edge_export.quantize.recipes import RECIPES
from echo_edge_export.write_bundle import BundlePlan, write_bundle

CHUNK_STEPS = 4
CONFIG = EchoConfig(
    d_model=64,
    n_layers=2,
    n_heads=2,
    d_mlp=128,
    left_context_steps=24,
    max_distance=40,
    window_steps=50,
    d_diarization=32,
    embedding_dim=16,
    d_slot=32,
    d_mask=48,
)


def make_model() -> Echo:
    """Random weights, position biases and statistics away from their zeros and ones."""
    torch.manual_seed(3)
    model = Echo(CONFIG).eval()
    torch.nn.init.normal_(model.encoder.relative_bias, std=0.5)
    torch.nn.init.normal_(model.encoder.mix, std=0.5)
    torch.nn.init.normal_(model.frontend.mean, mean=-5.0)
    torch.nn.init.uniform_(model.frontend.std, 1.0, 3.0)
    return model


def make_noise() -> NDArray[np.float32]:
    """3.7 s of noise bursts: not a whole number of chunks of any size used here."""
    rng = np.random.default_rng(5)
    bursts = np.repeat(rng.uniform(0.0, 0.3, 37), 1600)
    return (rng.standard_normal(len(bursts)) * bursts).astype(np.float32)


def make_checkpoint(model: Echo) -> Checkpoint:
    """The model, smoothed and calibrated, as if loaded from a file."""
    smoothed, calibration = calibrate(model, [make_noise()], CHUNK_STEPS)
    return Checkpoint(smoothed, 7, calibration, "0" * 64)


def make_bundle(engine: str, folder: Path) -> Path:
    """A bundle for an engine in its default recipe; `folder`."""
    recipe = RECIPES[find_exporter(engine).recipe]
    plan = BundlePlan(engine, recipe, CHUNK_STEPS, folder, score=False)
    write_bundle(make_checkpoint(make_model()), plan, make_noise())
    return folder


def make_bundle_with_second_pass(engine: str, folder: Path) -> Path:
    """A bundle whose words are read again by a text decoder of random weights, in float32, so that
    each engine says the same; `folder`."""
    torch.manual_seed(4)
    config = TextDecoderConfig(n_tokens=60, n_layers=2, n_heads=2, d_model=CONFIG.d_model, d_mlp=64)
    decoder = TextDecoder(config).eval()
    for parameter in (decoder.positions, decoder.order):
        torch.nn.init.normal_(parameter, std=0.5)
    torch.nn.init.normal_(decoder.embedding.weight, std=0.1)
    subwords = tuple(f" w{i}" if i % 3 else f"x{i}" for i in range(57)) + ("", "", "")
    second = SecondPassCheckpoint(decoder, subwords, (58, 59), 9)  # which these weights come to
    plan = BundlePlan(
        engine, RECIPES["float32"], CHUNK_STEPS, folder, score=False, second_pass=second
    )
    write_bundle(make_checkpoint(make_model()), plan, make_noise())
    return folder
