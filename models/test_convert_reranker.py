"""What convert_reranker.py promises about the file that it writes: `python3 -m unittest discover models`.

The model is a tiny one, made here. That the real one ranks as it should is tested where it runs, in `actors/llm`.
"""

import struct
import sys
import tempfile
import unittest
import unittest.mock
from pathlib import Path

import convert_reranker
from gguf_file import F16, F32, read_gguf

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ship", "##s"]
WIDTH, INNER = 32, 2
UINT8, INT8 = convert_reranker.UINT8, convert_reranker.INT8


def varint(number: int) -> bytes:
    head = b""
    while number > 0x7F:
        head, number = head + bytes([number & 0x7F | 0x80]), number >> 7
    return head + bytes([number])


def part(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def initializer(name: str, kind: int, shape: list[int], *data: bytes) -> bytes:
    dims = b"".join(part(convert_reranker.DIMS, size) for size in shape)
    array = dims + part(convert_reranker.DATA_TYPE, kind) + part(convert_reranker.NAME, name.encode()) + b"".join(data)
    return part(convert_reranker.INITIALIZER, array)


def plain(name: str, numbers: list[float]) -> bytes:
    raw = struct.pack(f"<{len(numbers)}f", *numbers)
    return initializer(name, convert_reranker.FLOAT, [len(numbers)], part(convert_reranker.RAW_DATA, raw))


def quantised(name: str, kind: int, shape: list[int], data: bytes, scale: float, zero: int) -> bytes:
    """Three tensors, as onnxruntime writes them: scale and zero point as lists of numbers."""
    step = part(convert_reranker.FLOAT_DATA, struct.pack("<f", scale))
    return (
        initializer(f"{name}_quantized", kind, shape, part(convert_reranker.RAW_DATA, data))
        + initializer(f"{name}_scale", convert_reranker.FLOAT, [], step)
        + initializer(f"{name}_zero_point", kind, [], part(convert_reranker.INT32_DATA, varint(zero)))
    )


def layer(weights: str, path: str) -> bytes:
    inputs = part(convert_reranker.NODE_INPUT, b"x") + part(convert_reranker.NODE_INPUT, f"{weights}_quantized".encode())
    output = part(convert_reranker.NODE_OUTPUT, f"{path}/MatMul_output_0_output_quantized".encode())
    return part(convert_reranker.NODE, inputs + output)


EMBEDDINGS = "bert.embeddings."
WORDS = bytes(range(len(PIECES))) * WIDTH
GRAPH = [
    quantised(f"{EMBEDDINGS}word_embeddings.weight", UINT8, [len(PIECES), WIDTH], WORDS, 0.5, 2),
    quantised(f"{EMBEDDINGS}position_embeddings.weight", UINT8, [8, WIDTH], bytes(8 * WIDTH), 1.0, 1),
    quantised(f"{EMBEDDINGS}token_type_embeddings.weight", UINT8, [2, WIDTH], b"\1" * WIDTH + b"\4" * WIDTH, 1.0, 1),
    # Two outputs of inputs 0 to 31: as the graph has it, an input a row.
    quantised("onnx::MatMul_7", INT8, [WIDTH, INNER], b"".join(bytes([row, 255]) for row in range(WIDTH)), 2.0, 0),
    layer("onnx::MatMul_7", "/bert/encoder/layer.0/intermediate/dense"),
    quantised("bert.pooler.dense.weight", INT8, [WIDTH, WIDTH], bytes(WIDTH * WIDTH), 1.0, 0),
    quantised("classifier.weight", INT8, [WIDTH, 1], bytes(WIDTH), 1.0, 0),
    plain("classifier.bias", [0.5]),
]


class ConvertTest(unittest.TestCase):
    def convert(self, graph=GRAPH, pieces=PIECES, cut=None):
        with tempfile.TemporaryDirectory(prefix="megabrain-reranker-") as name:
            folder = Path(name)
            (folder / "model").write_bytes(part(convert_reranker.GRAPH, b"".join(graph))[:cut])
            (folder / "vocabulary").write_text("\n".join(pieces) + "\n", encoding="utf-8")
            inputs = [str(folder / "model"), str(folder / "vocabulary")]
            with unittest.mock.patch.object(sys, "argv", ["convert", "--output", str(folder / "gguf"), *inputs]):
                convert_reranker.main()
            return read_gguf(folder / "gguf")

    def test_matrices_are_what_they_were_before_they_were_quantised(self):
        tensors = {tensor.name: tensor for tensor in self.convert().tensors}
        self.assertEqual(
            {name: (tensor.dimensions, tensor.kind) for name, tensor in tensors.items()},
            {
                "token_embd.weight": ((WIDTH, 2 * len(PIECES)), F16),
                "position_embd.weight": ((WIDTH, 8), F32),
                "token_types.weight": ((WIDTH, 2), F32),
                "blk.0.ffn_up.weight": ((WIDTH, INNER), F16),
                "cls.weight": ((WIDTH, WIDTH), F16),
                "cls.output.weight": ((WIDTH, 1), F16),
                "cls.output.bias": ((1,), F32),
            },
        )
        up = struct.unpack(f"<{2 * WIDTH}e", bytes(tensors["blk.0.ffn_up.weight"].data)[: 4 * WIDTH])
        self.assertEqual(up, (*(2.0 * row for row in range(WIDTH)), *[-2.0] * WIDTH))
        positions = struct.unpack("<2f", bytes(tensors["position_embd.weight"].data)[:8])
        self.assertEqual(positions, (-1.0, -1.0))

    def test_every_piece_is_there_once_more_for_the_text(self):
        model = self.convert()
        words = next(tensor for tensor in model.tensors if tensor.name == "token_embd.weight")
        halves = struct.unpack(f"<{2 * len(WORDS)}e", bytes(words.data)[: 4 * len(WORDS)])
        first, second = halves[: len(WORDS)], halves[len(WORDS) :]
        self.assertEqual(first[:3], (-1.0, -0.5, 0.0))
        self.assertEqual(second, tuple(number + 3.0 for number in first))
        fields = {key: value for key, _, value in model.fields}
        self.assertEqual(fields["megabrain.second_text_offset"], struct.pack("<I", len(PIECES)))
        self.assertIn(b"[2]6", fields["tokenizer.ggml.tokens"])
        self.assertEqual(fields["bert.pooling_type"], struct.pack("<I", convert_reranker.RANK))
        self.assertEqual(fields["bert.attention.head_count"], struct.pack("<I", 1))

    def test_the_same_input_gives_the_same_file(self):
        self.assertEqual(self.convert(), self.convert())

    def test_what_is_no_such_model_is_refused(self):
        refused = [
            ("not an ONNX file", {"cut": -1}),
            ("has no 'cls.output.bias'", {"graph": GRAPH[:-1]}),
            ("a verdict is one", {"graph": [*GRAPH[:-1], plain("classifier.bias", [1, 2])]}),
            ("no matrix with a scale", {"graph": GRAPH[1:2]}),
            ("no BERT", {"graph": [*GRAPH, plain("bert.decoder.weight", [1])]}),
            ("has 6 pieces", {"pieces": PIECES[:-1]}),
        ]
        for reason, change in refused:
            with self.subTest(reason), self.assertRaisesRegex(SystemExit, reason):
                self.convert(**change)


if __name__ == "__main__":
    unittest.main()
