"""Does a brain answer OpenAI's own Python client as it expects? Each thing that the client can ask for, with real models."""

import base64
import io
import wave

import openai
import pytest
import requests
from brain import ROOT

MEDIA = ROOT / "tests" / "media"
QUESTION = MEDIA / "question.wav"
CHAT = {"model": "fast", "messages": [{"role": "user", "content": "Name a colour."}], "max_tokens": 8, "temperature": 0}


@pytest.fixture
def client(doors):
    with openai.OpenAI(base_url=f"{doors.http}/v1", api_key="none is needed here", max_retries=0, timeout=60) as client:
        yield client


def test_the_models_are_listed(client):
    ids = [model.id for model in client.models.list()]
    assert {"brain", "fast", "whisper", "voice", "embed", "echo"} <= set(ids)
    assert client.models.retrieve("fast").id == "fast"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4o")


def test_a_chat_is_answered_whole_and_in_chunks(client):
    whole = client.chat.completions.create(**CHAT)
    text = whole.choices[0].message.content
    assert text and whole.choices[0].finish_reason in ("stop", "length")
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    assert whole._request_id and whole.id.endswith(whole._request_id)

    *chunks, last = client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == text
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert last.choices == [] and last.usage == whole.usage


def test_the_clients_own_helper_reads_a_stream(client):
    # An answer that is cut off is an error to this helper: it ends with its first sentence.
    with client.chat.completions.stream(**CHAT | {"max_tokens": 64, "stop": ["."]}) as stream:
        text = "".join(event.delta for event in stream if event.type == "content.delta")
        assert stream.get_final_completion().choices[0].message.content == text != ""


async def test_the_asynchronous_client_does_the_same(doors):
    async with openai.AsyncOpenAI(base_url=f"{doors.http}/v1", api_key="x", max_retries=0) as client:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        assert text == (await client.chat.completions.create(**CHAT)).choices[0].message.content


def test_a_completion_goes_on_from_a_prompt(client):
    prompt = {"model": "fast", "prompt": "Name a colour.", "max_tokens": 8, "temperature": 0}
    text = client.completions.create(**prompt).choices[0].text
    assert text == "".join(chunk.choices[0].text for chunk in client.completions.create(**prompt, stream=True))


def test_a_response_is_made_whole_and_in_events(client):
    asked = {"model": "fast", "input": "Name a colour.", "instructions": "Be short.", "max_output_tokens": 8, "temperature": 0}
    whole = client.responses.create(**asked)
    assert whole.output_text and whole.usage.output_tokens <= 8
    assert whole.status == "completed" or whole.incomplete_details.reason == "max_output_tokens"
    events = list(client.responses.create(**asked, stream=True))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    assert events[-1].response.output_text == whole.output_text
    with client.responses.stream(**asked) as stream:
        assert "".join(event.delta for event in stream if event.type == "response.output_text.delta") == whole.output_text


def test_the_brain_hears_what_is_attached(client):
    sound = {"data": base64.b64encode(QUESTION.read_bytes()).decode(), "format": "wav"}
    parts = [{"type": "text", "text": "What does she ask for?"}, {"type": "input_audio", "input_audio": sound}]
    asked = {"model": "brain", "messages": [{"role": "user", "content": parts}], "max_tokens": 8, "temperature": 0}
    whole = client.chat.completions.create(**asked)
    heard = " ".join(found["text"] for found in whole.megabrain["evidence"])
    assert "capital of France" in heard
    text = "".join(
        chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**asked, stream=True)
    )
    assert text == whole.choices[0].message.content != ""


@pytest.mark.parametrize("file", ["question.wav", "question.mp3", "question.m4a", "question-opus.webm", "question.flac"])
def test_a_sound_is_written_down_whatever_it_is_called(client, file):
    sound = ("blob", (MEDIA / file).read_bytes(), "application/octet-stream")
    heard = client.audio.transcriptions.create(model="whisper-1", file=sound)
    assert "capital of France" in heard.text


def test_a_transcript_has_times_and_words_and_is_subtitles(client):
    def hear(**more):
        return client.audio.transcriptions.create(model="whisper", file=QUESTION, **more)

    plain = hear(response_format="text")
    assert "capital of France" in plain
    told = hear(response_format="verbose_json", timestamp_granularities=["word", "segment"], language="en")
    assert told.text.strip() == plain.strip() and told.language == "en" and 5 < told.duration < 7
    starts = [segment.start for segment in told.segments]
    assert starts == sorted(starts) and told.segments[-1].end <= told.duration + 0.1
    assert "France" in [word.word.strip(" .,?") for word in told.words]
    assert "-->" in hear(response_format="srt") and hear(response_format="vtt").startswith("WEBVTT")
    events = list(hear(stream=True))
    assert events[-1].type == "transcript.text.done" and events[-1].text.strip() == plain.strip()
    said = "".join(event.delta for event in events if event.type == "transcript.text.delta")
    assert said.split() == plain.split()


def test_a_model_of_one_language_says_so_when_it_is_to_translate(client):
    with pytest.raises(openai.BadRequestError, match="translate"):
        client.audio.translations.create(model="whisper-1", file=QUESTION)


def test_what_is_spoken_is_heard_again(client):
    spoken = client.audio.speech.create(model="tts-1", voice="alloy", input="What is the capital of France?").content
    with wave.open(io.BytesIO(spoken)) as sound:
        assert 1 < sound.getnframes() / sound.getframerate() < 5
    heard = client.audio.transcriptions.create(model="whisper-1", file=("spoken.wav", spoken))
    assert "capital of France" in heard.text
    opus = client.audio.speech.create(model="voice", voice="joe", input="Yes.", response_format="opus")
    assert opus.content.startswith(b"OggS") and opus.response.headers["content-type"] == "audio/ogg"


def test_texts_become_vectors_in_either_encoding(client):
    texts = ["a berth for Friday", "a place for my boat", "the cat sleeps"]
    # Where nothing is said, the client asks for base64.
    compact = client.embeddings.create(model="text-embedding-3-small", input=texts)
    plain = client.embeddings.create(model="embed", input=texts, encoding_format="float")
    assert [one.index for one in compact.data] == [0, 1, 2] and len(compact.data[0].embedding) == 384
    for one, other in zip(compact.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-5)
    boat, place, cat = (one.embedding for one in plain.data)
    assert alike(boat, place) > alike(boat, cat)
    assert compact.usage == plain.usage and plain.usage.total_tokens > 9
    assert client.embeddings.create(model="embed", input="one text").data[0].embedding
    with pytest.raises(openai.BadRequestError, match="empty"):
        client.embeddings.create(model="embed", input=["a", ""])
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        client.embeddings.create(model="embed", input="a", dimensions=64)


def test_documents_are_ranked_as_other_servers_rank_them(client):
    def rank(status=200, **parameters):
        asked = {"model": "rerank", "query": "Which berth is free?"} | parameters
        answer = requests.post(f"{client.base_url}rerank", json=asked, timeout=60)
        assert answer.status_code == status, answer.text
        return answer.json()

    documents = ["Two eggs and sugar.", {"text": "Berth 42 is free on Friday."}, "Berth 41 is taken."]
    ranked = rank(documents=documents)
    assert [one["index"] for one in ranked["results"]] == [1, 2, 0] and ranked["usage"]["total_tokens"] > 30
    best = ranked["results"][0]
    assert best["document"] == {"text": "Berth 42 is free on Friday."} and 0.5 < best["relevance_score"] <= 1
    # Ids of other houses mean whoever ranks here.
    (only,) = rank(model="rerank-v3.5", documents=documents, top_n=1, return_documents=False)["results"]
    assert only == {"index": 1, "relevance_score": pytest.approx(best["relevance_score"], abs=1e-4)}
    assert "documents[1]" in rank(400, documents=["a", ""])["error"]["message"]
    assert "top_n" in rank(400, documents=["a"], top_n=0)["error"]["message"]
    assert "rank_fields" in rank(400, documents=["a"], rank_fields=["text"])["error"]["message"]
    assert "600 tokens" in rank(400, documents=["word " * 600], truncate=False)["error"]["message"]
    assert rank(404, model="embed", documents=["a"])["error"]["code"]


def alike(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_what_a_brain_cannot_do_is_an_error_of_the_right_class(client):
    for error, told, more in [
        (openai.NotFoundError, "gpt-4o", {"model": "gpt-4o"}),
        (openai.BadRequestError, "logprobs", {"logprobs": True}),
        (openai.BadRequestError, "tools", {"tools": [{"type": "custom", "custom": {"name": "f"}}]}),
        (openai.BadRequestError, "max_tokens", {"max_tokens": 0}),
    ]:
        with pytest.raises(error, match=told):
            client.chat.completions.create(**CHAT | more)
        with pytest.raises(error, match=told):
            client.chat.completions.create(**CHAT | more, stream=True)
    with pytest.raises(openai.BadRequestError, match="mp3"):
        client.audio.speech.create(model="voice", voice="alloy", input="Hi", response_format="mp3")
    with pytest.raises(openai.BadRequestError, match="expected sound"):
        client.audio.transcriptions.create(model="whisper-1", file=MEDIA / "cat.jpg")
    with pytest.raises(openai.APIStatusError) as late:
        client.chat.completions.create(**CHAT | {"max_tokens": 500}, extra_headers={"Megabrain-Deadline-Ms": "1"})
    assert late.value.status_code == 504
