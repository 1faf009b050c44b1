"""One fixed-shape torch module to one ExecuTorch file for XNNPACK. Same input, same bytes."""

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram, export

from echo_edge.bundle.manifest import GraphSpec
from echo_edge.engines.executorch import sealed
from echo_edge.errors import EchoError
from echo_edge_export.convert.executorch_graph import Rewritten
from echo_edge_export.model.streaming import GraphJob
from echo_edge_export.quantize.calibrate import Calibration
from echo_edge_export.quantize.recipes import Recipe


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' own warnings about themselves, as text or as log lines."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


with _quiet():
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower
    from executorch.exir._serialize._program import deserialize_pte_binary
    from executorch.exir.passes import MemoryPlanningPass
    from executorch.exir.schema import ExecutionPlan, KernelCall


def to_executorch(
    job: GraphJob, recipe: Recipe, calibration: Calibration | None, path: Path
) -> GraphSpec:
    """Write `job` to `path` and describe it for the manifest. The order of inputs is the file's.

    EchoError if a static recipe comes without a calibration.
    """
    with _quiet():
        program = rewritten(job, recipe, calibration)
        # The caller's own arrays are the inputs and outputs: none is planned for them, none copied.
        planning = MemoryPlanningPass(alloc_graph_input=False, alloc_graph_output=False)
        config = ExecutorchBackendConfig(memory_planning_pass=planning)
        edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
        path.write_bytes(sealed(bytes(edge.to_executorch(config).buffer)))
    values = program.graph.output_node().args[0]
    shapes = [tuple(int(n) for n in value.meta["val"].shape) for value in values]
    return job.describe(path, shapes)


def rewritten(job: GraphJob, recipe: Recipe, calibration: Calibration | None) -> ExportedProgram:
    """The graph in operators that XNNPACK takes, its linears quantized by the recipe."""
    if recipe.activations == "static" and calibration is None:
        raise EchoError(f"recipe {recipe.name} needs a calibration, found none")
    example = tuple(job.inputs.values())
    whole = _export(_plain(job.module), example).module(check_guards=False)
    return _export(Rewritten(whole, job.name, recipe, calibration), example)


def left_over(path: Path) -> tuple[int, list[tuple[str, tuple[int, ...]]]]:
    """Number of pieces of a file's graph that XNNPACK runs, and the operators outside of them, each
    of which splits a piece in two, with the shape of their input."""
    with _quiet():
        plan = deserialize_pte_binary(path.read_bytes()).program.execution_plan[0]
    operators = []
    for call in _called(plan):
        source: Any = plan.values[call.args[0]].val
        operators.append((plan.operators[call.op_index].name, tuple(source.sizes)))
    return len(plan.delegates), operators


def _called(plan: ExecutionPlan) -> list[KernelCall]:
    """The calls of operators in the plan, in order."""
    calls = (instruction.instr_args for chain in plan.chains for instruction in chain.instructions)
    return [call for call in calls if isinstance(call, KernelCall)]


def _plain(module: nn.Module) -> nn.Module:
    """A copy whose buffers are all stored: the lowering knows no others."""
    copied = copy.deepcopy(module).requires_grad_(False)
    for part in copied.modules():
        part._non_persistent_buffers_set.clear()
    return copied


def _export(module: nn.Module, example: tuple[Tensor, ...]) -> ExportedProgram:
    with torch.no_grad():
        return export(module, example, strict=False)
