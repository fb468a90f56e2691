#!/usr/bin/env python3
"""Turns PyTorch's EfficientNet-Lite0 and a list of its 1000 classes into one ONNX file.

usage: convert_efficientnet.py --output efficientnet-lite0.onnx model.pth classes.json

Needs nothing but Python. The bytes of the output depend on the input alone: the weights are copied as they are, and
folding batch normalisation into convolutions is left to the program that loads the file. Input: pictures as
[n, 3, 224, 224], RGB, each value v of 0 to 255 as (v - 127) / 128. Output: logits, [n, 1000]. The class names are
metadata of the file, `labels`, one a line.

Three formats and an architecture meet here:
- PyTorch's checkpoints before 1.6: `torch/serialization.py` (`_legacy_save`) in github.com/pytorch/pytorch (BSD-3);
- ONNX: `onnx/onnx.proto` in github.com/onnx/onnx (Apache-2.0), written as protocol buffers' encoding says;
- the classes: a JSON list of names in ImageNet's order;
- EfficientNet-Lite0: `efficientnet_lite_builder.py` in github.com/tensorflow/tpu, models/official/efficientnet/lite
  (Apache-2.0): no squeeze-and-excitation, ReLU6, stem and head not scaled, TensorFlow's "SAME" padding.
"""

import argparse
import collections
import json
import math
import pickle
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

SIZE = 224  # pixels of a side
EPSILON = 1e-3  # of batch normalisation
STEM, HEAD = 32, 1280  # channels
STAGES = [  # how often the block is repeated, its kernel, stride of the first, expansion, channels out
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
OPSET, IR_VERSION = 13, 8
FLOAT = 1  # ONNX's number for float32


# ---- the checkpoint --------------------------------------------------------------------------------------------------


class Tensor(NamedTuple):
    """A float32 tensor in row-major order, little-endian."""

    shape: tuple[int, ...]
    data: bytes


class Storage:
    """A run of numbers that tensors are views of; its bytes come later in the file."""

    item_size = {"FloatStorage": 4, "LongStorage": 8}

    def __init__(self, kind: str, count: int):
        self.kind, self.count, self.data = kind, count, b""


class View(NamedTuple):
    """A tensor as the checkpoint describes it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def tensor(self) -> Tensor:
        """Puts the numbers, whose axes may lie in any order, into row-major order."""
        items = memoryview(self.storage.data).cast("I")
        axes = [(length, step) for length, step in zip(self.shape, self.stride) if length > 1]

        def rows(start: int, axes: list[tuple[int, int]]) -> bytes:
            if not axes:
                return items[start : start + 1].tobytes()
            (length, step), *inner = axes
            if not inner:
                return items[start : start + (length - 1) * step + 1 : step].tobytes()
            return b"".join(rows(start + index * step, inner) for index in range(length))

        return Tensor(self.shape, rows(self.offset, axes))


class Unpickler(pickle.Unpickler):
    """Reads names, shapes and places; knows no class but these, so a checkpoint can run nothing."""

    def __init__(self, file: BinaryIO):
        super().__init__(file)
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, stride, *_: View(storage, offset, shape, stride)
        if module == "torch" and name in Storage.item_size:
            return name
        raise SystemExit(f"the checkpoint holds {module}.{name}, which is no tensor")

    def persistent_load(self, reference: tuple):
        _, kind, key, _, count, *_ = reference
        return self.storages.setdefault(key, Storage(kind, count))


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Reads every float32 tensor by its name."""
    with open(path, "rb") as file:
        try:
            magic, _protocol, _system = (Unpickler(file).load() for _ in range(3))
        except (pickle.UnpicklingError, EOFError, LookupError, ValueError):
            magic = None
        if magic != LEGACY_MAGIC:
            raise SystemExit(f"{path}: not a PyTorch checkpoint of the format before 1.6")
        unpickler = Unpickler(file)
        views = unpickler.load()
        for key in Unpickler(file).load():
            storage = unpickler.storages[key]
            (count,) = struct.unpack("<q", file.read(8))
            storage.data = file.read(count * Storage.item_size[storage.kind])
            if count != storage.count or len(storage.data) != count * Storage.item_size[storage.kind]:
                raise SystemExit(f"{path}: storage {key} is damaged")
    return {name: view.tensor() for name, view in views.items() if view.storage.kind == "FloatStorage"}


# ---- protocol buffers ------------------------------------------------------------------------------------------------


def varint(value: int) -> bytes:
    """A number in groups of seven bits, the lowest first."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def field(number: int, value: int | float | str | bytes) -> bytes:
    """One field of a message: a number, a float, or something with a length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def attribute(name: str, value: int | float | list[int]) -> bytes:
    """AttributeProto, whose last field says which of FLOAT, INT and INTS it is."""
    if isinstance(value, list):
        return field(1, name) + b"".join(field(8, item) for item in value) + field(20, 7)
    if isinstance(value, float):
        return field(1, name) + field(2, value) + field(20, 1)
    return field(1, name) + field(3, value) + field(20, 2)


def value_info(name: str, shape: list[int | str]) -> bytes:
    """ValueInfoProto of a float32 tensor; an axis of any length has a name."""
    axes = b"".join(field(1, field(2 if isinstance(axis, str) else 1, axis)) for axis in shape)
    return field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, axes)))


# ---- the graph -------------------------------------------------------------------------------------------------------


class Graph:
    """GraphProto as it grows, one node after the other, each named by what it gives."""

    def __init__(self, source: dict[str, Tensor]):
        self.source = source
        self.nodes: list[bytes] = []
        self.initializers: list[bytes] = []
        self.x, self.channels, self.size = "input", 3, SIZE  # what the next node takes: its name, channels, side
        self.constant("zero", Tensor((), struct.pack("<f", 0.0)))
        self.constant("six", Tensor((), struct.pack("<f", 6.0)))

    def constant(self, name: str, tensor: Tensor) -> str:
        if len(tensor.data) != math.prod(tensor.shape) * 4:
            raise SystemExit(f"tensor {name} of the checkpoint is cut off")
        dimensions = b"".join(field(1, length) for length in tensor.shape)
        self.initializers.append(dimensions + field(2, FLOAT) + field(8, name) + field(9, tensor.data))
        return name

    def weight(self, name: str, shape: tuple[int, ...]) -> str:
        tensor = self.source.get(name)
        if tensor is None or tensor.shape != shape:
            raise SystemExit(f"the checkpoint has no {name} of shape {shape}: it is no EfficientNet-Lite0")
        return self.constant(name, tensor)

    def node(self, kind: str, output: str, others: list[str], **attributes: int | float | list[int]) -> None:
        """Appends a node that takes what the one before gave, and others."""
        inputs = b"".join(field(1, name) for name in [self.x, *others])
        settings = b"".join(field(5, attribute(name, value)) for name, value in attributes.items())
        self.nodes.append(inputs + field(2, output) + field(3, output) + field(4, kind) + settings)
        self.x = output

    def convolution(self, name: str, norm: str, kernel: int, stride: int, channels: int, active: bool = True) -> None:
        """Appends a convolution, its batch normalisation and mostly ReLU6. A depthwise one keeps channels apart."""
        group = channels if name.endswith("_depthwise_conv") else 1
        size = -(-self.size // stride)
        padding = max((size - 1) * stride + kernel - self.size, 0)
        first, last = padding // 2, padding - padding // 2
        geometry = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [first] * 2 + [last] * 2}
        weight = self.weight(f"{name}.weight", (channels, self.channels // group, kernel, kernel))
        self.node("Conv", f"{name}.out", [weight], **geometry, group=group)
        parts = [f"{norm}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        weights = [self.weight(part, (channels,)) for part in parts]
        self.node("BatchNormalization", f"{norm}.out", weights, epsilon=EPSILON)
        if active:
            self.node("Clip", f"{name}.active", ["zero", "six"])
        self.channels, self.size = channels, size

    def block(self, name: str, kernel: int, stride: int, expansion: int, channels: int) -> None:
        """Appends an inverted residual block: widen, convolve each channel, narrow; what came in is added."""
        shortcut, before = self.x, self.channels
        if expansion > 1:
            self.convolution(f"{name}._expand_conv", f"{name}._bn0", 1, 1, before * expansion)
        self.convolution(f"{name}._depthwise_conv", f"{name}._bn1", kernel, stride, before * expansion)
        self.convolution(f"{name}._project_conv", f"{name}._bn2", 1, 1, channels, active=False)
        if stride == 1 and before == channels:
            self.node("Add", f"{name}.sum", [shortcut])


def build(source: dict[str, Tensor], classes: int) -> bytes:
    """Gives GraphProto of the whole network."""
    graph, number = Graph(source), 0
    graph.convolution("_conv_stem", "_bn0", 3, 2, STEM)
    for repeats, kernel, stride, expansion, channels in STAGES:
        for repeat in range(repeats):
            graph.block(f"_blocks.{number}", kernel, stride if repeat == 0 else 1, expansion, channels)
            number += 1
    graph.convolution("_conv_head", "_bn1", 1, 1, HEAD)
    graph.node("GlobalAveragePool", "pooled", [])
    graph.node("Flatten", "features", [])
    weights = [graph.weight("_fc.weight", (classes, HEAD)), graph.weight("_fc.bias", (classes,))]
    graph.node("Gemm", "logits", weights, transB=1)
    nodes = b"".join(field(1, node) for node in graph.nodes)
    initializers = b"".join(field(5, initializer) for initializer in graph.initializers)
    ends = field(11, value_info("input", ["n", 3, SIZE, SIZE])) + field(12, value_info("logits", ["n", classes]))
    return nodes + field(2, "efficientnet-lite0") + initializers + ends


def convert(model: Path, classes: Path, output: Path) -> None:
    """Writes the ONNX file."""
    names = json.loads(classes.read_text(encoding="utf-8"))
    if not all(isinstance(name, str) and name and "\n" not in name for name in names):
        raise SystemExit(f"{classes}: not a list of names")
    graph = build(read_checkpoint(model), len(names))
    labels = field(1, "labels") + field(2, "\n".join(names))
    head = field(1, IR_VERSION) + field(2, "megabrain")
    output.write_bytes(head + field(7, graph) + field(8, field(2, OPSET)) + field(14, labels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("model", type=Path, help="EfficientNet-Lite0's checkpoint, .pth")
    parser.add_argument("classes", type=Path, help="its classes in order, a JSON list")
    arguments = parser.parse_args()
    convert(arguments.model, arguments.classes, arguments.output)


if __name__ == "__main__":
    main()
