"""How fast are the same pictures seen in Python, with the same models? The yardstick of `make bench-senses`.

usage: see_bare.py --model efficientnet-lite0.onnx [--repeat N] PICTURE...

Each picture's bytes are decoded, classified by ONNX Runtime and read by RapidOCR, both as they are when nobody changes a
setting. Prints one JSON object: `seconds`, a list a round of a figure a picture, and `texts`, what was read.
"""

import argparse
import io
import json
import time
from pathlib import Path

import numpy
import onnxruntime
from PIL import Image
from rapidocr_onnxruntime import RapidOCR

SIZE = 224  # pixels of a side, as the classifier takes them


def classify(session: onnxruntime.InferenceSession, picture: Image.Image) -> numpy.ndarray:
    width, height = picture.size
    seen = min(width, height) * SIZE / (SIZE + 32)
    area = ((width - seen) / 2, (height - seen) / 2, (width + seen) / 2, (height + seen) / 2)
    scaled = picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box=area)
    numbers = (numpy.asarray(scaled, numpy.float32) - 127) / 128
    (logits,) = session.run(None, {"input": numpy.ascontiguousarray(numbers.transpose(2, 0, 1)[None])})[0]
    likely = numpy.exp(logits - logits.max())
    return (likely / likely.sum()).argsort()[::-1][:5]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--repeat", type=int, default=1)
    arguments = parser.parse_args()
    session, ocr = onnxruntime.InferenceSession(arguments.model), RapidOCR()
    files = [path.read_bytes() for path in arguments.pictures]
    seconds, texts = [], []
    for _ in range(arguments.repeat):
        took, texts = [], []
        for data in files:
            began = time.perf_counter()
            picture = Image.open(io.BytesIO(data)).convert("RGB")
            classify(session, picture)
            found, _ = ocr(numpy.ascontiguousarray(numpy.asarray(picture)[:, :, ::-1]))  # RapidOCR takes BGR
            took.append(time.perf_counter() - began)
            texts.append([line for _, line, _ in found or []])
        seconds.append(took)
    print(json.dumps({"seconds": seconds, "texts": texts}))


if __name__ == "__main__":
    main()
