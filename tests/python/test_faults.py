"""Does a plain client learn what went wrong, once, in its own codec, and soon?"""

import asyncio
import os
import signal
import time
import uuid
from collections import Counter

import pytest
from contract import JSON, MSGPACK, fault_of
from inbox import Inbox, request

HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
STORY = "Write a very long story about the sea."

both_codecs = pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=lambda codec: codec.name)


async def refused(client, subject: str, body: bytes, codec, headers: dict | None = None) -> dict:
    return fault_of(await client.request(subject, body, timeout=10, headers=headers), codec)


# What is wrong with a request.


@both_codecs
@pytest.mark.parametrize(
    "subject, body, kind, part",
    [
        ("mb.v1.chat.nobody", HELLO, "not_found", "nobody"),
        ("mb.v1.chat", {**HELLO, "model": "nobody"}, "not_found", "nobody"),
        ("mb.v1.ask", {"text": "?", "models": ["nobody"]}, "not_found", "nobody"),
        ("mb.v1.echo.fast", {"text": "?"}, "not_found", "does not serve echo"),
        ("mb.v1.chat.echo", HELLO, "not_found", "does not serve chat"),
        ("mb.v1.juggle", {"text": "?"}, "not_found", "juggle"),
        ("mb.v1.chat.fast", {**HELLO, "max_tokens": "many"}, "invalid_request", "`max_tokens`"),
        ("mb.v1.chat", {**HELLO, "temperature": []}, "invalid_request", "`temperature`"),
        ("mb.v1.chat.fast", {"messages": [{"role": "user", "content": 5}]}, "invalid_request", "`messages[0].content`"),
        ("mb.v1.chat.fast", {"max_tokens": 5}, "invalid_request", "`messages`"),
        ("mb.v1.ask", {"text": 5}, "invalid_request", "`text`"),
        ("mb.v1.ask", {"text": "?", "attachments": [{"mime": 1}]}, "invalid_request", "`attachments[0].mime`"),
        ("mb.v1.ask", {"text": "?", "deadline_ms": "soon"}, "invalid_request", "`deadline_ms`"),
        ("mb.v1.transcribe.whisper", {"audio": {"mime": "audio/wav", "data": b""}}, "invalid_request", "empty"),
        ("mb.v1.transcribe.whisper", {"audio": {"mime": "audio/wav", "data": b"noise"}}, "invalid_request", ""),
        ("mb.v1.ask", {"attachments": [{"mime": "model/obj", "data": b"v"}]}, "invalid_request", "model/obj"),
    ],
)
async def test_what_is_wrong_is_named(client, codec, subject, body, kind, part):
    error = await refused(client, subject, codec.pack(body), codec)
    assert (error["kind"], error["retryable"]) == (kind, False), error
    assert part in error["message"]


@pytest.mark.parametrize("subject", ["mb.v1.chat.fast", "mb.v1.chat", "mb.v1.ask"])
@pytest.mark.parametrize(
    "body, codec, part",
    [
        (b"", JSON, "empty"),
        (JSON.pack(HELLO)[:-2], JSON, ""),
        (MSGPACK.pack(HELLO)[:-2], MSGPACK, ""),
        (MSGPACK.pack(HELLO) + b"\x01", MSGPACK, "trailing"),
        (JSON.pack(HELLO) + b"}", JSON, "trailing"),
        (b"hello", JSON, "0x68"),
        (b"\xc0", JSON, "0xc0"),
        (b'{"text":"\xff"}', JSON, ""),
        (b'{"work":"two words","text":"?"}', JSON, "`work`"),
    ],
)
async def test_what_cannot_be_read_is_an_invalid_request(client, subject, body, codec, part):
    error = await refused(client, subject, body, codec)
    assert error["kind"] == "invalid_request" and part in error["message"]


@pytest.mark.parametrize("subject", ["mb.v1.chat.fast", "mb.v1.chat", "mb.v1.ask"])
@pytest.mark.parametrize(
    "content_type, body, codec, part",
    [
        # Nobody knows how such a caller reads: JSON is for people.
        ("text/plain", JSON.pack(HELLO), JSON, "text/plain"),
        ("application/cbor", MSGPACK.pack(HELLO), JSON, "application/cbor"),
        # The header wins over the first byte.
        (JSON.content_type, MSGPACK.pack(HELLO), JSON, ""),
        (MSGPACK.content_type, JSON.pack(HELLO), MSGPACK, ""),
    ],
)
async def test_a_wrong_content_type_is_refused(client, subject, content_type, body, codec, part):
    error = await refused(client, subject, body, codec, headers={"Content-Type": content_type})
    assert error["kind"] == "invalid_request" and part in error["message"]


@both_codecs
async def test_a_right_content_type_with_parameters_is_taken(client, codec):
    named = {"Content-Type": f"{codec.content_type}; charset=utf-8"}
    assert (await request(client, "mb.v1.echo", {"text": "hello"}, codec, headers=named))["text"] == "hello"


# Time and room.


@both_codecs
@pytest.mark.parametrize(
    "subject, body",
    [
        ("mb.v1.echo.echo", {"delay_ms": 20_000}),
        ("mb.v1.echo", {"delay_ms": 20_000}),
        ("mb.v1.chat.fast", {"messages": [{"role": "user", "content": STORY}], "max_tokens": 3000}),
        ("mb.v1.ask", {"text": STORY, "max_tokens": 3000}),
    ],
)
async def test_a_deadline_in_a_header_wins_and_holds(client, codec, subject, body):
    body = codec.pack({**body, "deadline_ms": 60_000})
    began = time.monotonic()
    error = await refused(client, subject, body, codec, headers={"Megabrain-Deadline-Ms": "250"})
    assert error["kind"] == "deadline_exceeded"
    assert 0.24 < time.monotonic() - began < 1.5


@both_codecs
async def test_a_deadline_that_is_no_number_is_named(client, codec):
    headers = {"Megabrain-Deadline-Ms": "soon"}
    error = await refused(client, "mb.v1.echo.echo", codec.pack({"text": "?"}), codec, headers=headers)
    assert error["kind"] == "invalid_request" and "Megabrain-Deadline-Ms" in error["message"]


@both_codecs
async def test_a_full_queue_tells_when_to_come_again(client, codec):
    inbox = await Inbox.open(client)
    for _ in range(3):
        await client.publish("mb.v1.echo.narrow", codec.pack({"text": "x", "delay_ms": 300}), reply=inbox.subject)
    await inbox.count(3, within=10)
    error = fault_of(inbox.messages[0], codec)
    assert error["kind"] == "overloaded" and error["retryable"] and error["retry_after_ms"] > 0
    assert [codec.unpack(message.data)["text"] for message in inbox.messages[1:]] == ["x", "x"]


async def test_what_is_refused_is_refused_once(client):
    """The node, which sees every request, must not take what was never taken in for lost."""
    await served_again(client)
    inbox, work = await Inbox.open(client), {"Megabrain-Work": uuid.uuid4().hex}
    await client.publish("mb.v1.echo.echo", b'{"text":"x","delay_ms":500}', reply=inbox.subject, headers=work)
    await client.publish("mb.v1.echo.echo", b'{"text":"again"}', reply=inbox.subject, headers=work)
    await client.publish("mb.v1.echo.echo", b'{"text":', reply=inbox.subject)
    await client.publish("mb.v1.echo.echo", b"{}", reply=inbox.subject, headers={"Megabrain-Deadline-Ms": "soon"})
    await client.publish("mb.v1.echo.echo", b"{}", reply=inbox.subject, headers={"Content-Type": "text/plain"})
    await client.publish("mb.v1.echo.echo", b"", reply=inbox.subject)
    for _ in range(4):
        await client.publish("mb.v1.echo.narrow", b'{"text":"x","delay_ms":300}', reply=inbox.subject)
    await inbox.count(10, within=10)
    assert Counter(kind_of(message) for message in inbox.messages) == {"ok": 3, "invalid_request": 5, "overloaded": 2}
    # Longer than a request may be on its way.
    await asyncio.sleep(6)
    await inbox.count(10)


# A process that dies.


class Presence:
    """What the model `echo` last told about itself, as every client may read it."""

    @classmethod
    async def open(cls, client):
        presence = cls()
        presence.inbox = await Inbox.open(client, "mb.v1.event.presence.*")
        return presence

    async def until(self, is_so) -> dict:
        def told():
            said = (MSGPACK.unpack(message.data) for message in reversed(self.inbox.messages))
            return next((one for one in said if one["model"] == "echo"), None)

        await self.inbox.until(lambda _: (now := told()) and is_so(now), within=30)
        return told()

    async def kill(self, is_so) -> float:
        """Kills the process, once it tells what is to be so; gives the time."""
        presence = await self.until(lambda now: now["state"] == "ready" and is_so(now))
        os.kill(presence["pid"], signal.SIGKILL)
        return time.monotonic()


@both_codecs
@pytest.mark.parametrize("way", ["an inbox each", "one subject for all"])
async def test_what_was_open_when_its_process_died_is_lost_exactly_once_and_soon(client, codec, way):
    await served_again(client)
    presence, prefix = await Presence.open(client), client.new_inbox()
    inbox = await Inbox.open(client, f"{prefix}.>")
    works = [uuid.uuid4().hex for _ in range(200)]
    for work in works:
        reply = f"{prefix}.all" if way == "one subject for all" else f"{prefix}.{work}"
        body = codec.pack({"text": "x", "delay_ms": 60_000})
        await client.publish("mb.v1.echo.echo", body, reply=reply, headers={"Megabrain-Work": work})
    killed = await presence.kill(lambda now: now["in_flight"] == len(works))
    await inbox.until(lambda messages: len(messages) >= len(works), within=10)
    assert max(inbox.times) - killed < 0.5
    faults = [fault_of(message, codec) for message in inbox.messages]
    assert {(fault["kind"], fault["retryable"]) for fault in faults} == {("worker_lost", True)}
    assert sorted(codec.unpack(message.data)["work"] for message in inbox.messages) == sorted(works)
    # It comes back, and nothing more is said of what is lost.
    assert (await served_again(client))["text"] == "back"
    await inbox.count(len(works))


async def test_while_a_model_is_down_requests_are_told_when_to_come_again(client):
    await served_again(client)
    presence, prefix = await Presence.open(client), client.new_inbox()
    inbox = await Inbox.open(client, f"{prefix}.*")
    await presence.kill(lambda now: now["in_flight"] == 0)
    number, deadline = 0, time.monotonic() + 30
    while not any(kind_of(message) == "ok" for message in inbox.messages):
        assert time.monotonic() < deadline, "it did not come back"
        await client.publish("mb.v1.echo.echo", b'{"text":"x"}', reply=f"{prefix}.{number}")
        number += 1
        await asyncio.sleep(0.01)
    await inbox.count(number, within=10)
    kinds = [kind_of(message) for message in inbox.messages]
    assert set(kinds) <= {"worker_lost", "unavailable", "ok"} and "unavailable" in kinds
    for message in inbox.messages:
        if kind_of(message) == "unavailable":
            error = fault_of(message, JSON)
            assert error["retryable"] and error["retry_after_ms"] > 0
    assert len({message.subject for message in inbox.messages}) == number


def kind_of(message) -> str:
    return (message.headers or {}).get("Nats-Service-Error", "ok")


async def served_again(client) -> dict:
    """Asks until a live process answers."""
    deadline = time.monotonic() + 30
    while True:
        reply = await request(client, "mb.v1.echo.echo", {"text": "back"}, JSON)
        if "error" not in reply:
            return reply
        assert time.monotonic() < deadline, reply
        await asyncio.sleep(reply["error"].get("retry_after_ms", 100) / 1000)
