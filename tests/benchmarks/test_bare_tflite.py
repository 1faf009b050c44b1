"""The bare products of a graph of LiteRT: its weights, and nothing else of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.bare_tflite import write_products
from echo_edge.engines import open_engine
from echo_edge.errors import EchoError

schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="needs echo-edge[tflite]")
RUNNING_SUM = Path(__file__).parents[1] / "fixtures" / "tflite" / "running_sum.tflite"
WEIGHTS = np.arange(12, dtype=np.float32).reshape(3, 4)
BIAS = np.array([1.0, -100.0, 3.0], np.float32)


def tensor(model: Any, shape: list[int], values: Any = None) -> int:
    """A new tensor of the graph, constant where it has values; its index."""
    made, buffer = schema.TensorT(), schema.BufferT()
    if values is not None:
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    model.buffers.append(buffer)
    made.shape, made.type, made.buffer = shape, schema.TensorType.FLOAT32, len(model.buffers) - 1
    made.name = f"tensor{made.buffer}"
    model.subgraphs[0].tensors.append(made)
    return len(model.subgraphs[0].tensors) - 1


def with_products(path: Path) -> Path:
    """The running sum, and two products with weights of the same tensor: plain, and with ReLU."""
    import flatbuffers

    data = RUNNING_SUM.read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    code.version = 1
    model.operatorCodes.append(code)
    x = tensor(model, [2, 4])
    for activation in (0, 1):
        product = schema.OperatorT()
        product.opcodeIndex = len(model.operatorCodes) - 1
        product.inputs = [x, tensor(model, [3, 4], WEIGHTS), tensor(model, [3], BIAS)]
        product.outputs = [tensor(model, [2, 3])]
        product.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
        product.builtinOptions = schema.FullyConnectedOptionsT()
        product.builtinOptions.fusedActivationFunction = activation
        model.subgraphs[0].operators.append(product)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())
    return path


def test_products_are_the_graphs_own(tmp_path: Path) -> None:
    made = write_products(with_products(tmp_path / "whole.tflite"), tmp_path / "bare.tflite")
    assert (made.multiply_adds, made.weight_bytes) == (2 * 2 * 3 * 4, 2 * 4 * 12)
    assert {name: array.shape for name, array in made.inputs.items()} == {
        "x0": (2, 4),
        "x1": (2, 4),
    }
    engine = open_engine("tflite", tmp_path / "bare.tflite", made.spec, 1)
    outputs = engine.run(made.inputs)
    engine.close()
    plain = made.inputs["x0"] @ WEIGHTS.T + BIAS
    np.testing.assert_allclose(outputs["y0"], plain, rtol=1e-5, atol=1e-5)
    rectified = np.maximum(made.inputs["x1"] @ WEIGHTS.T + BIAS, 0)
    np.testing.assert_allclose(outputs["y1"], rectified, rtol=1e-5, atol=1e-5)


def test_a_graph_without_products_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EchoError, match="no products with weights"):
        write_products(RUNNING_SUM, tmp_path / "bare.tflite")
