"""What a .tflite file must not do, found without the engine; files made with its schema."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo_edge.bundle.manifest import GraphSpec, TensorSpec
from echo_edge.bundle.tflite_file import check_tflite
from echo_edge.errors import BundleError

flatbuffers = pytest.importorskip("flatbuffers", reason="needs echo-edge[tflite]")
schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="needs echo-edge[tflite]")

RUNNING_SUM = Path(__file__).parents[2] / "fixtures" / "tflite" / "running_sum.tflite"
DATA = RUNNING_SUM.read_bytes()
SPEC = GraphSpec(
    "g.tflite",
    (TensorSpec("samples", (1, 4), "float32"), TensorSpec("total", (1, 4), "float32")),
    (TensorSpec("doubled", (1, 4), "float32"), TensorSpec("total_next", (1, 4), "float32")),
    {"total": "total_next"},
)


def _refusal(data: bytes, folder: Path, spec: GraphSpec = SPEC) -> BundleError:
    path = folder / "g.tflite"
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"^g\.tflite: .*: export the bundle again$") as caught:
        check_tflite(path, "g.tflite", spec)
    assert "\n" not in str(caught.value)
    return caught.value


def _changed(change: Callable[[Any], object]) -> bytes:
    """The file with something else in its tables."""
    model = schema.ModelT.InitFromPackedBuf(DATA, 0)
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_a_graph_as_the_manifest_says() -> None:
    assert check_tflite(RUNNING_SUM, "g.tflite", SPEC) is None


def test_changing_nothing_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "g.tflite").write_bytes(_changed(lambda _: None))

    assert check_tflite(tmp_path / "g.tflite", "g.tflite", SPEC) is None


def _external_group(model: Any) -> None:
    model.externalBufferGroups = [schema.ExternalBufferGroupT(name=b"/etc/passwd")]


def _external_buffer(model: Any) -> None:
    model.externalBuffers = [schema.ExternalBufferT(id=1, length=16)]


def _external_tensor(model: Any) -> None:
    model.subgraphs[0].tensors[0].externalBuffer = 1


def _outside_the_tables(model: Any) -> None:
    model.buffers[-1].offset, model.buffers[-1].size = 400, 16


@pytest.mark.parametrize(
    "change", [_external_group, _external_buffer, _external_tensor, _outside_the_tables]
)
def test_weights_elsewhere(change: Callable[[Any], object], tmp_path: Path) -> None:
    error = _refusal(_changed(change), tmp_path)

    assert error.rule == "tflite-external"
    assert "found weights kept outside of the graph" in str(error)


def _renamed(model: Any) -> None:
    model.signatureDefs[0].inputs[0].name = b"words"


def _exchanged(model: Any) -> None:
    first = model.signatureDefs[0].inputs[0]
    first.tensorIndex = model.signatureDefs[0].outputs[0].tensorIndex
    model.subgraphs[0].tensors[first.tensorIndex].shape = [4]


def _integers(model: Any) -> None:
    model.subgraphs[0].tensors[model.signatureDefs[0].inputs[0].tensorIndex].type = 4


def _one_more(model: Any) -> None:
    model.signatureDefs[0].outputs.append(schema.TensorMapT(b"more", 0))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (_renamed, "inputs: found nothing, expected 'samples' float32[1, 4]"),
        (_exchanged, "inputs: found 'samples' float32[4], expected 'samples' float32[1, 4]"),
        (_integers, "inputs: found 'samples' int64[1, 4], expected 'samples' float32[1, 4]"),
        (_one_more, "outputs: found 'more' float32[1, 4], expected nothing"),
    ],
)
def test_other_tensors(change: Callable[[Any], object], found: str, tmp_path: Path) -> None:
    error = _refusal(_changed(change), tmp_path)

    assert error.rule == "tflite-tensors"
    assert found in str(error)


def test_a_manifest_that_expects_others(tmp_path: Path) -> None:
    spec = replace(SPEC, outputs=(TensorSpec("words", (3,), "float32"),))

    assert _refusal(DATA, tmp_path, spec).rule == "tflite-tensors"


def _two_graphs(model: Any) -> None:
    model.subgraphs.append(model.subgraphs[0])


def _no_signature(model: Any) -> None:
    model.signatureDefs = []


def _twice(model: Any) -> None:
    model.signatureDefs[0].inputs[1].name = model.signatureDefs[0].inputs[0].name


def _no_such_tensor(model: Any) -> None:
    model.signatureDefs[0].inputs[0].tensorIndex = 99


def _of_another_graph(model: Any) -> None:
    model.signatureDefs[0].subgraphIndex = 1


@pytest.mark.parametrize(
    ("data", "why"),
    [
        pytest.param(b"", "cannot mmap an empty file", id="empty"),
        pytest.param(b"TFL", "out of the file", id="three bytes"),
        pytest.param(b"no graph\n" * 100, "no TFL3 at byte 4", id="text"),
        pytest.param(DATA[:8], "out of the file", id="only the start"),
        pytest.param(b"\xff\xff\xff\x7f" + DATA[4:], "out of the file", id="root outside"),
        pytest.param(_changed(_two_graphs), "2 graphs, 1 signatures", id="two graphs"),
        pytest.param(_changed(_no_signature), "1 graphs, 0 signatures", id="no signature"),
        pytest.param(_changed(_twice), "a name twice", id="a name twice"),
        pytest.param(_changed(_no_such_tensor), "tensor 99 of", id="no such tensor"),
        pytest.param(_changed(_of_another_graph), "of another graph", id="of another graph"),
    ],
)
def test_no_tflite(data: bytes, why: str, tmp_path: Path) -> None:
    error = _refusal(data, tmp_path)

    assert error.rule == "tflite"
    assert why in str(error)


def _rule(data: bytes, path: Path) -> str:
    """What the file breaks; empty if nothing."""
    path.write_bytes(data)
    try:
        check_tflite(path, "g.tflite", SPEC)
    except BundleError as error:
        return error.rule
    return ""


def test_truncated_anywhere(tmp_path: Path) -> None:
    rules = [_rule(DATA[:size], tmp_path / "g.tflite") for size in range(len(DATA))]

    assert set(rules[: len(DATA) // 2]) == {"tflite"}
    assert set(rules) <= {"tflite", ""}  # the end holds nothing that is read


@given(st.integers(0, len(DATA) - 1), st.binary(min_size=1, max_size=6))
def test_damage_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, at: int, damage: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.tflite"
    data = DATA[:at] + damage + DATA[at + len(damage) :]

    assert _rule(data, path) in ("tflite", "tflite-external", "tflite-tensors", "")
