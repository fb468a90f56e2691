"""Do the doors do what they say of themselves? Schemathesis makes requests of every kind out of `/openapi.json`, good and bad.

Models, ids and times of those that are good are moved to what this brain has, so that they are answered, and soon. What
comes must have been told: its status, its type, its shape. Bad ones must be refused. Nothing may break.
"""

import io
import re
import time
import wave
import zlib

import hypothesis.strategies as st
import pytest
import requests
import schemathesis
from brain import ROOT, Brain
from schemathesis.config import SchemathesisConfig

QUESTION = (ROOT / "tests" / "media" / "question.wav").read_bytes()
# Models that serve at each door. An id that is none of these stays what it is for one request in so many.
MODELS = {
    "/v1/audio/speech": ["voice", "tts-1"],
    "/v1/audio/transcriptions": ["whisper", "whisper-1"],
    "/v1/audio/translations": ["whisper", "whisper-1"],
    "/v1/embeddings": ["embed", "text-embedding-3-small"],
    "/api/embed": ["embed", "embed:latest"],
}
SPEAKERS = ["fast", "echo", "brain", "echo"]
# Told, and not the doors' fault: no room or nobody there, and no time left. Any other 5xx is a failure.
TOLD = ["503", "504"]
CONFIG = {
    "seed": 20261127,
    "request-timeout": 60,
    "generation": {"max-examples": 25, "database": "none", "no-shrink": True},
    "phases": {"stateful": {"enabled": False}},
    "checks": {
        "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", *TOLD]},
        "negative_data_rejection": {"expected-statuses": ["400", "403", "404", "409", "413", "429", *TOLD]},
        # What a model takes is not all in a schema: that a good request is answered well, other tests show.
        "positive_data_acceptance": {"enabled": False},
    },
    "operations": [{"include-path-regex": "^/v1/audio/", "generation": {"max-examples": 8}}],
}


def silence() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 16000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))
    return file.getvalue()


schemathesis.openapi.format("binary", st.sampled_from([QUESTION, silence(), silence(), b"no sound", b""]))


@pytest.fixture(scope="module")
def brain(tmp_path_factory):
    """A brain of its own: what is made here is left lying about."""
    models = """
        [models.fast]
        actor = "llm"
        weights = "smollm2-135m"
        max_tokens = 4
        [models.embed]
        actor = "llm"
        weights = "minilm-l6"
        [models.whisper]
        actor = "speech"
        weights = "whisper-tiny.en"
        [models.voice]
        actor = "voice"
        weights = { model = "voice-joe", config = "voice-joe-config" }
        [models.echo]
        actor = "echo"
        [router]
        answer = ["fast"]
    """
    brain = Brain(tmp_path_factory.mktemp("schemathesis"), models)
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


@pytest.fixture
def told(brain, jobs):
    """What the doors tell of themselves, and how requests are moved to this brain."""
    schema = schemathesis.openapi.from_url(f"{brain.http}/openapi.json", config=SchemathesisConfig.from_dict(CONFIG))

    @schema.hook
    def before_call(context, case, kwargs):
        if isinstance(case.body, dict):
            move_body(case.path, case.body)
        for name, value in (case.headers or {}).items():
            if name.lower() == "megabrain-deadline-ms" and str(value).isdigit():
                case.headers[name] = "20000"
        if case.path.startswith("/v1/jobs/") and case.path_parameters.get("id"):
            case.path_parameters["id"] = one_of([*jobs, case.path_parameters["id"]], case.path_parameters["id"])

    return schema


def move_body(path: str, body: dict):
    if isinstance(model := body.get("model"), str) and model and path != "/v1/jobs":
        known = MODELS.get(path, SPEAKERS)
        body["model"] = model if model in known else one_of([*known * 3, model], model)
    for table in (body, body.get("options")):
        for name in ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict"):
            # Good ones stay good, and bad ones bad.
            if isinstance(table, dict) and isinstance(table.get(name), int) and table[name] > 4:
                table[name] = 4
    if path == "/v1/jobs":
        if isinstance(name := body.get("capability"), str) and re.fullmatch("[A-Za-z0-9_-]{1,64}", name):
            body["capability"] = one_of(["echo", "ask", "chat", name], name)
        if str(body.get("callback_url")).lower().startswith("http"):
            # Nobody is called, nor looked for, beyond this machine.
            body["callback_url"] = "http://127.0.0.1:9/"


def one_of(choices: list, by) -> str:
    return choices[zlib.crc32(str(by).encode("utf-8", "surrogatepass")) % len(choices)]


@schemathesis.pytest.from_fixture("told").parametrize()
def test_the_doors_do_what_they_tell(case):
    case.call_and_validate()


def test_afterwards_everybody_is_there_and_has_been_all_the_time(brain, jobs):
    assert brain.process.poll() is None
    assert restarts(brain) == dict.fromkeys(["fast", "embed", "whisper", "voice", "echo"], 0), brain.log.read_text()
    assert requests.get(f"{brain.http}/readyz", timeout=60).status_code == 200
    for model in ("fast", "echo", "brain"):
        chat = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
        answer = requests.post(f"{brain.http}/v1/chat/completions", json=chat, timeout=60)
        assert answer.status_code == 200 and answer.json()["choices"][0]["message"]["content"], answer.text
    spoken = requests.post(f"{brain.http}/v1/audio/speech", json={"model": "voice", "input": "Yes."}, timeout=60)
    assert spoken.headers["content-type"] == "audio/wav"
    heard = {"file": ("question.wav", QUESTION)}, {"model": "whisper"}
    heard = requests.post(f"{brain.http}/v1/audio/transcriptions", files=heard[0], data=heard[1], timeout=60)
    assert "capital of France" in heard.json()["text"]
    vectors = requests.post(f"{brain.http}/v1/embeddings", json={"model": "embed", "input": "a"}, timeout=60)
    assert len(vectors.json()["data"][0]["embedding"]) == 384
    assert [job(brain, id)["status"] for id in jobs] == ["succeeded", "failed", "cancelled"]
    assert "panicked" not in brain.log.read_text()
