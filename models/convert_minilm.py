#!/usr/bin/env python3
"""Turns all-MiniLM-L6-v2, or another BERT that embeds sentences, into the GGUF file that llama.cpp loads.

usage: convert_minilm.py --output all-MiniLM-L6-v2.F16.gguf model.safetensors config.json pooling.json vocab.txt

Needs nothing but Python. The bytes of the output depend on the input alone: matrices become float16, the rest stays
float32. What only training needs is left out: the pooler and the numbers of the positions.

Three formats meet here:
- safetensors: a length, a JSON header, the tensors: README of github.com/huggingface/safetensors (Apache-2.0);
- BERT's vocabulary, a piece a line, `##` before what goes on with a word: `tokenization.py`,
  github.com/google-research/bert (Apache-2.0);
- GGUF, with the names that llama.cpp gives a BERT's tensors and settings: `conversion/` and `gguf-py`,
  github.com/ggml-org/llama.cpp (MIT).
"""

import argparse
import json
import math
import re
import struct
from pathlib import Path

from gguf_file import ARRAY, BOOL, F16, F32, FLOAT32, INT32, STRING, UINT32, Gguf, Tensor, field, write_gguf

MOSTLY_F16 = 1  # llama.cpp's number for such a file
MEAN, CLS = 1, 2  # its numbers for how the vectors of a text's pieces become one
NORMAL, CONTROL, UNUSED = 1, 3, 5  # its numbers for the kinds of pieces
WORD_BEGINS = "\u2581"  # llama.cpp marks pieces that begin a word, BERT those that do not
SPECIAL = {"[PAD]": "padding", "[UNK]": "unknown", "[CLS]": "bos", "[SEP]": "seperator", "[MASK]": "mask"}  # (sic)

EMBEDDINGS = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
}
LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.+)")
IN_LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
KEPT_F32 = {"position_embd.weight", "token_types.weight"}  # as llama.cpp's own conversion does
LEFT_OUT = re.compile(r"pooler\..*|embeddings\.position_ids")


def read_safetensors(path: Path) -> dict[str, tuple[list[int], str, memoryview]]:
    """Reads shape, type and bytes of every tensor by its name."""
    raw = memoryview(path.read_bytes())
    try:
        (length,) = struct.unpack_from("<Q", raw)
        header = json.loads(bytes(raw[8 : 8 + length]))
    except (struct.error, ValueError) as error:
        raise SystemExit(f"{path}: not a safetensors file ({error})") from error
    header.pop("__metadata__", None)
    tensors, data = {}, raw[8 + length :]
    for name, about in header.items():
        begin, end = about["data_offsets"]
        if end > len(data):
            raise SystemExit(f"{path}: tensor {name} is cut off")
        tensors[name] = (about["shape"], about["dtype"], data[begin:end])
    return tensors


def name_in_gguf(name: str) -> str:
    """Gives the name that llama.cpp has for one of BERT's tensors."""
    base, part = name.removeprefix("bert.").rsplit(".", 1)
    if base in EMBEDDINGS:
        return f"{EMBEDDINGS[base]}.{part}"
    layer = LAYER.fullmatch(base)
    if layer is None or layer[2] not in IN_LAYER:
        raise SystemExit(f"the model has a tensor {name}: it is no BERT that this script knows")
    return f"blk.{layer[1]}.{IN_LAYER[layer[2]]}.{part}"


def as_float16(data: memoryview, row: int) -> bytes:
    """Rounds float32 numbers, a row at a time: all of them at once would take gigabytes."""
    numbers = data.cast("f")
    rows = (numbers[at : at + row] for at in range(0, len(numbers), row))
    return b"".join(struct.pack(f"<{len(part)}e", *part) for part in rows)


def convert_tensors(source: dict[str, tuple[list[int], str, memoryview]]) -> list[Tensor]:
    tensors = []
    for name, (shape, kind, data) in source.items():
        if LEFT_OUT.fullmatch(name.removeprefix("bert.")):
            continue
        if kind != "F32" or math.prod(shape) * 4 != len(data):
            raise SystemExit(f"tensor {name} is {kind}, or damaged: expected float32")
        new_name = name_in_gguf(name)
        dimensions = tuple(reversed(shape))
        if len(shape) == 2 and new_name not in KEPT_F32:
            tensors.append(Tensor(new_name, dimensions, F16, as_float16(data, shape[1])))
        else:
            tensors.append(Tensor(new_name, dimensions, F32, data))
    return tensors


def pooling(path: Path) -> int:
    """Reads how sentence-transformers makes one vector of a text."""
    modes = json.loads(path.read_text(encoding="utf-8"))
    chosen = [mode for mode, is_on in modes.items() if mode.startswith("pooling_mode_") and is_on]
    known = {"pooling_mode_mean_tokens": MEAN, "pooling_mode_cls_token": CLS}
    if len(chosen) != 1 or chosen[0] not in known:
        raise SystemExit(f"{path}: pools by {chosen}, and llama.cpp knows one of {sorted(known)}")
    return known[chosen[0]]


def settings(config: dict, pooled: int) -> list[tuple[str, int, bytes]]:
    """What llama.cpp has to know of the model."""
    if config["model_type"] != "bert" or config["hidden_act"] != "gelu":
        raise SystemExit("config.json is not that of a BERT with gelu")
    name = config.get("_name_or_path", "bert")
    return [
        field("general.architecture", STRING, "bert"),
        field("general.name", STRING, f"{name}, for sentences"),
        field("general.file_type", UINT32, MOSTLY_F16),
        field("bert.block_count", UINT32, config["num_hidden_layers"]),
        field("bert.context_length", UINT32, config["max_position_embeddings"]),
        field("bert.embedding_length", UINT32, config["hidden_size"]),
        field("bert.feed_forward_length", UINT32, config["intermediate_size"]),
        field("bert.attention.head_count", UINT32, config["num_attention_heads"]),
        field("bert.attention.layer_norm_epsilon", FLOAT32, config["layer_norm_eps"]),
        field("bert.attention.causal", BOOL, False),
        field("bert.pooling_type", UINT32, pooled),
    ]


def vocabulary(config: dict, path: Path, more: list[str] | None = None) -> list[tuple[str, int, bytes]]:
    """The pieces, and after them some `more` that no text is cut into."""
    pieces = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    if len(pieces) != config["vocab_size"] or not SPECIAL.keys() <= set(pieces):
        raise SystemExit(f"{path}: has {len(pieces)} pieces, the model {config['vocab_size']}, or lacks one of BERT's own")

    def in_gguf(piece: str) -> str:
        if piece in SPECIAL:
            return piece
        return piece[2:] if piece.startswith("##") else WORD_BEGINS + piece

    more = more or []
    kinds = [CONTROL if piece in SPECIAL else NORMAL for piece in pieces] + [UNUSED] * len(more)
    return [
        field("tokenizer.ggml.model", STRING, "bert"),
        field("tokenizer.ggml.pre", STRING, "default"),
        field("tokenizer.ggml.token_type_count", UINT32, config["type_vocab_size"]),
        field("tokenizer.ggml.tokens", ARRAY, [in_gguf(piece) for piece in pieces] + more),
        field("tokenizer.ggml.token_type", ARRAY, kinds, INT32),
        *(field(f"tokenizer.ggml.{role}_token_id", UINT32, pieces.index(piece)) for piece, role in SPECIAL.items()),
        field("tokenizer.ggml.eos_token_id", UINT32, pieces.index("[SEP]")),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("model", type=Path, help="the weights, .safetensors")
    parser.add_argument("config", type=Path, help="the model's config.json")
    parser.add_argument("pooling", type=Path, help="1_Pooling/config.json of sentence-transformers")
    parser.add_argument("vocabulary", type=Path, help="the pieces in order, one a line")
    arguments = parser.parse_args()
    config = json.loads(arguments.config.read_text(encoding="utf-8"))
    fields = settings(config, pooling(arguments.pooling)) + vocabulary(config, arguments.vocabulary)
    write_gguf(arguments.output, Gguf(fields, convert_tensors(read_safetensors(arguments.model))))


if __name__ == "__main__":
    main()
