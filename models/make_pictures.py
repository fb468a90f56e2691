#!/usr/bin/env python3
"""Makes the pictures of tests/media, and writes down what the reference sees in them: pictures.json.

    python3 models/pull.py efficientnet-lite0 pp-ocr-v4-read
    python3 -m venv /tmp/pictures
    /tmp/pictures/bin/pip install numpy==2.4.6 onnxruntime==1.32.0 pillow==13.0.0 scikit-image==0.26.0 rapidocr-onnxruntime==1.4.4
    /tmp/pictures/bin/python models/make_pictures.py tests/media

Pictures and figures are committed; this is here to show where they come from. The reference for classes is Pillow and
ONNX Runtime in Python on `efficientnet-lite0`, prepared as the model was judged (`efficientnet_lite_builder.py` in
github.com/tensorflow/tpu, Apache-2.0): the middle 7/8 of the shorter side, bicubic. The reference for text is RapidOCR,
whose package the models come from, as it is, but for the pictures' places: `pictures.json` has what it gives.
"""

import argparse
import io
import json
import os
from pathlib import Path

import numpy
import onnxruntime
import skimage.data
from PIL import Image, ImageDraw, ImageFont
from rapidocr_onnxruntime import RapidOCR

SIZE = 224  # pixels of a side, as the classifier takes them
TOP = 5


def text(size: tuple[int, int], lines: list[tuple[int, int, int, str]], paper="white", ink="black") -> Image.Image:
    """Lines of text, each with its place and height, in Pillow's own font (Aileron by Sora Sagano, CC0)."""
    picture = Image.new("RGB", size, paper)
    draw = ImageDraw.Draw(picture)
    for x, y, height, line in lines:
        draw.text((x, y), line, fill=ink, font=ImageFont.load_default(height))
    return picture


def pictures() -> dict[str, Image.Image]:
    """Every picture, by its file's name."""
    sign = text(
        (640, 360),
        [
            (40, 30, 72, "BERTH 42"),
            (40, 130, 30, "Ferry to Rosslare"),
            (400, 133, 30, "leaves 18:45"),
            (40, 190, 22, "Tickets at the kiosk, cash or card: €23.50"),
            (40, 250, 18, "Mind the gap & keep dogs on a lead!"),
            (430, 300, 18, "harbour@example.org"),
        ],
    )
    note = text((420, 140), [(20, 15, 34, "Turn the page"), (20, 75, 34, "No. 7-A/2026")], paper="#ffe9a8", ink="#20304a")
    menu = Image.fromarray(skimage.data.coffee())
    draw = ImageDraw.Draw(menu)
    draw.text((40, 20), "Espresso 2.80", fill="white", font=ImageFont.load_default(44))
    draw.text((300, 350), "open daily", fill="#ffd070", font=ImageFont.load_default(30))
    return {
        "cat.jpg": Image.fromarray(skimage.data.chelsea()),
        "coffee.jpg": Image.fromarray(skimage.data.coffee()),
        "astronaut.jpg": Image.fromarray(skimage.data.astronaut()),
        "menu.jpg": menu,
        "sign.png": sign,
        "note-tilted.png": note.rotate(14, Image.Resampling.BICUBIC, expand=True, fillcolor="#808080"),
        "note-upside-down.png": note.rotate(180),
        "note-on-its-side.png": note.rotate(90, expand=True),
        "strip.png": text((1200, 36), [(10, 4, 24, "one long line of text on a strip that is wide and low")]),
        "label.png": text((120, 24), [(6, 2, 16, "BATCH 90210")]),
    }


def encode(name: str, picture: Image.Image) -> bytes:
    file = io.BytesIO()
    if name.endswith(".jpg"):
        picture.save(file, "JPEG", quality=85)
    else:
        picture.quantize(64).save(file, "PNG", optimize=True)
    return file.getvalue()


def classify(session: onnxruntime.InferenceSession, data: bytes) -> list[dict]:
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    width, height = picture.size
    seen = min(width, height) * SIZE / (SIZE + 32)
    area = ((width - seen) / 2, (height - seen) / 2, (width + seen) / 2, (height + seen) / 2)
    scaled = picture.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box=area)
    numbers = (numpy.asarray(scaled, numpy.float32) - 127) / 128
    (logits,) = session.run(None, {"input": numbers.transpose(2, 0, 1)[None]})[0]
    likely = numpy.exp(logits - logits.max())
    likely /= likely.sum()
    labels = session.get_modelmeta().custom_metadata_map["labels"].split("\n")
    return [{"label": labels[index], "score": round(float(likely[index]), 4)} for index in likely.argsort()[::-1][:TOP]]


def read(ocr: RapidOCR, data: bytes) -> list[dict]:
    picture = numpy.asarray(Image.open(io.BytesIO(data)).convert("RGB"))[:, :, ::-1]  # RapidOCR takes BGR
    found, _ = ocr(picture)
    return [
        {"text": line, "box": [[round(float(place), 1) for place in corner] for corner in box], "score": round(float(score), 4)}
        for box, line, score in found or []
    ]


def main() -> None:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "megabrain" / "models"
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--model", type=Path, default=cache / "efficientnet-lite0.onnx", metavar="FILE")
    arguments = parser.parse_args()
    session, ocr = onnxruntime.InferenceSession(arguments.model), RapidOCR()
    expected = {}
    for name, picture in pictures().items():
        data = encode(name, picture)
        (arguments.folder / name).write_bytes(data)
        expected[name] = {"size": picture.size, "classify": classify(session, data), "read": read(ocr, data)}
    lines = [f'  {json.dumps(name)}: {json.dumps(found, ensure_ascii=False)}' for name, found in expected.items()]
    (arguments.folder / "pictures.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
