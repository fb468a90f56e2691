"""How is a model read and written as a GGUF file, the format that llama.cpp loads? For the scripts of this folder.

Needs nothing but Python; the bytes that are written depend on what is given alone. The format is described in
`docs/gguf.md`, github.com/ggml-org/ggml (MIT).
"""

import math
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

MAGIC, VERSION = b"GGUF", 3
ALIGNMENT = 32  # of a tensor's data, unless the file says otherwise
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9  # types of metadata
SCALAR_SIZE = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
F32, F16 = 0, 1  # types of tensors


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


def field(key: str, kind: int, value: int | float | bool | str | list, element: int = STRING) -> tuple[str, int, bytes]:
    """One entry of the metadata; `element` is the type of what a list holds."""
    if kind == ARRAY:
        items = b"".join(field("", element, item)[2] for item in value)
        return key, kind, struct.pack("<IQ", element, len(value)) + items
    if kind == STRING:
        return key, kind, encode(value)
    return key, kind, struct.pack({UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}[kind], value)


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
