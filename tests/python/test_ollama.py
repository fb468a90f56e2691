"""Does a brain answer Ollama's own Python client as it expects?"""

import time
import typing

import ollama
import pydantic
import pytest

CHAT = {"model": "fast", "messages": [{"role": "user", "content": "Name a colour."}], "options": {"num_predict": 8, "temperature": 0}}


@pytest.fixture
def client(doors):
    with ollama.Client(host=doors.http, timeout=60) as client:
        yield client


def test_the_models_are_listed(client):
    # Who is there is heard within a second of the doors' opening, the router among them.
    end, expected = time.monotonic() + 10, {"brain:latest", "fast:latest", "embed:latest"}
    while not expected <= (names := {model.model for model in client.list().models}):
        assert time.monotonic() < end, names
        time.sleep(0.1)


def test_a_chat_is_answered_whole_and_in_lines(client):
    whole = client.chat(**CHAT)
    assert whole.message.role == "assistant" and whole.message.content
    assert whole.done and whole.done_reason in ("stop", "length") and 0 < whole.eval_count <= 8
    *lines, last = client.chat(**CHAT | {"model": "fast:latest"}, stream=True)
    assert "".join(line.message.content for line in lines) == whole.message.content
    assert (last.done, last.eval_count, last.done_reason) == (True, whole.eval_count, whole.done_reason)


def get_weather(city: str) -> str:
    """Tells the weather in a city now.

    Args:
        city: The city.
    """
    return f"31 degrees in {city}"


@pytest.mark.parametrize("stream", [False, True])
def test_a_function_is_called_and_its_result_is_answered(client, stream):
    messages = [{"role": "user", "content": "What is the weather in Paris?"}]
    asked = {"model": "deep", "tools": [get_weather], "options": {"num_predict": 60, "temperature": 0}}
    lines = client.chat(**asked, messages=messages, stream=True) if stream else [client.chat(**asked, messages=messages)]
    (call,) = [call for line in lines for call in line.message.tool_calls or []]
    assert call.function.name == "get_weather" and call.function.arguments == {"city": "Paris"}
    messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
    messages.append({"role": "tool", "tool_name": "get_weather", "content": get_weather(**call.function.arguments)})
    assert "31" in client.chat(model="deep", messages=messages, options=asked["options"]).message.content


def test_an_answer_keeps_to_its_schema(client):
    # Without more fields, of which an answer could have any number.
    class Berth(pydantic.BaseModel, extra="forbid"):
        number: int = pydantic.Field(ge=1, le=99)
        day: typing.Literal["Monday", "Friday"]

    asked = CHAT | {"options": {"num_predict": 60, "temperature": 1.5}}
    Berth.model_validate_json(client.chat(**asked, format=Berth.model_json_schema()).message.content)


def test_texts_become_vectors_and_what_is_too_long_is_cut_unless_it_must_not_be(client):
    short = client.embed(model="embed", input=["a berth", "a boat"])
    assert [len(vector) for vector in short.embeddings] == [384, 384] and short.prompt_eval_count > 2
    long = "boat " * 2000
    assert len(client.embed(model="embed", input=long).embeddings) == 1
    with pytest.raises(ollama.ResponseError) as refused:
        client.embed(model="embed", input=long, truncate=False)
    assert refused.value.status_code == 400 and "tokens" in refused.value.error


def test_what_a_brain_cannot_do_is_an_error_that_says_so(client):
    for status, told, more in [
        (404, "gpt-4o", {"model": "gpt-4o"}),
        (400, "`mirostat`", {"options": {"mirostat": 1}}),
        (400, "`if`", {"format": {"if": {}}}),
        (400, "`think`", {"think": "high"}),
    ]:
        with pytest.raises(ollama.ResponseError) as refused:
            client.chat(**CHAT | more)
        assert refused.value.status_code == status and told in refused.value.error
