"""A torch graph rewritten in the operators that XNNPACK takes, its linears in integers.

XNNPACK runs what it is handed as one piece; every operator it does not know splits that piece and
costs two copies and a call. So products become batched, norms become products, cuts become slices,
and what depends on weights only is computed here. The arithmetic stays what it was.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.ao.quantization.fx._decomposed  # makes the operators of `quantized` known
from torch import Tensor, fx, nn
from torch.nn import functional as F

from echo_edge_export.quantize.calibrate import Calibration
from echo_edge_export.quantize.recipes import Recipe
from echo_edge_export.quantize.weights import is_quantized, qualified, quantize_weight

aten = torch.ops.aten
quantized = torch.ops.quantized_decomposed

INT8 = (-128, 127, torch.int8)
"""XNNPACK's activations: signed, so a zero point of unsigned ones is 128 less."""


class Rewritten(nn.Module):
    """One exported graph, to be exported again; same inputs, same outputs."""

    def __init__(
        self,
        graph: fx.GraphModule,
        graph_name: str,
        recipe: Recipe,
        calibration: Calibration | None,
    ) -> None:
        super().__init__()
        self.whole = graph
        self.linears = _store_integers(graph, graph_name, recipe)
        self.recipe, self.calibration = recipe, calibration
        _fold_constants(graph)
        for node in graph.graph.nodes:
            if node.target in (aten.layer_norm.default, aten.sum.dim_IntList):
                width = node.args[0].meta["val"].shape[-1]
                self.register_buffer(f"sum_{width}", torch.ones(1, width))
                self.register_buffer(f"mean_{width}", torch.full((1, width), 1.0 / width))

    def forward(self, *inputs: Tensor) -> Any:
        """Runs the graph through the rules, which replace its operators."""
        return _Rules(self).run(*inputs)


def _store_integers(graph: fx.GraphModule, graph_name: str, recipe: Recipe) -> dict[fx.Node, str]:
    """Replace the weights of all linears to quantize by integers and scales; the nodes and the
    linears' names."""
    linears = {}
    for node in graph.graph.nodes:
        if node.target is not aten.linear.default or node.args[1].op != "get_attr":
            continue
        target = node.args[1].target
        name = qualified(graph_name, target).removesuffix(".weight")
        if not is_quantized(graph_name, name, recipe):
            continue
        linears[node] = name
        owner, _, leaf = target.rpartition(".")
        module = graph.get_submodule(owner)
        if getattr(module, leaf).dtype == torch.int8:  # of a linear that is used twice
            continue
        integers, scales = quantize_weight(getattr(module, leaf).numpy(), recipe.weight_bits)
        delattr(module, leaf)
        module.register_buffer(leaf, torch.from_numpy(integers))
        module.register_buffer(f"{leaf}_scales", torch.from_numpy(scales))
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        module.register_buffer(f"{leaf}_zeros", zeros)
    return linears


def _fold_constants(graph: fx.GraphModule) -> None:
    """Compute every operator whose inputs are all weights."""
    known: dict[fx.Node, Tensor] = {}
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            known[node] = _attribute(graph, node.target)
        elif node.target in (aten.ones_like.default, aten.zeros_like.default):
            known[node] = node.target(torch.empty(node.meta["val"].shape))
        elif node.op == "call_function" and node.all_input_nodes:
            if not all(source in known for source in node.all_input_nodes):
                continue
            arguments = fx.node.map_arg((node.args, node.kwargs), known.__getitem__)
            value = node.target(*arguments[0], **arguments[1])
            if isinstance(value, Tensor):
                known[node] = value.contiguous()
    for node in [n for n in known if n.op == "call_function"]:
        graph.register_buffer(f"folded_{node.name}", known[node])
        with graph.graph.inserting_before(node):
            constant = graph.graph.get_attr(f"folded_{node.name}")
        node.replace_all_uses_with(constant)
        graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()


def _attribute(graph: nn.Module, target: str) -> Tensor:
    owner, _, leaf = target.rpartition(".")
    tensor: Tensor = getattr(graph.get_submodule(owner), leaf)
    return tensor


class _Rules(fx.Interpreter):
    """Runs the graph with other operators: traced, it is the graph that is wanted."""

    def __init__(self, rewritten: Rewritten) -> None:
        super().__init__(rewritten.whole, garbage_collect_values=False)
        self.rewritten = rewritten
        self.linears = rewritten.linears
        self.recipe, self.calibration = rewritten.recipe, rewritten.calibration
        self.grids: dict[fx.Node, tuple[float, int]] = {}
        """The integer grid that a node's value was rounded to, if any."""

    def run_node(self, n: fx.Node) -> Any:
        """The value of one node."""
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        if n in self.linears:
            return self.linear(n, args[0])
        if n.target is aten.relu.default and (name := self.linears.get(n.args[0])) is not None:
            return self.rounded(n, F.relu(args[0]), name, relu=True)
        if n.target is aten.embedding.default and args[0].dtype == torch.int8:
            return self.embedding(n, *args)
        if n.target is aten.layer_norm.default:
            return self.layer_norm(*args)
        if n.target is aten.sum.dim_IntList:
            return self.sum(*args)
        if n.target is aten.matmul.default and n.args[1].op == "get_attr" and args[1].ndim == 2:
            rows = torch.mm(args[0].reshape(-1, args[0].shape[-1]), args[1])
            return rows.reshape(*args[0].shape[:-1], -1)
        if n.op == "call_function" and n.target in RULES:
            return RULES[n.target](*args, **kwargs)
        return super().run_node(n)

    def linear(self, node: fx.Node, x: Tensor) -> Tensor:
        """A linear in integers; its result is rounded too if the recipe's activations are static,
        after the ReLU where one follows."""
        name, target = self.linears[node], node.args[1].target
        weight, scales, zeros = (
            _attribute(self.module, target + suffix) for suffix in ("", "_scales", "_zeros")
        )
        weight = quantized.dequantize_per_channel(weight, scales, zeros, 0, -127, 127, torch.int8)
        bias = _attribute(self.module, node.args[2].target) if len(node.args) > 2 else None
        if self.recipe.activations == "dynamic":
            return F.linear(_dynamic(x), weight, bias)
        assert self.calibration is not None  # noqa: S101  to_executorch has looked
        grid = self.calibration.quantization(name)
        if self.grids.get(node.args[0]) != grid:
            x = _static(x, *grid)
        y = F.linear(x, weight, bias)
        users = list(node.users)
        if len(users) == 1 and users[0].target is aten.relu.default:
            return y
        return self.rounded(node, y, name)

    def embedding(self, node: fx.Node, table: Tensor, rows: Tensor) -> Tensor:
        """Rows of a linear's integers, scaled."""
        assert isinstance(node.args[0], fx.Node)  # noqa: S101  a weight
        scales = _attribute(self.module, f"{node.args[0].target}_scales")
        return F.embedding(rows, table).float() * F.embedding(rows, scales[:, None])

    def layer_norm(
        self, x: Tensor, shape: list[int], weight: Tensor, bias: Tensor, eps: float, *_: bool
    ) -> Tensor:
        """Means as products: XNNPACK has no mean of rows."""
        mean = self.rewritten.get_buffer(f"mean_{shape[0]}")
        centred = x - F.linear(x, mean)
        variance = F.linear(centred * centred, mean)
        return centred * torch.rsqrt(variance + eps) * weight + bias

    def sum(self, x: Tensor, dims: list[int], keep: bool = False) -> Tensor:
        """Sums of rows as products; two columns as an addition."""
        if [dim % x.ndim for dim in dims] != [x.ndim - 1]:
            return x.sum(dims, keep)
        if x.shape[-1] == 2:
            total = x.narrow(-1, 0, 1) + x.narrow(-1, 1, 1)
        else:
            total = F.linear(x, self.rewritten.get_buffer(f"sum_{x.shape[-1]}"))
        return total if keep else total.reshape(x.shape[:-1])

    def rounded(self, node: fx.Node, y: Tensor, name: str, relu: bool = False) -> Tensor:
        """A linear's result on the integer grid that the calibration gives it."""
        if self.recipe.activations != "static":
            return y
        assert self.calibration is not None  # noqa: S101
        following = {self.linears.get(user) for user in node.users}
        then = following.pop() if len(following) == 1 else None
        self.grids[node] = (
            self.calibration.output_quantization(name, relu)
            if then is None
            else self.calibration.quantization(then)  # as the next linear wants it
        )
        return _static(y, *self.grids[node])


def _dynamic(x: Tensor) -> Tensor:
    """Rounded to integers whose range is that of each row."""
    scale, zero = quantized.choose_qparams_per_token_asymmetric(x, torch.int8)
    integers = quantized.quantize_per_token(x, scale, zero, *INT8)
    return quantized.dequantize_per_token(integers, scale, zero, *INT8, torch.float32)


def _static(x: Tensor, scale: float, zero: int) -> Tensor:
    """Rounded to integers of a calibrated range; `zero` belongs to unsigned ones."""
    integers = quantized.quantize_per_tensor(x, scale, zero - 128, *INT8)
    return quantized.dequantize_per_tensor(integers, scale, zero - 128, *INT8)


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    """A product of `[..., m, k]` and `[..., k, n]`, as one batch of matrices."""
    batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    if a.ndim == b.ndim and a.shape[:-2] == b.shape[:-2]:
        flat = [t.reshape(-1, *t.shape[-2:]) for t in (a, b)]
        return torch.bmm(*flat).reshape(*batch, a.shape[-2], b.shape[-1])
    return a @ b


def _softmax(x: Tensor, dim: int, *_: Any) -> Tensor:
    """Along rows, which is the only way XNNPACK knows."""
    if dim % x.ndim == x.ndim - 1:
        return x.softmax(-1)
    return x.transpose(dim, -1).softmax(-1).transpose(dim, -1)


def _split(x: Tensor, sizes: int | list[int], dim: int = 0) -> list[Tensor]:
    """Parts of given sizes, as slices."""
    total = x.shape[dim]
    if isinstance(sizes, int):
        sizes = [min(sizes, total - start) for start in range(0, total, sizes)]
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [x.narrow(dim, start, size) for start, size in zip(starts, sizes, strict=True)]


def _chunk(x: Tensor, chunks: int, dim: int = 0) -> list[Tensor]:
    return _split(x, -(-x.shape[dim] // chunks), dim)


def _select(x: Tensor, dim: int, index: int) -> Tensor:
    """One row, as a slice and a view."""
    dim, index = dim % x.ndim, index % x.shape[dim]
    return x.narrow(dim, index, 1).reshape(*x.shape[:dim], *x.shape[dim + 1 :])


def _unbind(x: Tensor, dim: int = 0) -> list[Tensor]:
    return [_select(x, dim, i) for i in range(x.shape[dim])]


def _unsqueeze(x: Tensor, dim: int) -> Tensor:
    dim %= x.ndim + 1
    return x.reshape(*x.shape[:dim], 1, *x.shape[dim:])


def _stack(tensors: list[Tensor], dim: int = 0) -> Tensor:
    return torch.cat([_unsqueeze(t, dim) for t in tensors], dim)


RULES: Mapping[Any, Callable[..., Any]] = {
    aten.matmul.default: _matmul,
    aten.softmax.int: _softmax,
    aten.split.Tensor: _split,
    aten.split_with_sizes.default: _split,
    aten.chunk.default: _chunk,
    aten.select.int: _select,
    aten.unbind.int: _unbind,
    aten.unsqueeze.default: _unsqueeze,
    aten.stack.default: _stack,
}
"""Operator -> the same in others."""
