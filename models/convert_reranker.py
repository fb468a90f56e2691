#!/usr/bin/env python3
"""Turns ms-marco-MiniLM, or another BERT that says how well a text answers a query, into a GGUF file for llama.cpp.

usage: convert_reranker.py --output ms-marco-MiniLM-L12-v2.F16.gguf model.onnx vocab.txt

Needs nothing but Python. The bytes of the output depend on the input alone. The input is the model as onnxruntime's
dynamic quantisation left it: matrices of bytes, each with a scale and a zero point. They become float16, and what came
of rounding them to bytes stays; the rest is float32 in both.

BERT tells the query from the text by adding one of two vectors to each piece ("token types"). llama.cpp adds the first
to all. So the file has every piece twice: once more with the difference added, for the text. How many pieces there are
until the second ones begin is told as `megabrain.second_text_offset`. Other programs of llama.cpp read the file too, and
score as if all were query.

Formats: as in `convert_minilm.py`, and ONNX: `onnx/onnx.proto`, github.com/onnx/onnx (Apache-2.0), written as protocol
buffers' encoding says.
"""

import argparse
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from convert_minilm import KEPT_F32, MOSTLY_F16, name_in_gguf, vocabulary
from gguf_file import ARRAY, BOOL, F16, F32, FLOAT32, STRING, UINT32, Gguf, Tensor, field, write_gguf

RANK = 4  # llama.cpp's number for a verdict in place of a vector
HEAD = 32  # numbers of an attention head in every MiniLM
EPSILON = 1e-12  # of BERT's layer normalisation
SECOND = "[2]"  # what the second pieces' names begin with: no text is cut so
KINDS = "bert.embeddings.token_type_embeddings.weight"
WORDS = "bert.embeddings.word_embeddings.weight"
HEADS = {"bert.pooler.dense": "cls", "classifier": "cls.output"}  # layers behind the last, named as llama.cpp does

# ONNX's numbers: types of tensors, and fields of its messages.
FLOAT, UINT8, INT8, INT32 = 1, 2, 3, 6
GRAPH, NODE, INITIALIZER = 7, 1, 5
NODE_INPUT, NODE_OUTPUT, NODE_KIND = 1, 2, 4
DIMS, DATA_TYPE, FLOAT_DATA, INT32_DATA, NAME, RAW_DATA = 1, 2, 4, 5, 8, 9
ANONYMOUS = re.compile(r"/(.+)/MatMul_output_0_output_quantized")


class Array(NamedTuple):
    """A tensor of the graph, in row-major order; `raw` as the file has it, or else its numbers."""

    kind: int
    shape: list[int]
    raw: bytes
    numbers: list[float]


def varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def message(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a protocol buffer: their numbers, and what they hold."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = varint(data, at)
        elif wire in (1, 2, 5):
            length, at = varint(data, at) if wire == 2 else (8 if wire == 1 else 4, at)
            value, at = data[at : at + length], at + length
            if len(value) < length:
                raise ValueError("it is cut off")
        else:
            raise ValueError(f"wire type {wire}")
        yield key >> 3, value


def integers(value: int | memoryview) -> list[int]:
    """Numbers that are written one a field or packed into one."""
    if isinstance(value, int):
        return [value]
    found, at = [], 0
    while at < len(value):
        number, at = varint(value, at)
        found.append(number)
    return found


def read_array(data: memoryview) -> tuple[str, Array]:
    name, kind, shape, raw, numbers = "", 0, [], b"", []
    for number, value in message(data):
        if number == NAME:
            name = bytes(value).decode()
        elif number == DATA_TYPE:
            kind = value
        elif number == DIMS:
            shape += integers(value)
        elif number == RAW_DATA:
            raw = bytes(value)
        elif number == INT32_DATA:
            numbers += integers(value)
        elif number == FLOAT_DATA:
            numbers += [one for (one,) in struct.iter_unpack("<f", value)]
    return name, Array(kind, shape, raw, numbers)


def read_graph(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """Reads the tensors by their names, and the names that tensors without one have by the layer that uses them."""
    arrays, names = {}, {}
    try:
        graphs = [value for number, value in message(memoryview(path.read_bytes())) if number == GRAPH]
        for number, value in (one for graph in graphs for one in message(graph)):
            if number == INITIALIZER:
                name, array = read_array(value)
                arrays[name] = array
            elif number == NODE:
                parts = [(part, bytes(text).decode()) for part, text in message(value) if part in (NODE_INPUT, NODE_OUTPUT)]
                inputs = [text for part, text in parts if part == NODE_INPUT]
                outputs = [text for part, text in parts if part == NODE_OUTPUT]
                layer = ANONYMOUS.fullmatch(outputs[0]) if outputs else None
                if layer:
                    names[inputs[1]] = layer[1].replace("/", ".") + ".weight"
    except (ValueError, IndexError, TypeError, struct.error) as error:
        raise SystemExit(f"{path}: not an ONNX file ({error})") from error
    return arrays, names


class Weights(NamedTuple):
    """Bytes that stand for numbers: `table` has the number of each byte. Rows of outputs, as PyTorch has them."""

    shape: list[int]
    data: bytes
    table: list[float]

    def row(self, index: int) -> list[float]:
        width = self.shape[1]
        return [self.table[byte] for byte in self.data[index * width : (index + 1) * width]]

    def as_float16(self) -> bytes:
        halves = [struct.pack("<e", number) for number in self.table]
        both = bytearray(2 * len(self.data))
        for part in (0, 1):
            both[part::2] = self.data.translate(bytes(half[part] for half in halves))
        return bytes(both)

    def as_float32(self) -> bytes:
        return b"".join(struct.pack(f"<{self.shape[1]}f", *self.row(index)) for index in range(self.shape[0]))


def read_weights(arrays: dict[str, Array], name: str) -> Weights:
    """What `name` was before it was quantised, but for the rounding."""
    quantised, scale, zero = (arrays.get(name + part) for part in ("_quantized", "_scale", "_zero_point"))
    if not (quantised and scale and zero) or len(quantised.shape) != 2:
        raise SystemExit(f"tensor {name}: no matrix with a scale and a zero point")
    (step,) = scale.numbers or struct.unpack("<f", scale.raw)
    (centre,) = zero.numbers or zero.raw
    signed = quantised.kind == INT8
    if quantised.kind not in (INT8, UINT8) or len(quantised.raw) != quantised.shape[0] * quantised.shape[1]:
        raise SystemExit(f"tensor {name} is of type {quantised.kind}, or damaged: expected bytes")
    values = [byte - 256 if signed and byte > 127 else byte for byte in range(256)]
    centre = values[centre & 0xFF]
    table = [(value - centre) * step for value in values]
    if not signed:  # Embeddings: a row a piece.
        return Weights(quantised.shape, quantised.raw, table)
    inputs, outputs = quantised.shape
    return Weights([outputs, inputs], b"".join(quantised.raw[row::outputs] for row in range(outputs)), table)


def second_words(words: Weights, kinds: Weights) -> bytes:
    """The pieces once more, for the text: with what tells it from a query."""
    difference = [second - first for first, second in zip(kinds.row(0), kinds.row(1))]
    rows = ([one + more for one, more in zip(words.row(index), difference)] for index in range(words.shape[0]))
    return b"".join(struct.pack(f"<{len(row)}e", *row) for row in rows)


def new_name(name: str) -> str:
    base, part = name.rsplit(".", 1)
    return f"{HEADS[base]}.{part}" if base in HEADS else name_in_gguf(name)


def convert(arrays: dict[str, Array], names: dict[str, str]) -> list[Tensor]:
    tensors = []
    for name, array in arrays.items():
        if array.kind == FLOAT and not name.endswith("_scale") and name.startswith(("bert.", "classifier.")):
            raw = array.raw or struct.pack(f"<{len(array.numbers)}f", *array.numbers)
            tensors.append(Tensor(new_name(name), tuple(reversed(array.shape)), F32, raw))
    kinds = read_weights(arrays, KINDS)
    for name in (name.removesuffix("_quantized") for name in arrays if name.endswith("_quantized")):
        weights = read_weights(arrays, name)
        gguf, shape = new_name(names.get(name + "_quantized", name)), tuple(reversed(weights.shape))
        if name == WORDS:
            shape = (shape[0], 2 * shape[1])
            tensors.append(Tensor(gguf, shape, F16, weights.as_float16() + second_words(weights, kinds)))
        elif gguf in KEPT_F32:
            tensors.append(Tensor(gguf, shape, F32, weights.as_float32()))
        else:
            tensors.append(Tensor(gguf, shape, F16, weights.as_float16()))
    return tensors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("model", type=Path, help="the graph and its weights, .onnx, quantised")
    parser.add_argument("vocabulary", type=Path, help="the pieces in order, one a line")
    arguments = parser.parse_args()
    arrays, names = read_graph(arguments.model)
    tensors = convert(arrays, names)
    sizes = {tensor.name: tensor.dimensions for tensor in tensors}
    try:
        width, doubled = sizes["token_embd.weight"]
        (_, positions), (_, inner) = sizes["position_embd.weight"], sizes["blk.0.ffn_up.weight"]
        kinds, outputs = sizes["token_types.weight"][1], sizes["cls.output.bias"]
    except KeyError as error:
        raise SystemExit(f"{arguments.model}: has no {error}: it is no BERT that compares two texts") from error
    if outputs != (1,):
        raise SystemExit(f"{arguments.model}: gives {outputs} numbers, a verdict is one")
    count = doubled // 2
    more = [f"{SECOND}{index}" for index in range(count)]
    fields = [
        field("general.architecture", STRING, "bert"),
        field("general.name", STRING, "ms-marco-MiniLM, a cross-encoder"),
        field("general.file_type", UINT32, MOSTLY_F16),
        field("bert.block_count", UINT32, sum(name.endswith("ffn_up.weight") for name in sizes)),
        field("bert.context_length", UINT32, positions),
        field("bert.embedding_length", UINT32, width),
        field("bert.feed_forward_length", UINT32, inner),
        field("bert.attention.head_count", UINT32, width // HEAD),
        field("bert.attention.layer_norm_epsilon", FLOAT32, EPSILON),
        field("bert.attention.causal", BOOL, False),
        field("bert.pooling_type", UINT32, RANK),
        field("bert.classifier.output_labels", ARRAY, ["relevance"]),
        field("megabrain.second_text_offset", UINT32, count),
        *vocabulary({"vocab_size": count, "type_vocab_size": kinds}, arguments.vocabulary, more),
    ]
    write_gguf(arguments.output, Gguf(fields, tensors))


if __name__ == "__main__":
    main()
