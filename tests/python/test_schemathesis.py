"""Do the doors do what they say of themselves? Schemathesis makes requests of every kind out of `/openapi.json`.

What comes must have been told: its status, its type, its shape. Requests that are bad must be refused. Nothing may break.
"""

import collections
import os
import re
import subprocess
import sys
import time

import pytest
import requests
from brain import ROOT, SENSES, Brain

HERE = ROOT / "tests" / "python"
QUESTION = ROOT / "tests" / "media" / "question.wav"


@pytest.fixture(scope="module")
def brain(tmp_path_factory):
    """A brain of its own: what is made here is left lying about."""
    models = """
        [models.fast]
        actor = "llm"
        weights = "smollm2-135m"
        max_tokens = 4
    """
    brain = Brain(tmp_path_factory.mktemp("schemathesis"), models + SENSES)
    yield brain
    brain.stop()


@pytest.fixture(scope="module")
def jobs(brain):
    """Jobs that have ended, each in its own way."""
    asked = [{"text": "Hi"}, {"text": 7}, {"text": "Hi", "delay_ms": 60_000}]
    ids = [
        requests.post(f"{brain.http}/v1/jobs", json={"capability": "echo", "body": body}, timeout=60).json()["id"]
        for body in asked
    ]
    requests.delete(f"{brain.http}/v1/jobs/{ids[-1]}", timeout=60).raise_for_status()
    end = time.monotonic() + 30
    while (ends := [job(brain, id)["status"] for id in ids]) != ["succeeded", "failed", "cancelled"]:
        assert time.monotonic() < end, ends
        time.sleep(0.05)
    return ids


def job(brain, id: str) -> dict:
    return requests.get(f"{brain.http}/v1/jobs/{id}", timeout=60).json()


def restarts(brain) -> dict[str, float]:
    """How often each model's process was started again."""
    page = requests.get(f"{brain.http}/metrics", timeout=60).text
    return {m[1]: float(m[2]) for m in re.finditer(r'model_restarts\{model="(\w+)"[^}]*\} (\S+)', page)}


@pytest.fixture(scope="module")
def asked(brain, jobs, tmp_path_factory):
    """What schemathesis said, and each door with each status that it gave."""
    folder = tmp_path_factory.mktemp("answers")
    answers = folder / "answers"
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", HERE / "schemathesis.toml", "--no-color"]
    ran = subprocess.run(
        [*command, "run", f"{brain.http}/openapi.json"],
        # It leaves a folder behind.
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(HERE), "JOBS": ",".join(jobs), "ANSWERS": str(answers)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    return ran, [line.rsplit(" ", 1) for line in answers.read_text().splitlines()]


def test_the_doors_do_what_they_tell(brain, asked):
    ran, answers = asked
    assert ran.returncode == 0, ran.stdout + ran.stderr
    told = requests.get(f"{brain.http}/openapi.json", timeout=60).json()["paths"]
    doors = {f"{method.upper()} {path}" for path, methods in told.items() for method in methods}
    counted = collections.Counter(door for door, _ in answers)
    well = {door for door, status in answers if status[0] == "2"}
    # The document is asked for in any case. These ears know English only: there is nothing that they translate. What is made
    # up hardly ever is speech: the next test has some transcribed.
    assert doors - counted.keys() <= {"GET /openapi.json"}, counted
    assert doors - well <= {
        "GET /openapi.json",
        "POST /v1/audio/transcriptions",
        "POST /v1/audio/translations",
    }, "never answered well"


def test_afterwards_everybody_is_there_and_has_been_all_the_time(brain, jobs, asked):
    assert brain.process.poll() is None
    assert restarts(brain) == dict.fromkeys(["fast", "embed", "rerank", "whisper", "voice", "echo"], 0), brain.log.read_text()
    assert requests.get(f"{brain.http}/readyz", timeout=60).status_code == 200
    for model in ("fast", "echo", "brain"):
        chat = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
        answer = requests.post(f"{brain.http}/v1/chat/completions", json=chat, timeout=60)
        assert answer.status_code == 200 and answer.json()["choices"][0]["message"]["content"], answer.text
    spoken = requests.post(f"{brain.http}/v1/audio/speech", json={"model": "voice", "input": "Yes."}, timeout=60)
    assert spoken.headers["content-type"] == "audio/wav"
    heard = {"file": ("question.wav", QUESTION.read_bytes())}, {"model": "whisper"}
    heard = requests.post(f"{brain.http}/v1/audio/transcriptions", files=heard[0], data=heard[1], timeout=60)
    assert "capital of France" in heard.json()["text"]
    vectors = requests.post(f"{brain.http}/v1/embeddings", json={"model": "embed", "input": "a"}, timeout=60)
    assert len(vectors.json()["data"][0]["embedding"]) == 384
    assert [job(brain, id)["status"] for id in jobs] == ["succeeded", "failed", "cancelled"]
    assert "panicked" not in brain.log.read_text()
