#!/usr/bin/env python3
"""Makes a toy projector, so that a small language model "sees" which colour a picture has: to test with, and nothing else.

usage: make_colour_projector.py --output mmproj-colours.gguf SmolLM2-135M-Instruct.Q4_1.gguf

A vision-language model is a language model and a projector, which makes rows of numbers of a picture where otherwise
tokens' embeddings stand. Those that people use are large. This one has never been trained: it reduces a picture to three
by three patches, and each patch to its mean colour. The patch in the middle becomes the embedding of a colour's word,
the others the embeddings of fixed words, so that a picture reads "The image is completely red." It knows eight colours,
the corners of the RGB cube, and what lies near them; of anything else it says nothing that means something.

What is real is all around it: the file has the form of LLaVA's projectors, and llama.cpp's libmtmd loads it, cuts the
prompt, scales the picture, computes, and hands the rows to the model as it does with any other.

Needs nothing but Python; the bytes of the output depend on the input alone. The names of tensors and settings are those
that `tools/mtmd/clip.cpp`, github.com/ggml-org/llama.cpp (MIT), looks for.
"""

import argparse
import struct
from pathlib import Path

from gguf_file import ARRAY, BOOL, F32, FLOAT32, STRING, UINT32, Gguf, Tensor, field, read_gguf, write_gguf

COLOURS = {  # a word, and its corner of the RGB cube
    "black": (0, 0, 0),
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
    "yellow": (1, 1, 0),
    "purple": (1, 0, 1),
    "cyan": (0, 1, 1),
    "white": (1, 1, 1),
}
SPACE, LINE = "\u0120", "\u010a"  # how the vocabulary writes them
COLOUR = None  # the patch whose word is its colour
WORDS = [SPACE + "The", SPACE + "image", SPACE + "is", SPACE + "completely", COLOUR, ".", LINE, LINE, LINE]
PATCH, SIDE = 28, 3  # pixels of a patch, patches of a side
WIDTH = 32  # of the vision tower: three numbers of colour, one for each patch's place, the rest unused
STEEP = 40.0  # how sharply one colour ends where the next begins
OFF = -1000.0  # what silences a unit
Q8_0, BLOCK, BLOCK_BYTES = 8, 32, 34  # ggml's type of the embeddings: 32 numbers share a factor


def vocabulary(model: Gguf) -> list[str]:
    (raw,) = [value for key, _, value in model.fields if key == "tokenizer.ggml.tokens"]
    (count,) = struct.unpack_from("<Q", raw, 4)
    pieces, at = [], 12
    for _ in range(count):
        (length,) = struct.unpack_from("<Q", raw, at)
        pieces.append(raw[at + 8 : at + 8 + length].decode())
        at += 8 + length
    return pieces


def embedding(model: Gguf, token: int) -> list[float]:
    """Reads one row of the token embeddings."""
    (table,) = [tensor for tensor in model.tensors if tensor.name == "token_embd.weight"]
    if table.kind != Q8_0:
        raise SystemExit("the embeddings of the model are not in Q8_0, which is all that this script reads")
    row = table.dimensions[0] // BLOCK * BLOCK_BYTES
    numbers = []
    for at in range(token * row, (token + 1) * row, BLOCK_BYTES):
        factor, *steps = struct.unpack_from("<e32b", table.data, at)
        numbers += [factor * step for step in steps]
    return numbers


def tensor(name: str, rows: list[list[float]]) -> Tensor:
    """A float32 matrix; one row of numbers is a vector."""
    flat = [number for row in rows for number in row]
    dimensions = (len(rows[0]),) if len(rows) == 1 else (len(rows[0]), len(rows))
    return Tensor(name, dimensions, F32, struct.pack(f"<{len(flat)}f", *flat))


def projector(model: Gguf) -> list[Tensor]:
    """Two layers: units that are on for one colour or one place, and for each unit the embedding of its word.

    A colour's unit is on where the patch is nearer to its corner than half an edge, and then gives STEEP / 2 at the
    corner itself; a place's unit gives STEEP / 2 at its place.
    """
    tokens = vocabulary(model)
    places = len(WORDS)
    first, bias, columns = [], [], []

    def unit(weights: dict[int, float], start: float, word: str) -> None:
        first.append([weights.get(number, 0.0) for number in range(WIDTH)])
        bias.append(start)
        columns.append([number / (STEEP / 2) for number in embedding(model, tokens.index(word))])

    for word, corner in COLOURS.items():
        weights = {axis: STEEP if on else -STEEP for axis, on in enumerate(corner)}
        weights |= {3 + place: OFF for place in range(places) if WORDS[place] is not COLOUR}
        unit(weights, STEEP * (0.5 - sum(corner)), SPACE + word)
    for place, word in enumerate(WORDS):
        if word is not COLOUR:
            unit({3 + place: STEEP}, -STEEP / 2, word)
    return [
        tensor("mm.0.weight", first),
        tensor("mm.0.bias", [bias]),
        tensor("mm.2.weight", [list(row) for row in zip(*columns, strict=True)]),
        tensor("mm.2.bias", [[0.0] * len(columns[0])]),
    ]


def tower() -> list[Tensor]:
    """A vision tower of one block that does nothing: what comes in, goes out."""
    size = PATCH * PATCH
    mean = [1 / size] * size
    patches = [mean if channel == number else [0.0] * size for number in range(WIDTH) for channel in range(3)]
    flat = [number for patch in patches for number in patch]
    tensors = [
        Tensor("v.patch_embd.weight", (PATCH, PATCH, 3, WIDTH), F32, struct.pack(f"<{len(flat)}f", *flat)),
        tensor("v.position_embd.weight", [[float(number == 3 + place) for number in range(WIDTH)] for place in range(SIDE**2)]),
    ]
    for name in ("attn_q", "attn_k", "attn_v", "attn_out", "ffn_up", "ffn_down"):
        tensors.append(tensor(f"v.blk.0.{name}.weight", [[0.0] * WIDTH] * WIDTH))
        tensors.append(tensor(f"v.blk.0.{name}.bias", [[0.0] * WIDTH]))
    for name in ("ln1", "ln2"):
        tensors.append(tensor(f"v.blk.0.{name}.weight", [[1.0] * WIDTH]))
        tensors.append(tensor(f"v.blk.0.{name}.bias", [[0.0] * WIDTH]))
    return tensors


def settings(width: int) -> list[tuple[str, int, bytes]]:
    numbers = {
        "image_size": PATCH * SIDE,
        "patch_size": PATCH,
        "embedding_length": WIDTH,
        "feed_forward_length": WIDTH,
        "projection_dim": width,
        "block_count": 1,
        "attention.head_count": 1,
    }
    return [
        field("general.architecture", STRING, "clip"),
        field("general.name", STRING, "a toy that names colours"),
        field("general.file_type", UINT32, 0),
        field("clip.has_vision_encoder", BOOL, True),
        field("clip.has_text_encoder", BOOL, False),
        field("clip.has_llava_projector", BOOL, True),
        field("clip.projector_type", STRING, "mlp"),
        field("clip.use_gelu", BOOL, True),
        *(field(f"clip.vision.{key}", UINT32, number) for key, number in numbers.items()),
        field("clip.vision.attention.layer_norm_epsilon", FLOAT32, 1e-5),
        field("clip.vision.image_mean", ARRAY, [0.0, 0.0, 0.0], FLOAT32),
        field("clip.vision.image_std", ARRAY, [1.0, 1.0, 1.0], FLOAT32),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("model", type=Path, help="the language model")
    arguments = parser.parse_args()
    layers = projector(read_gguf(arguments.model))
    width = layers[-1].dimensions[0]
    write_gguf(arguments.output, Gguf(settings(width), tower() + layers))


if __name__ == "__main__":
    main()
