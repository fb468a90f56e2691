"""What convert_minilm.py promises about the file that it writes: `python3 -m unittest discover models`.

The model is a tiny one, made here. That the real one answers as it should is tested where it runs, in `actors/llm`.
"""

import contextlib
import io
import json
import struct
import sys
import tempfile
import unittest
import unittest.mock
from pathlib import Path

import convert_minilm
from gguf_file import F16, F32, read_gguf

CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "num_hidden_layers": 1,
    "max_position_embeddings": 8,
    "hidden_size": 2,
    "intermediate_size": 4,
    "num_attention_heads": 1,
    "layer_norm_eps": 1e-12,
    "type_vocab_size": 2,
    "vocab_size": 7,
}
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ship", "##s"]
MEAN = {"word_embedding_dimension": 2, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}


def safetensors(tensors: dict[str, tuple[list[int], list[float]]]) -> bytes:
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (shape, numbers) in tensors.items():
        raw = struct.pack(f"<{len(numbers)}f", *numbers)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    head = json.dumps(header).encode()
    return struct.pack("<Q", len(head)) + head + data


TENSORS = {
    "embeddings.word_embeddings.weight": ([7, 2], [index / 3 for index in range(14)]),
    "embeddings.position_embeddings.weight": ([8, 2], [0.1] * 16),
    "embeddings.LayerNorm.bias": ([2], [0.5, 0.25]),
    "encoder.layer.0.intermediate.dense.weight": ([4, 2], list(range(8))),
    "pooler.dense.bias": ([2], [1, 2]),
}


class ConvertTest(unittest.TestCase):
    def convert(self, tensors=TENSORS, config=CONFIG, pooling=MEAN, pieces=PIECES, cut=None):
        with tempfile.TemporaryDirectory(prefix="megabrain-minilm-") as name:
            folder = Path(name)
            (folder / "model").write_bytes(safetensors(tensors)[:cut])
            (folder / "config").write_text(json.dumps(config))
            (folder / "pooling").write_text(json.dumps(pooling))
            (folder / "vocabulary").write_text("\n".join(pieces) + "\n", encoding="utf-8")
            inputs = [str(folder / part) for part in ("model", "config", "pooling", "vocabulary")]
            with unittest.mock.patch.object(sys, "argv", ["convert", "--output", str(folder / "gguf"), *inputs]):
                convert_minilm.main()
            return read_gguf(folder / "gguf")

    def test_tensors_have_llama_cpps_names_shapes_and_types(self):
        tensors = {tensor.name: tensor for tensor in self.convert().tensors}
        self.assertEqual(
            {name: (tensor.dimensions, tensor.kind) for name, tensor in tensors.items()},
            {
                "token_embd.weight": ((2, 7), F16),
                "position_embd.weight": ((2, 8), F32),
                "token_embd_norm.bias": ((2,), F32),
                "blk.0.ffn_up.weight": ((2, 4), F16),
            },
        )
        halves = struct.unpack("<14e", bytes(tensors["token_embd.weight"].data)[:28])
        for half, number in zip(halves, TENSORS["embeddings.word_embeddings.weight"][1], strict=True):
            self.assertAlmostEqual(half, number, delta=0.002)
        self.assertEqual(struct.unpack("<2f", bytes(tensors["token_embd_norm.bias"].data)[:8]), (0.5, 0.25))

    def test_the_file_says_how_to_read_and_to_pool(self):
        fields = {key: value for key, _, value in self.convert().fields}
        self.assertEqual(fields["bert.pooling_type"], struct.pack("<I", convert_minilm.MEAN))
        self.assertEqual(fields["bert.attention.causal"], b"\0")
        self.assertEqual(fields["tokenizer.ggml.bos_token_id"], struct.pack("<I", 2))
        self.assertIn("\u2581ship".encode(), fields["tokenizer.ggml.tokens"])
        self.assertTrue(fields["tokenizer.ggml.tokens"].endswith(struct.pack("<Q", 1) + b"s"))

    def test_the_same_input_gives_the_same_file(self):
        self.assertEqual(self.convert().fields, self.convert().fields)

    def test_what_is_no_such_model_is_refused(self):
        refused = [
            ("cut off", {"cut": -1}),
            ("not a safetensors", {"cut": 5}),
            ("no BERT", {"tensors": {"decoder.weight": ([1], [1])}}),
            ("damaged", {"tensors": {"embeddings.LayerNorm.bias": ([3], [1, 2])}}),
            ("with gelu", {"config": CONFIG | {"hidden_act": "relu"}}),
            ("pools by", {"pooling": {"pooling_mode_max_tokens": True}}),
            ("has 6 pieces", {"pieces": PIECES[:-1]}),
        ]
        for reason, change in refused:
            with self.subTest(reason), contextlib.redirect_stderr(io.StringIO()):
                with self.assertRaisesRegex(SystemExit, reason):
                    self.convert(**change)


if __name__ == "__main__":
    unittest.main()
