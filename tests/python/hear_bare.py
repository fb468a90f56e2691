"""How does whisper.cpp hear the same sounds when Python calls it, with the same weights? The yardstick of `make bench-senses`.

usage: hear_bare.py --model ggml-tiny.en.bin --threads N [--repeat N] SOUND.wav...

Sounds are 16-bit mono WAV files at 16 kHz. All settings are whisper.cpp's own but language and threads. Prints one JSON
object: `seconds`, a list a round of a figure a sound, and `texts`.
"""

import argparse
import json
import os
import time
import wave
from pathlib import Path

import numpy
from pywhispercpp.model import Model


def samples(path: Path) -> numpy.ndarray:
    with wave.open(str(path)) as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (16_000, 1, 2):
            raise SystemExit(f"{path} is not 16-bit mono at 16 kHz")
        return numpy.frombuffer(file.readframes(file.getnframes()), numpy.int16).astype(numpy.float32) / 32768


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sounds", nargs="+", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeat", type=int, default=1)
    arguments = parser.parse_args()
    model = Model(
        str(arguments.model),
        n_threads=arguments.threads,
        language="en",
        print_progress=False,
        print_realtime=False,
        redirect_whispercpp_logs_to=None,
    )
    seconds, texts = [], []
    for _ in range(arguments.repeat):
        took, texts = [], []
        for path in arguments.sounds:
            began = time.perf_counter()
            segments = model.transcribe(samples(path))
            took.append(time.perf_counter() - began)
            texts.append(" ".join(segment.text.strip() for segment in segments))
        seconds.append(took)
    print(json.dumps({"seconds": seconds, "texts": texts}))


if __name__ == "__main__":
    main()
