#!/usr/bin/env python3
"""Turns a dense Llama GGUF into a small mixture of experts, to exercise what serves such models.

usage: upcycle.py --output moe.gguf [--experts 4] [--used 2] dense.gguf

Every expert is a copy of the dense model's feed-forward block, and llama.cpp weighs the chosen experts so that the
weights add up to one: whatever the router chooses, the model says what the dense one says. It is for tests of expert
placement, and no better a model than it was. The idea is that of A. Komatsuzaki et al., "Sparse Upcycling: Training
Mixture-of-Experts from Dense Checkpoints", 2022, arXiv:2212.05055, without the training.

Needs nothing but Python; the bytes of the output depend on the input and the two numbers alone.
"""

import argparse
import random
import re
import struct
from pathlib import Path

from gguf_file import F32, UINT32, Gguf, Tensor, encode, read_gguf, write_gguf

ROUTER_SCALE = 0.1  # small, so that no expert is preferred for long
FEED_FORWARD = re.compile(r"(blk\.\d+)\.(ffn_gate|ffn_up|ffn_down)\.weight")


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
