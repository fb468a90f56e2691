"""Can any NATS client speak with a brain? nats-py and msgpack, a client's rights, and none of our code."""

import asyncio
import hashlib
import json
import random
import time
import uuid

import pytest
from brain import ROOT
from contract import JSON, MSGPACK, check, fault_of
from inbox import Inbox, request, stream

QUESTION = (ROOT / "tests" / "media" / "question.wav").read_bytes()
LONG = {"max_tokens": 3000, "temperature": 1, "seed": 7}
STORY = "Write a very long story about the sea."
CHAT = {"messages": [{"role": "user", "content": STORY}], **LONG}
ECHO_MIME = "application/x-megabrain-echo"
# A cancel ends running work in 100 ms or one step; the rest is for a machine that has other things to do.
PROMPT = 1.0

both_codecs = pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=lambda codec: codec.name)


def new_work() -> str:
    return uuid.uuid4().hex


def test_a_shell_gets_a_clients_rights_and_nobody_elses(brain):
    assert set(brain.bus) == {"NATS_URL", "NATS_USER", "NATS_PASSWORD"}
    assert brain.bus["NATS_USER"] == "client"


async def test_discovery_is_nats_own(client):
    inbox = await Inbox.open(client)
    await client.publish("$SRV.INFO", reply=inbox.subject)
    await inbox.until(lambda messages: len(messages) >= 4, within=10)
    served = {info["name"]: info["metadata"]["capabilities"] for info in (json.loads(m.data) for m in inbox.messages)}
    assert served == {"fast": "chat", "whisper": "transcribe", "echo": "echo", "narrow": "echo"}


# Asking.


async def inline(_client) -> dict:
    return {"mime": "audio/wav", "data": QUESTION}


async def by_reference(client) -> dict:
    """Puts the sound into the bucket and gets it back, both with nats-py's own object store."""
    bucket = await client.jetstream().object_store("mb_blobs")
    name = hashlib.sha256(QUESTION).hexdigest()
    await bucket.put(name, QUESTION)
    assert (await bucket.get(name)).data == QUESTION
    return {"mime": "audio/wav", "blob": f"blob:sha256:{name}"}


@both_codecs
@pytest.mark.parametrize("attach", [inline, by_reference])
async def test_a_spoken_question_is_heard_and_answered(client, codec, attach):
    ask = {"attachments": [await attach(client)], "max_tokens": 16, "temperature": 0}
    reply = check("ask_reply", await request(client, "mb.v1.ask", ask, codec))
    assert "capital of france" in " ".join(found["text"] for found in reply["evidence"]).lower()
    assert all(found["modality"] == "audio" and found["t0_ms"] < found["t1_ms"] for found in reply["evidence"])
    [answer] = reply["answers"]
    assert reply["model"] == answer["model"] == "fast"
    assert reply["text"] == answer["text"] != ""
    assert 0 < answer["usage"]["completion_tokens"] <= 16
    assert [(leg["subject"], leg["status"]) for leg in reply["legs"]] == [
        ("mb.v1.transcribe.whisper", "ok"),
        ("mb.v1.chat.fast", "ok"),
    ]


async def test_media_that_is_not_there_is_told_by_its_name(client):
    blob = f"blob:sha256:{hashlib.sha256(b'never stored').hexdigest()}"
    body = {"text": "?", "attachments": [{"mime": "audio/wav", "blob": blob}]}
    error = fault_of(await client.request("mb.v1.ask", JSON.pack(body), timeout=10), JSON)
    assert error["kind"] == "not_found" and blob in error["message"]


async def test_bytes_that_are_not_what_their_name_says_are_never_used(client):
    """Any client may put an object under any name: whoever reads it checks."""
    name = hashlib.sha256(b"what the name says").hexdigest()
    bucket = await client.jetstream().object_store("mb_blobs")
    await bucket.put(name, b'{"text":"something else"}')
    ask = {"attachments": [{"mime": ECHO_MIME, "blob": f"blob:sha256:{name}"}], "models": []}
    error = fault_of(await client.request("mb.v1.ask", JSON.pack(ask), timeout=10), JSON)
    assert error["kind"] == "engine" and name in error["message"]


# Streams.


@both_codecs
@pytest.mark.parametrize("subject", ["mb.v1.chat.fast", "mb.v1.chat"])
async def test_a_streamed_chat_is_numbered_frames_and_one_end(client, codec, subject):
    chat = {"messages": [{"role": "user", "content": "Count from one to ten."}], "max_tokens": 24, "temperature": 0, "stream": True}
    work = new_work()
    frames, end = await stream(client, subject, chat, codec, headers={"Megabrain-Work": work})
    assert len(frames) >= 2 and "".join(check("chat_frame", frame)["delta"] for frame in frames).strip()
    assert [message["seq"] for message in (*frames, end)] == list(range(len(frames) + 1))
    assert {(message["work"], message["model"]) for message in (*frames, end)} == {(work, "fast")}
    check("chat_reply", end)
    assert end["finish_reason"] in ("stop", "length") and end["usage"]["completion_tokens"] >= len(frames)


@both_codecs
async def test_a_streamed_ask_tells_its_legs_then_what_was_heard_then_the_answer(client, codec):
    ask = {"attachments": [await inline(client)], "max_tokens": 16, "temperature": 0, "stream": True}
    frames, end = await stream(client, "mb.v1.ask", ask, codec)
    assert [message["seq"] for message in (*frames, end)] == list(range(len(frames) + 1))
    kinds = [kind for frame in frames for kind in ("leg", "evidence", "delta") if check("ask_frame", frame).get(kind) is not None]
    assert len(kinds) == len(frames)
    assert kinds[0] == "leg" and kinds.index("evidence") < kinds.index("delta")
    told = [(frame["leg"]["leg"], frame["leg"].get("status")) for frame in frames if "leg" in frame]
    assert told == [("0", None), ("0", "ok"), ("1", None), ("1", "ok")]
    assert [frame["evidence"] for frame in frames if "evidence" in frame] == check("ask_reply", end)["evidence"]
    assert "".join(frame["delta"] for frame in frames if "delta" in frame) == end["text"] != ""


# Cancelling.


@both_codecs
@pytest.mark.parametrize("named_in", ["header", "body"])
@pytest.mark.parametrize(
    "subject, body", [("mb.v1.chat.fast", CHAT), ("mb.v1.chat", CHAT), ("mb.v1.ask", {"text": STORY, **LONG})]
)
async def test_whoever_chose_the_work_id_may_cancel(client, codec, subject, body, named_in):
    work, inbox = new_work(), await Inbox.open(client)
    headers = {"Megabrain-Work": work} if named_in == "header" else None
    body = {**body, "stream": True, **({} if headers else {"work": work})}
    await client.publish(subject, codec.pack(body), reply=inbox.subject, headers=headers)
    await inbox.until(lambda messages: any("delta" in codec.unpack(message.data) for message in messages))
    cancelled = time.monotonic()
    await client.publish(f"mb.v1.cancel.{work}", b"{}")
    await inbox.until(lambda messages: codec.unpack(messages[-1].data).get("done"), within=10)
    took = inbox.times[-1] - cancelled
    await inbox.count(len(inbox.messages))
    error = fault_of(inbox.messages[-1], codec)
    assert error["kind"] == "cancelled" and not error["retryable"]
    assert codec.unpack(inbox.messages[-1].data)["work"] == work
    assert took < PROMPT


async def test_a_cancelled_chat_leaves_its_slot(client):
    work, inbox = new_work(), await Inbox.open(client)
    presence = await Inbox.open(client, "mb.v1.event.presence.*")

    def in_flight():
        return [told["in_flight"] for told in (MSGPACK.unpack(m.data) for m in presence.messages) if told["model"] == "fast"]

    await client.publish("mb.v1.chat.fast", JSON.pack({**CHAT, "work": work}), reply=inbox.subject)
    await presence.until(lambda _: 1 in in_flight()[-1:])
    await client.publish(f"mb.v1.cancel.{work}", b"{}")
    await presence.until(lambda _: 0 in in_flight()[-1:], within=5)
    assert fault_of(inbox.messages[0], JSON)["kind"] == "cancelled"


async def test_a_work_id_that_is_open_is_not_taken_again(client):
    first, named = await Inbox.open(client), {"headers": {"Megabrain-Work": new_work()}}
    await client.publish("mb.v1.echo.echo", b'{"text":"first","delay_ms":300}', reply=first.subject, **named)
    again = await client.request("mb.v1.echo.echo", b'{"text":"again"}', timeout=10, **named)
    error = fault_of(again, JSON)
    assert error["kind"] == "invalid_request" and "open already" in error["message"]
    await first.count(1)
    assert json.loads(first.messages[0].data)["text"] == "first"


# Inboxes.


@both_codecs
async def test_many_at_once_each_get_their_own_answer(client, codec):
    """Straight to the model and through the router, on the one inbox that nats-py has for all its requests."""

    async def ask(number: int):
        body = {"text": f"number {number}", "data": bytes([number % 256]), "delay_ms": random.randrange(200)}
        subject = "mb.v1.echo.echo" if number % 2 else "mb.v1.echo"
        reply = check("echo_reply", await request(client, subject, {**body, "model": "echo"}, codec))
        assert reply["text"] == body["text"]
        assert codec.pack({"data": reply["data"]}) == codec.pack({"data": body["data"]})

    await asyncio.gather(*(ask(number) for number in range(400)))


@pytest.mark.parametrize("way", ["an inbox each", "one wildcard", "one subject for all"])
async def test_streams_side_by_side_do_not_mix(client, way):
    works = {new_work(): f"these are the words of number {number}" for number in range(40)}
    prefix = client.new_inbox()
    reply_to = {work: f"{prefix}.all" if way == "one subject for all" else f"{prefix}.{work}" for work in works}
    subjects = {"an inbox each": reply_to.values(), "one wildcard": [f"{prefix}.*"], "one subject for all": [f"{prefix}.all"]}
    inboxes = [await Inbox.open(client, subject) for subject in subjects[way]]
    for work, text in works.items():
        body = {"text": text, "stream": True, "delay_ms": random.randrange(50)}
        await client.publish("mb.v1.echo.echo", MSGPACK.pack(body), reply=reply_to[work], headers={"Megabrain-Work": work})
    frames = len("these are the words of number n".split()) + 1
    await asyncio.gather(*(inbox.count(frames * len(works) // len(inboxes)) for inbox in inboxes))
    came = [(message.subject, MSGPACK.unpack(message.data)) for inbox in inboxes for message in inbox.messages]
    for work, text in works.items():
        *parts, end = [message for subject, message in came if message["work"] == work and subject == reply_to[work]]
        assert [message["seq"] for message in (*parts, end)] == list(range(frames))
        assert "".join(part["text"] for part in parts) == end["text"] == text
        assert end["done"] and not any(part.get("done") for part in parts)


async def test_whoever_uses_one_inbox_for_all_gets_one_answer_for_each(client):
    """Long ones among short ones, of several models, without work ids: the node, too, sees one reply subject only."""
    inbox = await Inbox.open(client)
    # Longer than a request may be on its way.
    for _ in range(3):
        await client.publish("mb.v1.echo.echo", b'{"text":"long","delay_ms":6000}', reply=inbox.subject)
    await asyncio.sleep(0.05)
    for _ in range(300):
        await client.publish("mb.v1.echo.echo", b'{"text":"short"}', reply=inbox.subject)
    await client.publish("mb.v1.echo.narrow", b'{"text":"short"}', reply=inbox.subject)
    await inbox.count(304)
    texts = [json.loads(message.data).get("text") for message in inbox.messages]
    assert (texts.count("short"), texts.count("long")) == (301, 3)
