"""Public peers' architectures as ONNX graphs with random weights: their cost, not their answers.

Shapes are those of the published models, named at each function. Attention uses the engine's own
fused operator, so that no peer is slower than it has to be. Needs `onnx`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SAMPLE_RATE = 16_000
OPSETS = (("", 20), ("com.microsoft", 1))


class Net:
    """A graph under construction; every method takes and returns names of tensors."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._generator = np.random.default_rng(0)

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """One operator with one output."""
        name = f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], domain=domain, **attributes))
        return name

    def constant(self, values: object, dtype: type = np.float32) -> str:
        """A constant tensor."""
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def weight(self, *shape: int, fan_in: int = 1) -> str:
        """Random, with outputs about as large as inputs."""
        return self.constant(self._generator.standard_normal(shape, np.float32) / fan_in**0.5)

    def linear(self, x: str, n_in: int, n_out: int) -> str:
        """`[..., n_in]` to `[..., n_out]`."""
        product = self.op("MatMul", x, self.weight(n_in, n_out, fan_in=n_in))
        return self.op("Add", product, self.weight(n_out))

    def conv(
        self, x: str, n_in: int, n_out: int, kernel: Sequence[int], group: int = 1, **how: Any
    ) -> str:
        """A convolution over as many axes as `kernel` has."""
        fan_in = n_in // group * int(np.prod(kernel))
        weight = self.weight(n_out, n_in // group, *kernel, fan_in=fan_in)
        return self.op("Conv", x, weight, self.weight(n_out), group=group, **how)

    def norm(self, x: str, width: int) -> str:
        """Layer norm over the last axis."""
        ones, zeros = self.constant(np.ones(width)), self.constant(np.zeros(width))
        return self.op("LayerNormalization", x, ones, zeros, axis=-1)

    def save(self, path: Path, shape: Sequence[int], output: str) -> Path:
        """Write the graph with the one input `x`."""
        given = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
        made = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        graph = helper.make_graph(self._nodes, path.stem, [given], [made], self._weights)
        opsets = [helper.make_opsetid(*each) for each in OPSETS]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), str(path))
        return path


def whisper_tiny_encoder(path: Path) -> tuple[int, ...]:
    """The encoder of OpenAI's Whisper tiny: 30 s of 80 mel, 4 blocks of width 384, 6 heads."""
    net, width, shape = Net(), 384, (1, 80, 3000)
    x = net.conv("x", 80, width, [3], pads=[1, 1])
    x = net.op("Gelu", x)
    x = net.op("Gelu", net.conv(x, width, width, [3], strides=[2], pads=[1, 1]))
    x = net.op("Add", net.op("Transpose", x, perm=[0, 2, 1]), net.weight(1500, width))
    for _ in range(4):
        y = net.norm(x, width)
        query, key, value = (net.linear(y, width, width) for _ in range(3))
        y = net.op("MultiHeadAttention", query, key, value, domain="com.microsoft", num_heads=6)
        x = net.op("Add", x, net.linear(y, width, width))
        y = net.op("Gelu", net.linear(net.norm(x, width), width, 4 * width))
        x = net.op("Add", x, net.linear(y, 4 * width, width))
    net.save(path, shape, net.norm(x, width))
    return shape


def segmentation(path: Path) -> tuple[int, ...]:
    """Shaped as pyannote's PyanNet: 10 s of waveform, SincNet, 4 bidirectional LSTMs of 128, 7
    classes."""
    net, shape = Net(), (1, 1, 10 * SAMPLE_RATE)
    x, n_in = "x", 1
    for n_out, kernel, stride in ((80, 251, 10), (60, 5, 1), (60, 5, 1)):
        x = net.op(
            "Abs" if n_in == 1 else "Identity", net.conv(x, n_in, n_out, [kernel], strides=[stride])
        )
        x = net.op("MaxPool", x, kernel_shape=[3], strides=[3])
        scale, shift = net.constant(np.ones(n_out)), net.constant(np.zeros(n_out))
        x = net.op("LeakyRelu", net.op("InstanceNormalization", x, scale, shift))
        n_in = n_out
    x = net.op("Transpose", x, perm=[2, 0, 1])
    for _ in range(4):
        x = _lstm(net, x, n_in, 128)
        n_in = 256
    x = net.op("LeakyRelu", net.linear(x, 256, 128))
    x = net.op("LeakyRelu", net.linear(x, 128, 128))
    net.save(path, shape, net.op("LogSoftmax", net.linear(x, 128, 7), axis=-1))
    return shape


def _lstm(net: Net, x: str, n_in: int, hidden: int) -> str:
    """Both directions side by side."""
    weights = net.weight(2, 4 * hidden, n_in, fan_in=n_in)
    recurrent = net.weight(2, 4 * hidden, hidden, fan_in=hidden)
    bias = net.weight(2, 8 * hidden)
    y = net.op(
        "LSTM", x, weights, recurrent, bias, hidden_size=hidden, direction="bidirectional"
    )  # [time, 2, 1, hidden]
    y = net.op("Transpose", y, perm=[0, 2, 1, 3])
    return net.op("Reshape", y, net.constant([0, 1, 2 * hidden], np.int64))


def resnet34(path: Path) -> tuple[int, ...]:
    """Shaped as WeSpeaker's ResNet34: 1.5 s of 80 mel, channels 32 to 256, mean and deviation,
    256."""
    net, shape = Net(), (1, 1, 80, 150)
    x, n_in = net.op("Relu", net.conv("x", 1, 32, [3, 3], pads=[1] * 4)), 32
    for n_out, blocks in ((32, 3), (64, 4), (128, 6), (256, 3)):
        for block in range(blocks):
            stride = 2 if block == 0 and n_out > 32 else 1
            y = net.conv(x, n_in, n_out, [3, 3], strides=[stride] * 2, pads=[1] * 4)
            y = net.conv(net.op("Relu", y), n_out, n_out, [3, 3], pads=[1] * 4)
            if stride > 1:
                x = net.conv(x, n_in, n_out, [1, 1], strides=[2, 2])
            x, n_in = net.op("Relu", net.op("Add", x, y)), n_out
    mean = net.op("ReduceMean", x, net.constant([3], np.int64), keepdims=0)
    square = net.op("ReduceMean", net.op("Mul", x, x), net.constant([3], np.int64), keepdims=0)
    both = net.op("Concat", mean, square, axis=1)
    flat = net.op("Reshape", both, net.constant([1, 5120], np.int64))
    net.save(path, shape, net.linear(flat, 5120, 256))
    return shape


def conv_tasnet(path: Path) -> tuple[int, ...]:
    """Conv-TasNet at 16 kHz: 512 filters of 32, width 128 and 512, 3 x 8 blocks, 3 voices.

    Convolutions over time are written with a second axis of one, which this engine runs faster.
    """
    net, shape, filters, width, hidden = Net(), (1, 1, 1, 4 * SAMPLE_RATE), 512, 128, 512
    code = net.op("Relu", net.conv("x", 1, filters, [1, 32], strides=[1, 16]))
    x, skips = net.conv(_global_norm(net, code, filters), filters, width, [1, 1]), []
    for block in range(24):
        dilation = 2 ** (block % 8)
        y = net.op("PRelu", net.conv(x, width, hidden, [1, 1]), net.constant([0.25]))
        y = net.conv(
            _global_norm(net, y, hidden), hidden, hidden, [1, 3], group=hidden,
            dilations=[1, dilation], pads=[0, dilation, 0, dilation],
        )  # fmt: skip
        y = _global_norm(net, net.op("PRelu", y, net.constant([0.25])), hidden)
        x = net.op("Add", x, net.conv(y, hidden, width, [1, 1]))
        skips.append(net.conv(y, hidden, width, [1, 1]))
    summed = net.op("PRelu", net.op("Sum", *skips), net.constant([0.25]))
    masks = net.op("Relu", net.conv(summed, width, 3 * filters, [1, 1]))
    masks = net.op("Reshape", masks, net.constant([3, filters, 1, -1], np.int64))
    voices = net.op("Mul", masks, code)
    decoded = net.op("ConvTranspose", voices, net.weight(filters, 1, 1, 32), strides=[1, 16])
    net.save(path, shape, decoded)
    return shape


def _global_norm(net: Net, x: str, channels: int) -> str:
    """Over channels and time together, then a scale and shift per channel."""
    flat = net.op("Reshape", x, net.constant([1, 1, -1], np.int64))
    one, zero = net.constant([1.0]), net.constant([0.0])
    flat = net.op("InstanceNormalization", flat, one, zero)
    back = net.op("Reshape", flat, net.constant([1, channels, 1, -1], np.int64))
    scaled = net.op("Mul", back, net.weight(channels, 1, 1))
    return net.op("Add", scaled, net.weight(channels, 1, 1))


def random_input(shape: Sequence[int]) -> NDArray[np.float32]:
    """Random input of a graph: time does not depend on its numbers."""
    return np.random.default_rng(1).standard_normal(shape, np.float32)
