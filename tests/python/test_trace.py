"""Is one request one trace, from the caller's own span to the last model that worked on it?"""

import asyncio
import secrets

import openai
import pytest
from brain import PROGRAM, ROOT, Brain
from collector import Collector
from contract import JSON, fault_of
from inbox import request

MODELS = """
    [models.fast]
    actor = "llm"
    weights = "smollm2-135m"
    [models.whisper]
    actor = "speech"
    weights = "whisper-tiny.en"
    [models.echo]
    actor = "echo"
"""
QUESTION = (ROOT / "tests" / "media" / "question.wav").read_bytes()
SPOKEN = {"attachments": [{"mime": "audio/wav", "data": QUESTION}], "max_tokens": 8, "temperature": 0}


@pytest.fixture(scope="module")
def collector():
    collector = Collector()
    yield collector
    collector.stop()


@pytest.fixture(scope="module")
def brain(collector, tmp_path_factory):
    """A brain of this file's own, which exports what it does, soon."""
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100", "NO_PROXY": "127.0.0.1"}
    brain = Brain(tmp_path_factory.mktemp("traced"), MODELS, **variables)
    yield brain
    brain.stop()


class Caller:
    """A span of the caller's own, which is exported elsewhere."""

    def __init__(self, flags: str = "01"):
        self.trace, self.span = secrets.token_hex(16), secrets.token_hex(8)
        self.headers = {"traceparent": f"00-{self.trace}-{self.span}-{flags}"}


async def spans_where(collector, is_one, number: int):
    """The spans that `is_one` says, by service and name, once there are so many; not one more."""
    spans = await asyncio.to_thread(collector.wait, lambda spans: sum(map(is_one, spans)) >= number)
    found = {(span.service, span.name): span for span in spans if is_one(span)}
    assert len(found) == sum(map(is_one, spans)) == number, found
    return found


async def spans_of(collector, trace: str, number: int):
    return await spans_where(collector, lambda span: span.trace == trace, number)


TYPED = ("megabrain", "command")
HTTP = ("megabrain", "http")
ASK = ("megabrain", "ask")
HEARD = ("megabrain-speech", "mb.v1.transcribe.whisper")
ANSWERED = ("megabrain-llm", "mb.v1.chat.fast")


async def test_an_ask_and_its_legs_are_one_trace_under_the_callers_span(client, collector):
    caller = Caller()
    reply = await request(client, "mb.v1.ask", SPOKEN, JSON, headers=caller.headers)
    spans = await spans_of(collector, caller.trace, 3)
    assert set(spans) == {ASK, HEARD, ANSWERED}
    assert spans[ASK].parent == caller.span
    assert spans[HEARD].parent == spans[ANSWERED].parent == spans[ASK].id
    assert {span.attributes["work"] for span in spans.values()} == {reply["work"]}
    assert (spans[HEARD].attributes["leg"], spans[ANSWERED].attributes["leg"]) == ("0", "1")
    # By one clock, since it is one machine.
    assert spans[ASK].began <= spans[HEARD].began < spans[ANSWERED].began < spans[ASK].ended


async def test_an_ask_of_a_caller_without_a_span_begins_a_trace(client, collector):
    work = secrets.token_hex(16)
    await request(client, "mb.v1.ask", {"text": "Hello", "max_tokens": 4}, JSON, headers={"Megabrain-Work": work})
    spans = await spans_where(collector, lambda span: span.attributes.get("work") == work, 2)
    assert set(spans) == {ASK, ANSWERED}
    assert spans[ASK].parent == ""
    assert (spans[ANSWERED].trace, spans[ANSWERED].parent) == (spans[ASK].trace, spans[ASK].id)


async def test_a_command_a_person_types_is_the_root_of_its_trace(brain, collector):
    work = secrets.token_hex(16)
    command = [PROGRAM, "ask", "Hello", "--max-tokens", "4", "--json", "--no-stream", "--work", work]
    shell = await asyncio.create_subprocess_exec(*command, env=brain.environment, stdout=asyncio.subprocess.DEVNULL)
    assert await shell.wait() == 0
    ask = (await spans_where(collector, lambda span: span.attributes.get("work") == work, 2))[ASK]
    spans = await spans_of(collector, ask.trace, 3)
    assert set(spans) == {TYPED, ASK, ANSWERED}
    assert (spans[TYPED].parent, spans[ASK].parent, spans[ANSWERED].parent) == ("", spans[TYPED].id, spans[ASK].id)
    assert spans[TYPED].attributes["name"] == "ask"


async def test_a_request_by_http_stands_between_its_caller_and_the_question(brain, collector):
    caller = Caller()
    question = {"model": "brain", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
    async with openai.AsyncOpenAI(base_url=f"{brain.http}/v1", api_key="x", max_retries=0) as client:
        answer = await client.chat.completions.create(**question, extra_headers=caller.headers)
    spans = await spans_of(collector, caller.trace, 3)
    assert set(spans) == {HTTP, ASK, ANSWERED}
    assert (spans[HTTP].parent, spans[ASK].parent, spans[ANSWERED].parent) == (caller.span, spans[HTTP].id, spans[ASK].id)
    assert {span.attributes["work"] for span in spans.values()} == {answer._request_id}


@pytest.mark.parametrize("subject", ["mb.v1.echo", "mb.v1.echo.echo"])
async def test_what_a_model_does_for_a_caller_is_a_child_of_the_callers_span(client, collector, subject):
    caller = Caller()
    reply = await request(client, subject, {"text": "hello"}, JSON, headers=caller.headers)
    [(name, span)] = (await spans_of(collector, caller.trace, 1)).items()
    assert name == ("megabrain-echo", "mb.v1.echo.echo.python-echo-1" if subject == "mb.v1.echo" else subject)
    assert (span.parent, span.attributes["work"]) == (caller.span, reply["work"])


async def test_a_fault_is_told_by_the_span_of_the_work(client, collector):
    caller = Caller()
    headers = {**caller.headers, "Megabrain-Deadline-Ms": "50"}
    answer = await client.request("mb.v1.echo.echo", b'{"delay_ms":10000}', timeout=10, headers=headers)
    assert fault_of(answer, JSON)["kind"] == "deadline_exceeded"
    [span] = (await spans_of(collector, caller.trace, 1)).values()
    assert span.attributes["fault"] == "deadline_exceeded"
    assert 40e6 < span.ended - span.began < 1e9


async def test_what_the_caller_does_not_sample_is_not_exported(client, collector):
    unsampled, sampled = Caller(flags="00"), Caller()
    for caller in (unsampled, sampled):
        await request(client, "mb.v1.ask", {"text": "Hello", "max_tokens": 4}, JSON, headers=caller.headers)
    # Each process exports in order.
    await spans_of(collector, sampled.trace, 2)
    assert unsampled.trace not in {span.trace for span in collector.spans}
