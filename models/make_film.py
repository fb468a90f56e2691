#!/usr/bin/env python3
"""Makes the short film of tests/media, and beside it the truth about it: what is shown and what is said, and when.

    python3 models/pull.py voice-joe voice-joe-config
    python3 -m venv /tmp/film
    /tmp/film/bin/pip install numpy==2.4.6 onnxruntime==1.32.0 pillow==13.0.0
    /tmp/film/bin/pip install --no-deps scikit-image==0.26.0     # for its photos; nothing of it is run
    apt-get install espeak-ng ffmpeg
    /tmp/film/bin/python models/make_film.py tests/media

The film is committed; this is here to show where it comes from and to make others. No sentence names what is shown
while it is said: whoever answers a question about both must join what was heard with what was seen.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy
import onnxruntime
from make_clip import PEAK, SAMPLE_RATE, speak
from PIL import Image, ImageDraw, ImageFont, ImageOps

WIDTH, HEIGHT, FPS = 640, 480, 25
LEAD = 0.6  # seconds from a cut to the first word
AUDIBLE = 0.02  # of the loudest sample: where a sentence begins and ends
BOARD = (28, 60, 110)  # a painted board, where there is no photo


@dataclass(frozen=True)
class Scene:
    """One picture that stands still, and what is said meanwhile."""

    what: str
    photo: str | None  # a file of scikit-image
    text: str  # drawn on it
    seconds: float  # a whole number of frames
    sentence: str


SCENES = [
    Scene("astronaut", "astronaut.png", "", 4.6, "Good morning, and welcome to the programme."),
    Scene("cat", "chelsea.png", "", 5.0, "My brother wants to sleep until noon."),
    Scene("cup of coffee", "coffee.png", "OPEN TILL NINE", 4.8, "The meeting is on Friday afternoon."),
    Scene("board", None, "BERTH 42", 4.4, "Please bring the blue umbrella."),
    Scene("rocket", "rocket.jpg", "LAUNCH AT SEVEN", 5.2, "That is all for today. Goodbye!"),
]


def photo(name: str) -> Path:
    """A photo that scikit-image carries; the package itself is not imported."""
    package = importlib.util.find_spec("skimage")
    return Path(package.submodule_search_locations[0]) / "data" / name


def picture(scene: Scene) -> Image.Image:
    """What a scene shows."""
    if scene.photo:
        image = ImageOps.fit(Image.open(photo(scene.photo)).convert("RGB"), (WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    else:
        image = Image.new("RGB", (WIDTH, HEIGHT), BOARD)
    if scene.text:
        draw = ImageDraw.Draw(image)
        font = ImageFont.load_default(60 if scene.photo else 110)
        place = (WIDTH / 2, HEIGHT - 60 if scene.photo else HEIGHT / 2)
        if scene.photo:
            box = draw.textbbox(place, scene.text, font, anchor="mm")
            draw.rectangle((box[0] - 16, box[1] - 12, box[2] + 16, box[3] + 12), fill=(0, 0, 0))
        draw.text(place, scene.text, fill=(255, 255, 255), font=font, anchor="mm")
    return image


def voice(model: Path) -> tuple[list[numpy.ndarray], int]:
    """Every scene's sentence as samples between -1 and 1, and their rate."""
    config = json.loads(model.with_name(f"{model.name}.json").read_text())
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    sentences = [[speak(part, session, config) for part in split(scene.sentence)] for scene in SCENES]
    return [numpy.concatenate(parts) for parts in sentences], config["audio"]["sample_rate"]


def split(text: str) -> list[str]:
    """Its sentences: the voice speaks one at a time."""
    marked = text.replace(". ", ".\n").replace("! ", "!\n").replace("? ", "?\n")
    return marked.split("\n")


def sound(sentences: list[numpy.ndarray], rate: int) -> tuple[numpy.ndarray, list[dict]]:
    """The sound track as 16-bit samples, and what is said when."""
    track = numpy.zeros(round(sum(scene.seconds for scene in SCENES) * rate), numpy.float32)
    said, cut = [], 0.0
    for scene, samples in zip(SCENES, sentences, strict=True):
        audible = numpy.flatnonzero(numpy.abs(samples) > numpy.abs(samples).max() * AUDIBLE)
        start = round((cut + LEAD) * rate) - audible[0]
        times = [(start + sample) * 1000 / rate for sample in (audible[0], audible[-1])]
        if times[1] > (cut + scene.seconds) * 1000:
            raise SystemExit(f"{scene.sentence!r} takes longer than its scene")
        track[start : start + len(samples)] += samples
        said.append({"t0_ms": round(times[0]), "t1_ms": round(times[1]), "text": scene.sentence})
        cut += scene.seconds
    return (track / numpy.abs(track).max() * PEAK * 32767).astype("<i2"), said


def shown(pictures: list[Image.Image]) -> list[dict]:
    """What is shown when; with the mean colours of the four quarters, by which a program can tell the pictures apart."""
    rows, cut = [], 0.0
    for scene, image in zip(SCENES, pictures, strict=True):
        times = {"t0_ms": round(cut * 1000), "t1_ms": round((cut + scene.seconds) * 1000)}
        rows.append(times | {"what": scene.what, "text": scene.text, "quarters": quarters(image)})
        cut += scene.seconds
    return rows


def quarters(image: Image.Image) -> list[list[int]]:
    """The mean colours of its top left, top right, bottom left and bottom right."""
    small = numpy.asarray(image, numpy.float64).reshape(2, HEIGHT // 2, 2, WIDTH // 2, 3).mean(axis=(1, 3))
    return [[round(channel) for channel in colour] for colour in small.reshape(4, 3).tolist()]


def film(pictures: list[Image.Image], track: numpy.ndarray, rate: int, target: Path) -> None:
    """Lets ffmpeg join pictures and sound, without its version or the date in the file."""
    with tempfile.TemporaryDirectory() as folder:
        voice_file = Path(folder) / "voice.wav"
        with wave.open(str(voice_file), "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", ""))
            file.writeframes(track.tobytes())
        command = ["ffmpeg", "-v", "error", "-y", "-i", str(voice_file)]
        for number, (scene, image) in enumerate(zip(SCENES, pictures, strict=True)):
            path = Path(folder) / f"{number}.png"
            image.save(path)
            command += ["-loop", "1", "-framerate", str(FPS), "-t", str(scene.seconds), "-i", str(path)]
        joined = "".join(f"[{number}:v]" for number in range(1, len(SCENES) + 1))
        command += ["-filter_complex", f"{joined}concat=n={len(SCENES)},format=yuv420p[v]", "-map", "[v]", "-map", "0:a"]
        command += ["-c:v", "libx264", "-preset", "veryslow", "-tune", "stillimage", "-crf", "27", "-threads", "1"]
        command += ["-c:a", "aac", "-b:a", "48k", "-ar", str(SAMPLE_RATE), "-map_metadata", "-1"]
        bitexact = ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact"]
        subprocess.run([*command, *bitexact, "-movflags", "+faststart", str(target)], check=True)


def write(head: dict, tables: dict[str, list[dict]], target: Path) -> None:
    """Writes the truth as JSON, a row a line."""
    parts = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
    for name, rows in tables.items():
        lines = ",\n".join(f"    {json.dumps(row)}" for row in rows)
        parts.append(f"  {json.dumps(name)}: [\n{lines}\n  ]")
    target.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def main() -> None:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "megabrain" / "models"
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="where the film goes: tests/media")
    parser.add_argument("--voice", type=Path, default=cache / "en_US-joe-medium.onnx")
    arguments = parser.parse_args()
    pictures = [picture(scene) for scene in SCENES]
    sentences, rate = voice(arguments.voice)
    track, said = sound(sentences, rate)
    film(pictures, track, rate, arguments.folder / "film.mp4")
    duration = round(sum(scene.seconds for scene in SCENES) * 1000)
    truth = {"width": WIDTH, "height": HEIGHT, "fps": FPS, "duration_ms": duration}
    write(truth, {"shown": shown(pictures), "said": said}, arguments.folder / "film.json")


if __name__ == "__main__":
    main()
