"""The products with weights of a .tflite graph and nothing else, for `benchmarks.roofline`.

Every FULLY_CONNECTED with constant weights is kept as it is, with its bias and activation, and gets
an input and an output of its own; all other operators go. Needs `ai-edge-litert`, which brings a
reader and writer of its format.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from echo_edge.bundle.manifest import GraphSpec, TensorSpec
from echo_edge.errors import EchoError


class Products(NamedTuple):
    """A file of bare products, and inputs to run it with."""

    spec: GraphSpec
    inputs: Mapping[str, NDArray[Any]]
    multiply_adds: int
    """Per call."""
    weight_bytes: int


def write_products(source: Path, target: Path) -> Products:
    """Write the products of the graph at `source` to `target`. EchoError if it has none."""
    schema = _schema()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(source.read_bytes(), 0))
    graph = model.subgraphs[0]
    products = [each for each in graph.operators if _is_product(model, each, schema)]
    if not products:
        raise EchoError(f"{source.name}: found no products with weights, expected an encoder")
    dtypes = {schema.TensorType.FLOAT32: np.float32, schema.TensorType.INT8: np.int8}
    inputs: dict[str, NDArray[Any]] = {}
    given, made, outputs = [], [], []
    multiply_adds = weight_bytes = 0
    for number, product in enumerate(products):
        x, weights = (graph.tensors[index] for index in product.inputs[:2])
        y = graph.tensors[product.outputs[0]]
        # Several products may read one tensor: every one gets its own, named apart.
        product.inputs = [len(graph.tensors), *product.inputs[1:]]
        graph.tensors.append(_named_copy(x, f"x{number}", schema))
        product.outputs = [len(graph.tensors)]
        graph.tensors.append(_named_copy(y, f"y{number}", schema))
        given.append((f"x{number}", product.inputs[0]))
        made.append((f"y{number}", product.outputs[0]))
        inputs[f"x{number}"] = _operand(tuple(map(int, x.shape)), dtypes[x.type])
        outputs.append(_spec(f"y{number}", y, dtypes))
        rows = int(np.prod(x.shape[:-1]))
        multiply_adds += rows * int(np.prod(weights.shape))
        weight_bytes += len(model.buffers[weights.buffer].data)
    graph.operators = products
    graph.inputs, graph.outputs = ([index for _, index in side] for side in (given, made))
    (signature,) = model.signatureDefs
    signature.inputs, signature.outputs = _maps(given, schema), _maps(made, schema)
    _save(model, target)
    declared = tuple(
        TensorSpec(name, array.shape, array.dtype.name) for name, array in inputs.items()
    )
    spec = GraphSpec(target.name, declared, tuple(outputs), {})
    return Products(spec, inputs, multiply_adds, weight_bytes)


def _schema() -> Any:
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise EchoError(
            "roofline: ai-edge-litert is not installed here, expected for a tflite bundle: "
            "pip install 'echo-edge[tflite]'"
        ) from error
    return schema_py_generated


def _is_product(model: Any, operator: Any, schema: Any) -> bool:
    code = model.operatorCodes[operator.opcodeIndex].builtinCode
    if code != schema.BuiltinOperator.FULLY_CONNECTED:
        return False
    weights = model.subgraphs[0].tensors[operator.inputs[1]]
    return model.buffers[weights.buffer].data is not None


def _named_copy(tensor: Any, name: str, schema: Any) -> Any:
    copy = schema.TensorT()
    vars(copy).update(vars(tensor))
    copy.name = name
    return copy


def _operand(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    generator = np.random.default_rng(shape[-1])
    if dtype is np.int8:
        return generator.integers(-128, 128, shape, np.int8)
    return generator.standard_normal(shape, np.float32)


def _spec(name: str, tensor: Any, dtypes: Mapping[Any, Any]) -> TensorSpec:
    return TensorSpec(name, tuple(map(int, tensor.shape)), np.dtype(dtypes[tensor.type]).name)


def _maps(side: list[tuple[str, int]], schema: Any) -> list[Any]:
    maps = []
    for name, index in side:
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name, index
        maps.append(entry)
    return maps


def _save(model: Any, path: Path) -> None:
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())
