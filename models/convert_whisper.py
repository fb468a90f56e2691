#!/usr/bin/env python3
"""Turns a CTranslate2 Whisper model (float16) into the ggml file that whisper.cpp loads.

usage: convert_whisper.py --output ggml-tiny.en.bin model.bin... vocabulary.txt

A model in several parts is given in their order. Needs nothing but Python. The bytes of the output depend on the input
alone, and for tiny.en and base they are those of the files that whisper.cpp publishes (sha256 921e4cf8…, 60ed5bc3…): both
sources in manifest.toml share one checksum.

Three formats meet here:
- CTranslate2's binary, version 6: `src/models/model.cc` and `python/ctranslate2/specs/model_spec.py` (`_serialize`) in
  github.com/OpenNMT/CTranslate2 (MIT);
- ggml's Whisper file: `models/convert-pt-to-ggml.py` and `src/whisper.cpp` (`whisper_model_load`) in
  github.com/ggml-org/whisper.cpp (MIT);
- GPT-2's byte-level BPE alphabet: `encoder.py` (`bytes_to_unicode`) in github.com/openai/gpt-2 (MIT).
"""

import argparse
import math
import struct
from pathlib import Path
from typing import BinaryIO, Iterator, NamedTuple

SAMPLE_RATE = 16_000  # Hz; this and the next come from `whisper/audio.py`, github.com/openai/whisper (MIT)
FFT_SIZE = 400
MEL_BANDS = 80  # 128 from large-v3 on, which this script does not convert

GGML_MAGIC = 0x67676D6C
GGML_F32, GGML_F16 = 0, 1  # tensor types, and the file type for "f16 where it matters"

CT2_VERSION = 6
CT2_FLOAT16 = 4
CT2_ITEM_SIZE = {0: 4, 1: 1, 2: 2, 3: 4, CT2_FLOAT16: 2}  # float32, int8, int16, int32, float16

HEAD_SIZE = 64  # channels in one attention head, for every Whisper size
GPT2_TOKENS = 50_257


class Tensor(NamedTuple):
    """A float16 tensor in row-major order."""

    shape: tuple[int, ...]
    data: memoryview

    def rows(self, part: int, parts: int) -> "Tensor":
        """The `part`-th of `parts` equal slices along the first axis."""
        size = len(self.data) // parts
        shape = (self.shape[0] // parts, *self.shape[1:])
        return Tensor(shape, self.data[part * size : (part + 1) * size])


def read_ctranslate2(path: Path, *more: Path) -> dict[str, Tensor]:
    """Reads every float16 tensor by its name, from a file or from its parts in order."""
    raw = memoryview(b"".join(part.read_bytes() for part in (path, *more)))
    at = 0

    def number(code: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from("<" + code, raw, at)
        at += struct.calcsize("<" + code)
        return value

    def text() -> str:  # length with the closing zero, then the bytes
        nonlocal at
        length = number("H")
        at += length
        return bytes(raw[at - length : at - 1]).decode()

    version, spec = number("I"), text()
    if version != CT2_VERSION or spec != "WhisperSpec":
        raise SystemExit(f"{path}: expected a CTranslate2 v{CT2_VERSION} WhisperSpec, found v{version} {spec}")
    number("I")  # revision of the spec
    tensors = {}
    for _ in range(number("I")):
        name = text()
        shape = tuple(number("I") for _ in range(number("B")))
        kind, size = number("B"), number("I")
        if math.prod(shape) * CT2_ITEM_SIZE[kind] != size:
            raise SystemExit(f"{path}: tensor {name} is damaged")
        if kind == CT2_FLOAT16:
            tensors[name] = Tensor(shape, raw[at : at + size])
        elif shape:  # scalars are flags of CTranslate2's own
            raise SystemExit(f"{path}: tensor {name} is not float16; only unquantised models can be converted")
        at += size
    return tensors


def mel_filterbank() -> list[float]:
    """Computes the filterbank that Whisper was trained with, band after band: `librosa.filters.mel(sr=16000, n_fft=400,
    n_mels=80)`, which is Slaney's: linear below 1 kHz and logarithmic above, each triangle of equal area.

    M. Slaney, "Auditory Toolbox, version 2", Interval Research technical report 1998-010, function `mfcc`.
    """
    hertz_per_mel = 200 / 3  # below the break
    break_hertz = 1000.0
    break_mel = break_hertz / hertz_per_mel
    log_step = math.log(6.4) / 27  # above the break

    def to_hertz(mel: float) -> float:
        if mel < break_mel:
            return hertz_per_mel * mel
        return break_hertz * math.exp(log_step * (mel - break_mel))

    top = break_mel + math.log(SAMPLE_RATE / 2 / break_hertz) / log_step
    edges = [to_hertz(top * index / (MEL_BANDS + 1)) for index in range(MEL_BANDS + 2)]
    bins = [index * SAMPLE_RATE / FFT_SIZE for index in range(FFT_SIZE // 2 + 1)]
    filters = []
    for low, peak, high in zip(edges, edges[1:], edges[2:]):
        area = 2 / (high - low)
        for frequency in bins:
            rising = (frequency - low) / (peak - low)
            falling = (high - frequency) / (high - peak)
            # librosa rounds to float32 before it scales, and so do we, to the bit
            filters.append(to_f32(max(0.0, min(rising, falling))) * area)
    return filters


def to_f32(value: float) -> float:
    """Rounds to the nearest float32."""
    return struct.unpack("<f", struct.pack("<f", value))[0]


def read_tokens(path: Path) -> list[bytes]:
    """Reads the first tokens as bytes: as many as GPT-2 has. Of them, the end of text is the last in English models and
    comes after the last in the others; whisper.cpp adds Whisper's special ones itself."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = {chr(byte): byte for byte in printable}
    shifted = (byte for byte in range(256) if byte not in printable)
    alphabet |= {chr(256 + index): byte for index, byte in enumerate(shifted)}
    lines = path.read_text(encoding="utf-8").split("\n")
    return [bytes(alphabet[letter] for letter in token) for token in lines[:GPT2_TOKENS]]


def ggml_tensors(source: dict[str, Tensor], encoder_layers: int, decoder_layers: int) -> Iterator[tuple[str, Tensor]]:
    """Yields the tensors under whisper.cpp's names, in the order of OpenAI's checkpoints: whisper.cpp would take any,
    but the checksum would not. The order shows in a log of `quantize` at github.com/ggml-org/whisper.cpp/issues/839."""

    def linear(to: str, name: str) -> Iterator[tuple[str, Tensor]]:
        yield f"{to}.weight", source[f"{name}/weight"]
        yield f"{to}.bias", source[f"{name}/bias"]

    def norm(to: str, name: str) -> Iterator[tuple[str, Tensor]]:
        yield f"{to}.weight", source[f"{name}/gamma"]
        yield f"{to}.bias", source[f"{name}/beta"]

    def convolution(to: str, name: str) -> Iterator[tuple[str, Tensor]]:
        bias = source[f"{name}/bias"]
        yield f"{to}.weight", source[f"{name}/weight"]
        yield f"{to}.bias", Tensor((*bias.shape, 1), bias.data)

    def projections(to: str, name: str, parts: tuple[str, ...]) -> Iterator[tuple[str, Tensor]]:
        """CTranslate2 fuses query, key and value into one matrix; Whisper's key has no bias."""
        weight, bias = source[f"{name}/weight"], source[f"{name}/bias"]
        for index, part in enumerate(parts):
            yield f"{to}.{part}.weight", weight.rows(index, len(parts))
            if part != "key":
                yield f"{to}.{part}.bias", bias.rows(index, len(parts))

    def block(to: str, name: str, crosses: bool) -> Iterator[tuple[str, Tensor]]:
        yield from norm(f"{to}.mlp_ln", f"{name}/ffn/layer_norm")
        yield from linear(f"{to}.mlp.0", f"{name}/ffn/linear_0")
        yield from linear(f"{to}.mlp.2", f"{name}/ffn/linear_1")
        yield from norm(f"{to}.attn_ln", f"{name}/self_attention/layer_norm")
        yield from projections(f"{to}.attn", f"{name}/self_attention/linear_0", ("query", "key", "value"))
        yield from linear(f"{to}.attn.out", f"{name}/self_attention/linear_1")
        if crosses:
            yield from norm(f"{to}.cross_attn_ln", f"{name}/attention/layer_norm")
            yield from linear(f"{to}.cross_attn.query", f"{name}/attention/linear_0")
            yield from projections(f"{to}.cross_attn", f"{name}/attention/linear_1", ("key", "value"))
            yield from linear(f"{to}.cross_attn.out", f"{name}/attention/linear_2")

    yield "decoder.positional_embedding", source["decoder/position_encodings/encodings"]
    yield "encoder.positional_embedding", source["encoder/position_encodings/encodings"]
    yield "decoder.token_embedding.weight", source["decoder/embeddings/weight"]
    for index in range(decoder_layers):
        yield from block(f"decoder.blocks.{index}", f"decoder/layer_{index}", crosses=True)
    yield from norm("decoder.ln", "decoder/layer_norm")
    yield from convolution("encoder.conv1", "encoder/conv1")
    yield from convolution("encoder.conv2", "encoder/conv2")
    for index in range(encoder_layers):
        yield from block(f"encoder.blocks.{index}", f"encoder/layer_{index}", crosses=False)
    yield from norm("encoder.ln_post", "encoder/layer_norm")


def write_tensor(file: BinaryIO, name: str, tensor: Tensor) -> None:
    """Writes one tensor; vectors, biases and position tables are float32, as whisper.cpp's kernels want them."""
    single = len(tensor.shape) < 2 or name.endswith((".bias", ".positional_embedding"))
    data: bytes | memoryview = tensor.data
    if single:
        count = len(tensor.data) // 2
        data = struct.pack(f"<{count}f", *struct.unpack(f"<{count}e", tensor.data))
    file.write(struct.pack("<3i", len(tensor.shape), len(name), GGML_F32 if single else GGML_F16))
    file.write(struct.pack(f"<{len(tensor.shape)}i", *reversed(tensor.shape)))
    file.write(name.encode())
    file.write(data)


def convert(parts: list[Path], vocabulary: Path, output: Path) -> None:
    """Writes the ggml file: sizes, filterbank, tokens, tensors."""
    source = read_ctranslate2(*parts)

    def layers(side: str) -> int:
        return len({name.split("/")[1] for name in source if name.startswith(f"{side}/layer_") and name.count("/") > 2})

    encoder_layers, decoder_layers = layers("encoder"), layers("decoder")
    vocabulary_size, width = source["decoder/embeddings/weight"].shape
    audio_context = source["encoder/position_encodings/encodings"].shape[0]
    text_context = source["decoder/position_encodings/encodings"].shape[0]
    mel_bands = source["encoder/conv1/weight"].shape[1]
    if mel_bands != MEL_BANDS:
        raise SystemExit(f"{parts[0]}: has {mel_bands} mel bands, this script knows {MEL_BANDS}")
    heads = width // HEAD_SIZE
    audio = (audio_context, width, heads, encoder_layers)
    text = (text_context, width, heads, decoder_layers)
    filters = mel_filterbank()
    tokens = read_tokens(vocabulary)
    with open(output, "wb") as file:
        file.write(struct.pack("<12i", GGML_MAGIC, vocabulary_size, *audio, *text, mel_bands, GGML_F16))
        file.write(struct.pack(f"<2i{len(filters)}f", mel_bands, len(filters) // mel_bands, *filters))
        file.write(struct.pack("<i", len(tokens)))
        for token in tokens:
            file.write(struct.pack("<i", len(token)) + token)
        for name, tensor in ggml_tensors(source, encoder_layers, decoder_layers):
            write_tensor(file, name, tensor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("parts", type=Path, nargs="+", metavar="model", help="CTranslate2's model.bin, float16")
    parser.add_argument("vocabulary", type=Path, help="the vocabulary.txt beside it")
    arguments = parser.parse_args()
    convert(arguments.parts, arguments.vocabulary, arguments.output)


if __name__ == "__main__":
    main()
