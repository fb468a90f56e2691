#!/usr/bin/env python3
"""Turns a dense Llama GGUF into a small mixture of experts, to exercise what serves such models.

usage: upcycle.py --output moe.gguf [--experts 4] [--used 2] dense.gguf

Every expert is a copy of the dense model's feed-forward block, and llama.cpp weighs the chosen experts so that the
weights add up to one: whatever the router chooses, the model says what the dense one says. It is for tests of expert
placement, and no better a model than it was. The idea is that of A. Komatsuzaki et al., "Sparse Upcycling: Training
Mixture-of-Experts from Dense Checkpoints", 2022, arXiv:2212.05055, without the training.

Needs nothing but Python; the bytes of the output depend on the input and the two numbers alone. The format is
described in `docs/gguf.md`, github.com/ggml-org/ggml (MIT).
"""

import argparse
import math
import random
import re
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

MAGIC, VERSION = b"GGUF", 3
ALIGNMENT = 32  # of a tensor's data, unless the file says otherwise
UINT32, STRING, ARRAY = 4, 8, 9
SCALAR_SIZE = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
F32 = 0
ROUTER_SCALE = 0.1  # small, so that no expert is preferred for long
FEED_FORWARD = re.compile(r"(blk\.\d+)\.(ffn_gate|ffn_up|ffn_down)\.weight")


class Tensor(NamedTuple):
    """A tensor; dimensions in ggml's order, the fastest first."""

    name: str
    dimensions: tuple[int, ...]
    kind: int
    data: memoryview | bytes
    copies: int = 1  # how often the data is written

    @property
    def size(self) -> int:
        return len(self.data) * self.copies


class Gguf(NamedTuple):
    """A model: its metadata still encoded (key, type, value), and its tensors."""

    fields: list[tuple[str, int, bytes]]
    tensors: list[Tensor]


def align(position: int) -> int:
    return math.ceil(position / ALIGNMENT) * ALIGNMENT


def read_gguf(path: Path) -> Gguf:
    """Reads a model, leaving every metadata value as the bytes it is."""
    raw = memoryview(path.read_bytes())
    if bytes(raw[:4]) != MAGIC:
        raise SystemExit(f"{path}: not a GGUF file")
    at = 4

    def number(code: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from("<" + code, raw, at)
        at += struct.calcsize("<" + code)
        return value

    def text() -> str:
        nonlocal at
        length = number("Q")
        at += length
        return bytes(raw[at - length : at]).decode()

    def skip(kind: int) -> None:
        nonlocal at
        if kind == STRING:
            text()
        elif kind == ARRAY:
            element, count = number("I"), number("Q")
            if element in SCALAR_SIZE:
                at += count * SCALAR_SIZE[element]
            else:
                for _ in range(count):
                    skip(element)
        else:
            at += SCALAR_SIZE[kind]

    version, tensor_count, field_count = number("I"), number("Q"), number("Q")
    if version != VERSION:
        raise SystemExit(f"{path}: GGUF version {version}, this script reads {VERSION}")
    fields = []
    for _ in range(field_count):
        key, kind, start = text(), number("I"), at
        skip(kind)
        fields.append((key, kind, bytes(raw[start:at])))
    if any(key == "general.alignment" for key, _, _ in fields):
        raise SystemExit(f"{path}: has an alignment of its own, which this script does not know")
    entries = []
    for _ in range(tensor_count):
        name = text()
        dimensions = tuple(number("Q") for _ in range(number("I")))
        entries.append((name, dimensions, number("I"), number("Q")))
    start = align(at)
    ends = sorted(offset for *_, offset in entries)[1:] + [len(raw) - start]
    end_of = dict(zip(sorted(offset for *_, offset in entries), ends))
    tensors = [
        Tensor(name, dimensions, kind, raw[start + offset : start + end_of[offset]])
        for name, dimensions, kind, offset in entries
    ]
    return Gguf(fields, tensors)


def encode(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def write_gguf(path: Path, model: Gguf) -> None:
    """Writes a model."""
    with open(path, "wb") as file:
        file.write(MAGIC + struct.pack("<IQQ", VERSION, len(model.tensors), len(model.fields)))
        for key, kind, value in model.fields:
            file.write(encode(key) + struct.pack("<I", kind) + value)
        offset = 0
        for tensor in model.tensors:
            shape = struct.pack(f"<I{len(tensor.dimensions)}Q", len(tensor.dimensions), *tensor.dimensions)
            file.write(encode(tensor.name) + shape + struct.pack("<IQ", tensor.kind, offset))
            offset = align(offset + tensor.size)
        pad(file)
        for tensor in model.tensors:
            for _ in range(tensor.copies):
                file.write(tensor.data)
            pad(file)


def pad(file: BinaryIO) -> None:
    file.write(bytes(align(file.tell()) - file.tell()))


def upcycle(dense: Gguf, experts: int, used: int) -> Gguf:
    """Makes every feed-forward block a choice of `used` out of `experts`."""
    fields = []
    for key, kind, value in dense.fields:
        if key == "general.architecture" and value != encode("llama"):
            raise SystemExit("only models of the llama architecture can be upcycled")
        if key == "general.name":
            value = encode(f"{value[8:].decode()}, upcycled to {experts} experts, {used} used")
        fields.append((key, kind, value))
    fields.append(("llama.expert_count", UINT32, struct.pack("<I", experts)))
    fields.append(("llama.expert_used_count", UINT32, struct.pack("<I", used)))

    generator = random.Random(0)  # whose random() gives the same numbers in every version of Python
    tensors = []
    for tensor in dense.tensors:
        match = FEED_FORWARD.fullmatch(tensor.name)
        if not match:
            tensors.append(tensor)
            continue
        block, part = match.groups()
        shape = (*tensor.dimensions, experts)
        tensors.append(Tensor(f"{block}.{part}_exps.weight", shape, tensor.kind, tensor.data, experts))
        if part == "ffn_gate":
            width = tensor.dimensions[0]
            weights = [(generator.random() * 2 - 1) * ROUTER_SCALE for _ in range(width * experts)]
            router = struct.pack(f"<{len(weights)}f", *weights)
            tensors.append(Tensor(f"{block}.ffn_gate_inp.weight", (width, experts), F32, router))
    return Gguf(fields, tensors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--experts", type=int, default=4)
    parser.add_argument("--used", type=int, default=2)
    parser.add_argument("dense", type=Path)
    arguments = parser.parse_args()
    write_gguf(arguments.output, upcycle(read_gguf(arguments.dense), arguments.experts, arguments.used))


if __name__ == "__main__":
    main()
