"""Do tools, forms and parsed answers work with OpenAI's own Python client, by both of its doors?"""

import json
import typing

import openai
import pydantic
import pytest

QUESTION = "What is the weather in Paris?"
ASKED = {"model": "deep", "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 100, "temperature": 0}
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = {"name": "get_weather", "description": "Tells the weather in a city now.", "parameters": PARAMETERS}
TOOLS = [{"type": "function", "function": WEATHER | {"strict": True}}]
RESULT = '{"celsius": 31}'


class Berth(pydantic.BaseModel):
    """A place for a boat. Its fields are not in the order of the alphabet."""

    number: int = pydantic.Field(ge=1, le=99)
    day: typing.Literal["Monday", "Friday"]


class GetWeather(pydantic.BaseModel):
    """Tells the weather in a city now."""

    city: str


@pytest.fixture
def client(doors):
    with openai.OpenAI(base_url=f"{doors.http}/v1", api_key="none is needed here", max_retries=0, timeout=60) as client:
        yield client


def test_a_call_comes_whole_and_its_result_is_answered(client):
    choice = client.chat.completions.create(**ASKED, tools=TOOLS).choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content is None
    (call,) = choice.message.tool_calls
    assert call.function.name == "get_weather" and json.loads(call.function.arguments) == {"city": "Paris"}
    result = {"role": "tool", "tool_call_id": call.id, "content": RESULT}
    again = ASKED | {"messages": [*ASKED["messages"], choice.message, result]}
    answer = client.chat.completions.create(**again, tools=TOOLS, tool_choice="none").choices[0]
    assert answer.finish_reason == "stop" and "31" in answer.message.content and not answer.message.tool_calls


def test_a_call_comes_in_pieces(client):
    *chunks, last = client.chat.completions.create(**ASKED, tools=TOOLS, stream=True)
    assert last.choices[0].finish_reason == "tool_calls"
    pieces = [piece for chunk in chunks for piece in chunk.choices[0].delta.tool_calls or []]
    assert pieces[0].id and pieces[0].type == "function" and pieces[0].function.name == "get_weather"
    assert {piece.index for piece in pieces} == {0} and not any(piece.id for piece in pieces[1:])
    arguments = "".join(piece.function.arguments or "" for piece in pieces)
    assert json.loads(arguments) == {"city": "Paris"}


def test_the_clients_own_helper_gathers_a_call(client):
    with client.chat.completions.stream(**ASKED, tools=TOOLS) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        assert [event.name for event in done] == ["get_weather"]
        (call,) = stream.get_final_completion().choices[0].message.tool_calls
    assert call.function.parsed_arguments == {"city": "Paris"}


@pytest.mark.parametrize("model", ["fast", "deep", "brain"])
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_model_that_must_call_does(client, model, choice):
    asked = ASKED | {"model": model, "tool_choice": choice, "parallel_tool_calls": False}
    (call,) = client.chat.completions.create(**asked, tools=TOOLS).choices[0].message.tool_calls
    assert json.loads(call.function.arguments).keys() == {"city"}


def test_an_answer_is_parsed_into_a_class(client):
    asked = ASKED | {"messages": [{"role": "user", "content": "Tell me about the sea."}], "temperature": 1.5, "seed": 7}
    answer = client.chat.completions.parse(**asked | {"model": "fast"}, response_format=Berth).choices[0].message
    assert isinstance(answer.parsed, Berth) and list(json.loads(answer.content)) == ["number", "day"]
    with client.chat.completions.stream(**asked, response_format=Berth) as stream:
        for _ in stream:
            pass
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Berth)
    response = client.responses.parse(model="fast", input="Tell me about the sea.", max_output_tokens=100, text_format=Berth)
    assert isinstance(response.output_parsed, Berth)
    loose = client.chat.completions.create(**asked, response_format={"type": "json_object"})
    if loose.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(loose.choices[0].message.content), dict)


def test_arguments_are_parsed_into_a_class(client):
    tool = openai.pydantic_function_tool(GetWeather, name="get_weather")
    choice = client.chat.completions.parse(**ASKED, tools=[tool], tool_choice="required", parallel_tool_calls=False).choices[0]
    assert isinstance(choice.message.tool_calls[0].function.parsed_arguments, GetWeather)


def test_a_response_calls_and_its_items_are_its_input_again(client):
    tools = [{"type": "function", "strict": True, **WEATHER}]
    asked = {"model": "deep", "tools": tools, "max_output_tokens": 100, "temperature": 0}
    talk = [{"role": "user", "content": QUESTION}]
    whole = client.responses.create(**asked, input=talk)
    (call,) = whole.output
    assert (whole.status, call.type, call.name) == ("completed", "function_call", "get_weather")
    assert json.loads(call.arguments) == {"city": "Paris"}
    talk += whole.output
    talk.append({"type": "function_call_output", "call_id": call.call_id, "output": RESULT})
    assert "31" in client.responses.create(**asked, input=talk, tool_choice="none").output_text


def test_a_responses_call_is_streamed(client):
    tools = [{"type": "function", "strict": True, **WEATHER}]
    asked = {"model": "deep", "input": QUESTION, "tools": tools, "max_output_tokens": 100, "temperature": 0}
    with client.responses.stream(**asked) as stream:
        events = list(stream)
        (call,) = stream.get_final_response().output
    assert call.parsed_arguments == {"city": "Paris"}
    kinds = [event.type for event in events]
    assert "response.function_call_arguments.delta" in kinds and kinds[-1] == "response.completed"
    done = next(event for event in events if event.type == "response.function_call_arguments.done")
    assert json.loads(done.arguments) == {"city": "Paris"}
    named = {"type": "function", "name": "get_weather"}
    must = client.responses.create(
        **asked | {"input": "Tell me a joke."}, tool_choice=named, parallel_tool_calls=False
    )
    assert [item.type for item in must.output] == ["function_call"]


def test_what_does_not_go_together_is_refused(client):
    for told, more in [
        ("response_format", {"tools": TOOLS, "response_format": {"type": "json_object"}}),
        ("tool_choice", {"tool_choice": "required"}),
        ("functions", {"functions": [WEATHER]}),
    ]:
        with pytest.raises(openai.BadRequestError, match=told):
            client.chat.completions.create(**ASKED | more)
    with pytest.raises(openai.BadRequestError, match="web_search"):
        client.responses.create(model="deep", input=QUESTION, tools=[{"type": "web_search"}])
