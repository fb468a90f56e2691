#!/usr/bin/env python3
"""Makes the spoken question of tests/media, in every format that a caller may send.

    python3 models/pull.py voice-joe voice-joe-config
    python3 -m venv /tmp/clip && /tmp/clip/bin/pip install numpy==2.4.6 onnxruntime==1.32.0
    apt-get install espeak-ng ffmpeg
    /tmp/clip/bin/python models/make_clip.py tests/media

The clips are committed; this is here to show where they come from and to make others. A Piper voice reads phonemes:
espeak-ng finds them, the voice's own table turns them into numbers, and the network (VITS: J. Kim et al., 2021,
arXiv:2106.06103) into sound. How they are strung together: `phonemes_to_ids` in github.com/rhasspy/piper-phonemize (MIT).
"""

import argparse
import json
import os
import re
import subprocess
import wave
from pathlib import Path

import numpy
import onnxruntime

TEXT = "I have a question about Europe. What is the capital of France, and what is it famous for?"
SAMPLE_RATE = 16_000  # Hz, what Whisper hears
START, END, PAD = "^", "$", "_"
SCALES = (0.0, 1.2, 0.0)  # noise of the voice, length, noise of the lengths: without noise, the same clip every time
PEAK = 0.7  # of full scale
SILENCE = 0.35  # seconds before, between and after sentences

FORMATS = {
    "question-8khz-stereo.wav": ["-ar", "8000", "-ac", "2", "-c:a", "pcm_s16le"],
    "question.flac": ["-c:a", "flac"],
    "question.mp3": ["-c:a", "libmp3lame", "-b:a", "64k"],
    "question.m4a": ["-c:a", "aac", "-b:a", "48k"],
    "question-vorbis.ogg": ["-c:a", "libvorbis", "-q:a", "2"],
    "question-opus.ogg": ["-c:a", "libopus", "-b:a", "24k"],
    "question-opus.webm": ["-c:a", "libopus", "-b:a", "24k"],
}


def phonemes(sentence: str, voice: str) -> str:
    """The sentence in IPA; espeak-ng drops the punctuation, which tells the voice where to pause, so it is put back."""
    spoken = ""
    for clause, mark in re.findall(r"([^,.?!]+)([,.?!])", sentence):
        command = ["espeak-ng", "-q", "--ipa", "-v", voice, clause.strip()]
        ipa = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        spoken += " ".join(ipa.split()) + mark + " "
    return spoken.strip()


def speak(sentence: str, session: onnxruntime.InferenceSession, config: dict) -> numpy.ndarray:
    """One sentence as samples between -1 and 1, at the voice's own rate."""
    ids = config["phoneme_id_map"]
    numbers = [*ids[START], *ids[PAD]]
    for phoneme in phonemes(sentence, config["espeak"]["voice"]):
        numbers += [*ids[phoneme], *ids[PAD]]
    numbers += ids[END]
    inputs = {
        "input": numpy.array([numbers], numpy.int64),
        "input_lengths": numpy.array([len(numbers)], numpy.int64),
        "scales": numpy.array(SCALES, numpy.float32),
    }
    return session.run(None, inputs)[0].squeeze()


def synthesise(text: str, model: Path) -> tuple[numpy.ndarray, int]:
    """The whole text as 16-bit samples, and their rate."""
    config = json.loads(model.with_name(f"{model.name}.json").read_text())
    rate = config["audio"]["sample_rate"]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    pause = numpy.zeros(int(rate * SILENCE), numpy.float32)
    pieces = [pause]
    for sentence in re.findall(r"[^.?!]+[.?!]", text):
        pieces += [speak(sentence, session, config), pause]
    samples = numpy.concatenate(pieces)
    return (samples / numpy.abs(samples).max() * PEAK * 32767).astype("<i2"), rate


def convert(source: Path, target: Path, options: list[str]) -> None:
    """Lets ffmpeg write another format, without its version or the date in the file."""
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(source), "-map_metadata", "-1", *options]
    subprocess.run([*command, "-fflags", "+bitexact", "-flags:a", "+bitexact", str(target)], check=True)


def main() -> None:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "megabrain" / "models"
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="where the clips go: tests/media")
    parser.add_argument("--voice", type=Path, default=cache / "en_US-joe-medium.onnx")
    arguments = parser.parse_args()
    samples, rate = synthesise(TEXT, arguments.voice)
    original = arguments.folder / "original.wav"
    with wave.open(str(original), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    question = arguments.folder / "question.wav"
    convert(original, question, ["-ar", str(SAMPLE_RATE), "-ac", "1", "-c:a", "pcm_s16le"])
    original.unlink()
    for name, options in FORMATS.items():
        convert(question, arguments.folder / name, options)


if __name__ == "__main__":
    main()
