import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from echo_edge_export.model.config import EchoConfig
from echo_edge_export.model.echo import Echo, chunk_mask
from echo_edge_export.model.streaming import graph_inputs, graph_modules, graph_outputs
from echo_edge_export.quantize.calibrate import Calibration, calibrate, stream
from tests import small_echo
from tests.spectra import above_100_hz

HEADS = ("diarization", "speaker", "asr", "separation")


def test_the_encoder_is_the_papers_25_million() -> None:
    counts = Echo(EchoConfig()).parameter_counts()
    print(counts)

    assert counts["encoder"] == pytest.approx(25.3e6, rel=0.01)
    assert {name for name, count in counts.items() if count > 2e6} == {"encoder"}


@pytest.mark.parametrize("chunk_steps", [1, 4, 12, 24, 31])
@torch.no_grad()
def test_streaming_is_the_full_forward(
    small_model: Echo, noise: NDArray[np.float32], chunk_steps: int
) -> None:
    streamed = stream(small_model, noise, chunk_steps)
    size = chunk_steps * small_model.config.step_samples
    pcm = torch.from_numpy(np.pad(noise, (0, -len(noise) % size)))[None]
    frontend = small_model.frontend
    features = frontend.whole(pcm)[0]
    full = small_model.encoder(features, chunk_steps)

    torch.testing.assert_close(streamed["features"], features, rtol=0, atol=1e-5)
    torch.testing.assert_close(streamed["latents"], full.final, rtol=0, atol=1e-5)
    for head in HEADS:
        torch.testing.assert_close(
            streamed[f"latents_{head}"], getattr(full, head), rtol=0, atol=1e-5
        )


@torch.no_grad()
def test_the_separation_head_sees_the_same_in_whole_and_in_chunks(
    small_model: Echo, noise: NDArray[np.float32]
) -> None:
    chunk, left = 4, small_model.config.left_context_steps
    voices = torch.nn.functional.normalize(
        torch.randn(1, 3, small_model.config.embedding_dim), dim=2
    )
    streamed = stream(small_model, noise, chunk, voices)
    latents, features = streamed["latents_separation"], streamed["features"]
    masks, presence = small_model.separation.whole(latents, features, voices, chunk, left)

    torch.testing.assert_close(torch.sigmoid(presence[0]), streamed["presence"], rtol=0, atol=1e-5)
    torch.testing.assert_close(masks.sum(1), torch.ones_like(masks[:, 0]), rtol=0, atol=1e-5)


@torch.no_grad()
def test_separated_sources_sum_to_the_mixture(
    small_model: Echo, noise: NDArray[np.float32]
) -> None:
    chunks = stream(small_model, noise, 4)["sources"].sum(1)
    overlap = small_model.config.overlap_samples
    total = torch.zeros(len(chunks) * 4 * 640 + overlap)
    for i, chunk in enumerate(chunks):
        total[i * 2560 : i * 2560 + chunk.shape[0]] += chunk

    whole = noise[: len(noise) - overlap]
    lost = total[overlap : overlap + len(whole)].numpy() - whole
    assert above_100_hz(lost) < 5e-3 * above_100_hz(whole)


def test_chunk_mask_shows_the_own_chunk_and_what_lies_left_of_it() -> None:
    mask = chunk_mask(torch.arange(6), chunk_steps=2, left_steps=2).int().tolist()

    assert mask == [
        [1, 1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [0, 0, 1, 1, 1, 1],
        [0, 0, 1, 1, 1, 1],
    ]


@torch.no_grad()
def test_every_graph_gives_the_outputs_it_is_described_with(small_model: Echo) -> None:
    inputs, described = graph_inputs(small_model.config, 4), graph_outputs(small_model.config)
    for name, module in graph_modules(small_model, 4).items():
        outputs = module(*inputs[name].values())
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        shapes = dict(zip(described[name], (o.shape for o in outputs), strict=True))
        for state, tensor in inputs[name].items():
            if f"{state}_next" in shapes:
                assert shapes[f"{state}_next"] == tensor.shape


@torch.no_grad()
def test_smoothing_changes_nothing_in_float(small_model: Echo, noise: NDArray[np.float32]) -> None:
    smoothed, calibration = calibrate(small_model, [noise], 4)
    before, after = stream(small_model, noise, 4), stream(smoothed, noise, 4)

    for name in before:
        torch.testing.assert_close(after[name], before[name], rtol=1e-4, atol=1e-4)
    assert not torch.equal(
        smoothed.encoder.blocks[0].fc1.weight, small_model.encoder.blocks[0].fc1.weight
    )
    low, high = calibration.ranges["encoder.blocks.0.fc2"]
    assert low == 0.0  # after a ReLU
    assert high > 0.0


@torch.no_grad()
def test_a_unit_that_was_silent_in_calibration_does_not_drown_the_others(
    noise: NDArray[np.float32],
) -> None:
    model = small_echo.make_model()
    block = model.encoder.blocks[0]
    block.fc1.bias[5] = -1000.0
    smoothed, _ = calibrate(model, [noise], 4)
    block = smoothed.encoder.blocks[0]
    others = block.fc1.weight[6:].abs().amax(1).median()

    assert block.fc1.weight[5].abs().max() < 10 * others
    assert block.fc2.weight[:, 5].abs().max() > 0.1 * block.fc2.weight.abs().amax(0).median()


def test_a_calibration_remembers_how_it_was_smoothed() -> None:
    text = Calibration({"asr.out": (0.0, 1.0)}, smoothing=0.25).to_json()

    assert Calibration.from_json(text).to_json() == text
