"""Peers' graphs have the published shapes and sizes, and the comparison adds up."""

import math
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

onnx = pytest.importorskip("onnx", reason="needs echo-edge[export]")
pytest.importorskip("onnxruntime", reason="needs echo-edge[onnx]")

from benchmarks.peers import compare as peers  # noqa: E402
from benchmarks.peers import graphs as peer_graphs  # noqa: E402
from echo_edge.bundle.manifest import GraphSpec  # noqa: E402
from echo_edge.engines.null import NullEngine  # noqa: E402
from echo_edge.session import load  # noqa: E402


@pytest.mark.parametrize(
    ("write", "parameters", "output"),
    [
        pytest.param(peer_graphs.whisper_tiny_encoder, 8.2e6, None, id="whisper"),
        pytest.param(peer_graphs.segmentation, 1.5e6, (589, 1, 7), id="segmentation"),
        pytest.param(peer_graphs.resnet34, 6.6e6, (1, 256), id="resnet34"),
        pytest.param(peer_graphs.conv_tasnet, 5.0e6, None, id="conv-tasnet"),
    ],
)
def test_sizes_are_the_published_ones(
    tmp_path: Path,
    write: Callable[[Path], tuple[int, ...]],
    parameters: float,
    output: tuple[int, ...] | None,
) -> None:
    """Within 5 %, and the engine takes the graph; what takes long is not run."""
    path = tmp_path / "peer.onnx"
    shape = write(path)
    weights = onnx.load(str(path)).graph.initializer
    n_parameters = sum(math.prod(each.dims) for each in weights)
    assert n_parameters == pytest.approx(parameters, rel=0.05)
    engine = peers._open(path, 1)
    if output:
        (found,) = engine.run({"x": peer_graphs.random_input(shape)}).values()
        assert found.shape == output


def peer(name: str, recipe: str, audio_s: float, live_s: float = 1.0) -> peers.Peer:
    engine = NullEngine(GraphSpec("x.null", (), (), {}))
    return peers.Peer(name, recipe, audio_s, live_s, engine, (1, 4), [])


def test_the_comparison_takes_the_faster_of_each(
    null_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    took = {"float32": 0.4, "dynamic int8": 3.0}
    monkeypatch.setattr(peers.Peer, "call_s", property(lambda self: took[self.recipe]))
    entered = [peer(name, "float32", 1.0) for name in peers.CHAIN]
    entered.append(peer(peers.WHISPER, "dynamic int8", 30.0, 10.0))
    with load(null_bundle) as session:
        result = peers.measure(session, entered, rounds=2)
    assert [len(each.samples_s) for each in entered] == [2 * peers.ROUND_CALLS] * 5
    assert result["chain_rtf"] == pytest.approx(0.1 + 3 * 0.4)
    assert result["whisper_to_job"] == pytest.approx(0.1 / result["job_rtf"], rel=0.01)
    rows = peers.table(result).splitlines()
    assert len(rows) == 2 + 1 + 5 + 1
    assert result["chain_live_rtf"] == pytest.approx(0.3 + 3 * 0.4)
    assert result["whisper_live_to_job"] == pytest.approx(0.3 / result["job_rtf"], rel=0.01)
    assert "1.3000" in rows[-1]
    assert "1.5000" in rows[-1]


def test_live_a_long_window_is_computed_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every 2 s at the latency of the whole job; what slides anyway costs the same."""
    monkeypatch.setattr(peers, "_open", lambda *_: NullEngine(GraphSpec("x.null", (), (), {})))
    for name in ("whisper_tiny_encoder", "segmentation", "resnet34", "conv_tasnet"):
        write = Mock(return_value=(1, 4), __name__=name)
        monkeypatch.setattr(peer_graphs, name, write)
    monkeypatch.setattr("onnxruntime.quantization.quantize_dynamic", lambda *_, **__: None)

    windows = {each.name: (each.audio_s, each.live_s) for each in peers.build(tmp_path, 1)}

    assert windows == {
        "Whisper-tiny encoder": (30.0, 2.0),
        "segmentation": (1.0, 1.0),
        "speaker embedding": (0.75, 0.75),
        "Conv-TasNet": (4.0, 2.0),
    }


def test_refusals_are_one_line(null_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert peers.main(["--bundle", str(null_bundle), "--rounds", "0"]) == 2
    assert peers.main(["--bundle", "absent"]) == 3
    assert len(capsys.readouterr().err.splitlines()) == 2
