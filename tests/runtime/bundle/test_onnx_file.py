"""What an .onnx file must not do, found without the engine; files made by the onnx library."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo_edge.bundle.manifest import GraphSpec, TensorSpec
from echo_edge.bundle.onnx_file import check_onnx
from echo_edge.bundle.verify import open_bundle
from echo_edge.errors import BundleError

onnx = pytest.importorskip("onnx", reason="needs echo-edge[export]")
from onnx import TensorProto, helper  # noqa: E402

SPEC = GraphSpec(
    "g.onnx",
    (TensorSpec("x", (1, 3), "float32"), TensorSpec("n", (2,), "int64")),
    (TensorSpec("y", (1, 3), "float32"),),
    {},
)


def _weight(name: str = "w") -> "TensorProto":
    return helper.make_tensor(name, TensorProto.FLOAT, [1, 3], [1.0, 2.0, 3.0])


def _external(tensor: "TensorProto") -> "TensorProto":
    """The tensor as one that is kept in /etc/passwd."""
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    return tensor


def _model() -> Any:
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3]),
            helper.make_tensor_value_info("n", TensorProto.INT64, [2]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [_weight()],
    )
    return helper.make_model(graph)


def _branch(tensor: "TensorProto") -> Any:
    node = helper.make_node("Constant", [], ["c"], value=tensor)
    return helper.make_graph([node], "branch", [], [])


def _attribute(name: str, value: object) -> Any:
    return helper.make_node("If", ["b"], ["z"], **{name: value})


def _check(model: Any, tmp_path: Path, spec: GraphSpec = SPEC) -> None:
    data = model if isinstance(model, bytes) else model.SerializeToString()
    (tmp_path / "g.onnx").write_bytes(data)
    check_onnx(tmp_path / "g.onnx", "g.onnx", spec)


def test_accepts_what_is_declared(tmp_path: Path) -> None:
    _check(_model(), tmp_path)


def test_accepts_the_shipped_graphs(default_bundle: Path) -> None:
    bundle = open_bundle(default_bundle)

    for graph in bundle.manifest.graphs.values():
        check_onnx(bundle.path / graph.file, graph.file, graph)


def test_an_input_that_a_weight_fills_is_none(tmp_path: Path) -> None:
    model = _model()
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [1, 3]))

    _check(model, tmp_path)


def test_a_branch_with_its_own_weight_is_harmless(tmp_path: Path) -> None:
    model = _model()
    model.graph.node[0].name = "location"
    model.graph.node.append(_attribute("branch", _branch(_weight())))

    _check(model, tmp_path)


def _function(model: Any) -> None:
    node = helper.make_node("Constant", [], ["c"], value=_external(_weight()))
    opset = [helper.make_opsetid("", 18)]
    model.functions.append(helper.make_function("d", "f", [], ["c"], [node], opset))


def _sparse(model: Any) -> None:
    values = _external(helper.make_tensor("s", TensorProto.FLOAT, [1], [1.0]))
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [3]))


def _training(model: Any) -> None:
    info = model.training_info.add()
    info.algorithm.CopyFrom(_branch(_external(_weight())))


EXTERNAL: list[tuple[str, Callable[[Any], object]]] = [
    ("a weight", lambda m: _external(m.graph.initializer[0])),
    ("a constant", lambda m: m.graph.node.append(_attribute("value", _external(_weight())))),
    ("constants", lambda m: m.graph.node.append(_attribute("values", [_external(_weight())]))),
    ("a branch", lambda m: m.graph.node.append(_attribute("b", _branch(_external(_weight()))))),
    ("branches", lambda m: m.graph.node.append(_attribute("b", [_branch(_external(_weight()))]))),
    ("a sparse weight", _sparse),
    ("a function", _function),
    ("training", _training),
]


@pytest.mark.parametrize("hide", [hide for _, hide in EXTERNAL], ids=[name for name, _ in EXTERNAL])
def test_refuses_weights_outside(tmp_path: Path, hide: Callable[[Any], object]) -> None:
    model = _model()
    hide(model)

    with pytest.raises(BundleError, match=r"g\.onnx: found weights kept in another file") as caught:
        _check(model, tmp_path)

    assert caught.value.rule == "onnx-external"


def _input(name: str, dtype: int, shape: object) -> Callable[[Any], None]:
    def edit(model: Any) -> None:
        model.graph.input[0].CopyFrom(helper.make_tensor_value_info(name, dtype, shape))

    return edit


OTHERS: list[tuple[str, Callable[[Any], object]]] = [
    ("inputs: found nothing, expected 'x' float32[1, 3]", lambda m: m.graph.input.pop(0)),
    ("inputs: found 'z' float32[1, 3], expected nothing",
     lambda m: m.graph.input.append(helper.make_tensor_value_info("z", 1, [1, 3]))),
    ("inputs: found 'a' float32[1, 3], expected nothing", _input("a", 1, [1, 3])),
    ("inputs: found 'x' float32[1, 4], expected 'x' float32[1, 3]", _input("x", 1, [1, 4])),
    ("inputs: found 'x' float32[1, 3, 1], expected", _input("x", 1, [1, 3, 1])),
    ("inputs: found 'x' float32[-1, 3], expected", _input("x", 1, ["batch", 3])),
    ("inputs: found 'x' int64[1, 3], expected", _input("x", 7, [1, 3])),
    ("inputs: found 'x' another type[1, 3], expected", _input("x", 3, [1, 3])),
    ("outputs: found nothing, expected 'y' float32[1, 3]", lambda m: m.graph.output.pop()),
]  # fmt: skip


@pytest.mark.parametrize(("message", "edit"), OTHERS, ids=[message for message, _ in OTHERS])
def test_refuses_other_tensors(tmp_path: Path, message: str, edit: Callable[[Any], object]) -> None:
    model = _model()
    edit(model)

    with pytest.raises(BundleError) as caught:
        _check(model, tmp_path)

    assert str(caught.value).startswith(f"g.onnx: {message}")
    assert caught.value.rule == "onnx-tensors"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello", id="text"),
        pytest.param(_model().SerializeToString()[:-1], id="broken off"),
        pytest.param(_model().SerializeToString() * 2, id="two graphs that a reader would merge"),
        pytest.param(helper.make_model(_branch(_weight())).SerializeToString()[:4], id="no graph"),
        pytest.param(b"\x3a" + b"\xff" * 10, id="a length without end"),
        pytest.param(b"\x3b", id="a group"),
    ],
)
def test_refuses_what_is_no_onnx(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(BundleError, match=r"g\.onnx: found no ONNX") as caught:
        _check(data, tmp_path)

    assert caught.value.rule == "onnx"


def test_refuses_graphs_nested_without_end(tmp_path: Path) -> None:
    graph = _branch(_external(_weight()))
    for _ in range(20):
        graph = helper.make_graph([_attribute("b", graph)], "g", [], [])
    model = _model()
    model.graph.node.append(_attribute("b", graph))

    with pytest.raises(BundleError, match="nested too deep"):
        _check(model, tmp_path)


@given(st.data())
def test_damage_is_refused_in_one_line_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    model = _model()
    _sparse(model)
    content = bytearray(model.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.getbasetemp()

    try:
        _check(bytes(content), folder)
    except BundleError as error:
        assert str(error).isprintable()  # noqa: PT017
