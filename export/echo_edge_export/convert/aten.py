"""Walks a program that torch exported and hands each of its ATen operators to a file format.

What ONNX and TFLite lowering share. A format brings its values (names, tensors), its table of
operators, and what it does for splits and linears.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx
from torch.export import ExportedProgram

from echo_edge.errors import EchoError
from echo_edge_export.model.streaming import GraphJob
from echo_edge_export.quantize.calibrate import Calibration
from echo_edge_export.quantize.recipes import Recipe
from echo_edge_export.quantize.weights import is_quantized, stored_tensors

SPLITS = ("split.Tensor", "split_with_sizes.default", "split.sizes", "chunk.default")
ASSERTION = "_assert_tensor_metadata.default"


def exported(job: GraphJob) -> ExportedProgram:
    """The job's module as a program of ATen operators, shapes fixed to those of its inputs."""
    with torch.no_grad():
        return torch.export.export(job.module, tuple(job.inputs.values()), strict=False)


def outputs_of(program: ExportedProgram) -> list[fx.Node]:
    """The nodes whose results the program returns."""
    results: Any = program.graph.output_node().args[0]
    return list(results)


def shape_of(node: fx.Node) -> tuple[int, ...]:
    """Shape of a node's one result."""
    return tuple(int(n) for n in node.meta["val"].shape)


class Lowering(ABC):
    """One program on its way into one file format; `values` has what each node has become there."""

    format_name: ClassVar[str]
    operators: ClassVar[Mapping[str, Callable[..., Any]]]
    """Emit functions by name of the ATen operator."""

    def __init__(self, job: GraphJob, recipe: Recipe, calibration: Calibration | None) -> None:
        self.graph_name, self.recipe, self._calibration = job.name, recipe, calibration
        self.values: dict[fx.Node, Any] = {}
        self.stored: dict[fx.Node, tuple[str, NDArray[Any]]] = {}
        """Parameters and buffers: name in the whole model, and numbers."""

    def run(self, program: ExportedProgram, inputs: Iterable[Any]) -> list[Any]:
        """Lower every node; `inputs` are values in the program's order. The outputs' values."""
        self._bind(program, inputs)
        for node in program.graph.nodes:
            if node.op == "call_function" and node not in self.values:
                self._lower(node)
        return [self.value(node) for node in outputs_of(program)]

    def _bind(self, program: ExportedProgram, inputs: Iterable[Any]) -> None:
        """Tell the placeholders apart: given from outside, or stored in the program."""
        stored, given = stored_tensors(program, self.graph_name), iter(inputs)
        for node in program.graph.nodes:
            if node.op != "placeholder":
                continue
            if node.name in stored:
                self.stored[node] = stored[node.name]
            else:
                self.values[node] = next(given)

    def value(self, argument: Any) -> Any:
        """An argument of a node, with values in the place of nodes. What is stored becomes a
        constant of the file when it is first asked for: a quantized weight never is."""
        if isinstance(argument, fx.Node):
            if argument not in self.values:
                self.values[argument] = self.constant(*self.stored[argument])
            return self.values[argument]
        if isinstance(argument, list | tuple):
            return [self.value(item) for item in argument]
        return argument

    def _lower(self, node: fx.Node) -> None:
        target = str(node.target).removeprefix("aten.")
        if target == ASSERTION:
            return
        if "getitem" in target:
            self.values[node] = self.value(node.args[0])[node.args[1]]
        elif (folded := self.fold(node)) is not None:
            self.values[node] = folded
        elif target in SPLITS:
            self.values[node] = self._split(node)
        elif target == "unbind.int":
            dim: Any = node.args[1] if len(node.args) > 1 else 0
            self.values[node] = self.unbind(node, self.value(node.args[0]), dim)
        elif target == "linear.default":
            self.values[node] = self.linear(node)
        elif target == "embedding.default":
            self.values[node] = self.embedding(node)
        elif target in self.operators:
            self.values[node] = self.emit(node, target)
        else:
            raise EchoError(
                f"{self.graph_name}: operator {target} has no {self.format_name} lowering yet"
            )

    def _split(self, node: fx.Node) -> list[Any]:
        parts = node.meta["val"]
        dim: Any = node.args[2] if len(node.args) > 2 else node.kwargs.get("dim", 0)
        axis = int(dim) % parts[0].ndim
        sizes = [int(part.shape[axis]) for part in parts]
        return self.split(node, self.value(node.args[0]), axis, sizes)

    def parameter(self, argument: Any) -> tuple[str, NDArray[np.float32]]:
        """A linear's weight or bias: name in the whole model, and numbers."""
        return self.stored[argument]

    def is_quantized(self, linear: str) -> bool:
        """True if the recipe stores and runs this linear in integers."""
        return is_quantized(self.graph_name, linear, self.recipe)

    @property
    def calibration(self) -> Calibration:
        """Ranges of activations. EchoError if a static recipe came without."""
        if self._calibration is None:
            raise EchoError(f"recipe {self.recipe.name} needs a calibration, found none")
        return self._calibration

    def fold(self, node: fx.Node) -> Any:  # noqa: ARG002  of formats whose engine folds
        """The value of a node that depends on no input; None if it does."""
        return None

    @abstractmethod
    def constant(self, name: str, data: NDArray[Any]) -> Any:
        """A stored tensor's value."""

    @abstractmethod
    def emit(self, node: fx.Node, target: str) -> Any:
        """Write one operator of the table; its value."""

    @abstractmethod
    def split(self, node: fx.Node, x: Any, axis: int, sizes: list[int]) -> list[Any]:
        """Values of the parts of `x` along an axis."""

    @abstractmethod
    def unbind(self, node: fx.Node, x: Any, dim: int) -> list[Any]:
        """Values of the rows of `x` along an axis, without that axis."""

    @abstractmethod
    def linear(self, node: fx.Node) -> Any:
        """Write a linear, in integers where the recipe says so; its value."""

    @abstractmethod
    def embedding(self, node: fx.Node) -> Any:
        """Write a look-up of rows, of a table in integers where the recipe says so; its value."""
