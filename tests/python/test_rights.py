"""Who may say what to whom: every permission of nats.conf, and every refusal, on a real server."""

import hashlib
import json
import os
import socket
import subprocess

import nats
import pytest
from conftest import PASSWORDS, ROOT, Server, nats_server_program
from nats.errors import TimeoutError as NoAnswer
from nats.js.api import DiscardPolicy, StreamConfig
from nats.js.errors import ObjectNotFoundError

BUCKET = "mb_blobs"
STREAM = f"OBJ_{BUCKET}"
OTHERS_TELL = ["presence", "ready", "down", "draining"]


async def arrives(speaker, subject, listener):
    """True if what `speaker` says reaches `listener`, who subscribes first. Nobody sleeps: settling orders both ends."""
    heard = await listener.hear(subject)
    await speaker.say(subject)
    await listener.settle()
    return heard.pending_msgs == 1


async def is_refused_to_publish(speaker, subject, witness):
    return not await arrives(speaker, subject, witness) and speaker.was_refused("publish", subject)


async def is_refused_to_subscribe(listener, subject, speaker, said_on):
    heard = await listener.hear(subject)
    await speaker.say(said_on)
    await listener.settle()
    return heard.pending_msgs == 0 and listener.was_refused("subscription", subject)


@pytest.fixture
async def bucket(enter):
    """The bucket as a node makes it: without direct gets."""
    node = await enter("node")
    stream = node.nats.jetstream()
    config = StreamConfig(
        name=STREAM,
        subjects=[f"$O.{BUCKET}.C.>", f"$O.{BUCKET}.M.>"],
        discard=DiscardPolicy.NEW,
        allow_rollup_hdrs=True,
        allow_direct=False,
        max_age=24 * 3600,
        max_bytes=1 << 30,
    )
    await stream.add_stream(config)
    yield await stream.object_store(BUCKET)
    admin = await enter("admin")
    await admin.nats.jetstream().delete_stream(STREAM)


# The door.


@pytest.mark.parametrize("role", PASSWORDS)
async def test_every_role_gets_in_with_its_password(enter, role):
    assert (await enter(role)).nats.is_connected


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"user": "client"},
        {"user": "client", "password": ""},
        {"user": "client", "password": "wrong"},
        {"user": "client", "password": PASSWORDS["admin"]},
        {"user": "nobody", "password": "wrong"},
        {"token": "clientSecret"},
    ],
    ids=str,
)
async def test_nobody_else_gets_in(server, credentials):
    async def ignore(_):
        pass

    with pytest.raises(nats.errors.Error, match="(?i)authorization violation"):
        await nats.connect(server.url, allow_reconnect=False, error_cb=ignore, **credentials)


def test_the_bus_is_on_the_loopback_address_alone(server):
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", server.port), timeout=5)


@pytest.mark.parametrize("role", PASSWORDS)
def test_without_its_passwords_the_bus_does_not_start(role):
    environment = {f"MEGABRAIN_{other.upper()}_PASSWORD": word for other, word in PASSWORDS.items() if other != role}
    check = subprocess.run([nats_server_program(), "-c", ROOT / "nats.conf", "-t"], env=environment, capture_output=True, text=True)
    assert check.returncode != 0
    assert f"MEGABRAIN_{role.upper()}_PASSWORD" in check.stderr


async def test_a_message_may_have_eight_megabytes(enter):
    assert (await enter("client")).nats.max_payload == 8 * 1024 * 1024


# Who asks.


@pytest.mark.parametrize(
    "subject",
    [
        "mb.v1.ask",
        "mb.v1.chat",
        "mb.v1.chat.fast",
        "mb.v1.chat.fast.fast-1",
        "mb.v1.a_capability_of_next_year.some_model",
        "mb.v1.cancel.01K0WORK",
        "$SRV.PING",
        "$SRV.INFO.fast.fast-1",
        "user.anything.at.all",
    ],
)
async def test_a_client_may_ask(enter, subject):
    assert await arrives(await enter("client"), subject, await enter("admin"))


@pytest.mark.parametrize("kind", OTHERS_TELL)
async def test_a_client_sees_who_is_there(enter, kind):
    assert await arrives(await enter("model"), f"mb.v1.event.{kind}.fast-1", await enter("client"))


async def test_a_client_sees_the_nodes(enter):
    assert await arrives(await enter("node"), "mb.v1.event.node.home", await enter("client"))


async def test_clients_share_the_subjects_of_the_user(enter):
    assert await arrives(await enter("client"), "user.n8n.trigger", await enter("client"))


@pytest.mark.parametrize("kind", [*OTHERS_TELL, "work", "cores", "node", "kind_of_next_year"])
async def test_a_client_may_not_tell_events(enter, kind):
    assert await is_refused_to_publish(await enter("client"), f"mb.v1.event.{kind}.fast-1", await enter("admin"))


@pytest.mark.parametrize(
    "subject",
    ["_INBOX.somebody.1", "_INBOX_MODEL.fast-1.1", "_INBOX_NODE.home.1", "mb.v1.job.j1.frames", "elsewhere"],
)
async def test_a_client_may_not_answer_for_others(enter, subject):
    assert await is_refused_to_publish(await enter("client"), subject, await enter("admin"))


@pytest.mark.parametrize(
    "subject, said_on",
    [
        ("mb.v1.event.work.*", "mb.v1.event.work.fast-1"),
        ("mb.v1.event.cores.*", "mb.v1.event.cores.home"),
        ("mb.v1.event.>", "mb.v1.event.work.fast-1"),
        ("mb.v1.ask", "mb.v1.ask"),
        ("mb.v1.chat.fast", "mb.v1.chat.fast"),
        ("mb.v1.>", "mb.v1.chat.fast"),
        ("_INBOX_MODEL.>", "_INBOX_MODEL.fast-1.1"),
        ("_INBOX_NODE.>", "_INBOX_NODE.home.1"),
        ("$O.>", "$O.mb_blobs.C.x"),
        ("$SRV.>", "$SRV.PING"),
        ("$SYS.>", "user.x"),
        (">", "mb.v1.ask"),
    ],
)
async def test_a_client_may_not_overhear(enter, subject, said_on):
    assert await is_refused_to_subscribe(await enter("client"), subject, await enter("admin"), said_on)


# Who answers.


async def test_a_model_answers_a_client_and_a_node(enter):
    model = await enter("model")

    async def serve(message):
        await message.respond(b"pong")

    await model.hear("mb.v1.echo.fast", queue="fast", cb=serve)
    await model.hear("mb.v1.echo.fast.fast-1", cb=serve)
    for role in ("client", "node", "admin"):
        asker = await enter(role)
        for subject in ("mb.v1.echo.fast", "mb.v1.echo.fast.fast-1"):
            assert (await asker.nats.request(subject, b"ping", timeout=5)).data == b"pong"


async def test_a_stream_may_be_long_and_its_end_is_noticed(enter):
    """Frames without limit go to an inbox; one with a reply subject comes back when nobody listens there any more."""
    client, model = await enter("client"), await enter("model")
    inbox, probe = "_INBOX.caller.1", "_INBOX_MODEL.fast-1-4711.7"
    frames, word = await client.hear(inbox), await model.hear(probe)
    for _ in range(1000):
        await model.nats.publish(inbox, b"{}", reply=probe)
    await model.settle()
    await client.settle()
    assert (frames.pending_msgs, word.pending_msgs) == (1000, 0)

    await frames.unsubscribe()
    await client.settle()
    await model.say(inbox, reply=probe)
    assert (await word.next_msg(timeout=5)).headers["Status"] == "503"


@pytest.mark.parametrize("kind", [*OTHERS_TELL, "work"])
async def test_a_model_tells_how_it_is(enter, kind):
    assert await arrives(await enter("model"), f"mb.v1.event.{kind}.fast-1", await enter("node"))


async def test_a_model_answers_a_job_into_its_journal(enter):
    assert await arrives(await enter("model"), "mb.v1.job.j1.frames", await enter("node"))


@pytest.mark.parametrize("subject", ["mb.v1.cancel.01K0WORK", "mb.v1.event.cores.home", "$SRV.PING", "$SRV.INFO.fast.fast-1"])
async def test_a_model_hears_what_concerns_it(enter, subject):
    assert await arrives(await enter("node"), subject, await enter("model"))


@pytest.mark.parametrize(
    "subject",
    [
        "mb.v1.ask",
        "mb.v1.chat",
        "mb.v1.chat.deep",
        "mb.v1.chat.deep.deep-1",
        "mb.v1.cancel.01K0WORK",
        "mb.v1.event.cores.home",
        "mb.v1.event.node.home",
        "mb.v1.job.j1.task.-.echo",
        "mb.v1.job.j1.status",
        "mb.v1.job.j1.callback",
        "$KV.mb_jobs.job.j1",
        "$SRV.PING",
        "user.anything",
    ],
)
async def test_a_model_may_not_ask(enter, subject):
    assert await is_refused_to_publish(await enter("model"), subject, await enter("admin"))


@pytest.mark.parametrize(
    "subject, said_on",
    [
        ("_INBOX.>", "_INBOX.caller.1"),
        ("_INBOX_NODE.>", "_INBOX_NODE.home.1"),
        ("mb.v1.ask", "mb.v1.ask"),
        ("mb.v1.chat", "mb.v1.chat"),
        ("mb.v1.event.work.*", "mb.v1.event.work.fast-1"),
        ("mb.v1.event.presence.*", "mb.v1.event.presence.fast-1"),
        ("mb.v1.>", "mb.v1.ask"),
        ("user.>", "user.x"),
        ("$O.>", "$O.mb_blobs.C.x"),
        (">", "mb.v1.ask"),
    ],
)
async def test_a_model_may_not_overhear(enter, subject, said_on):
    assert await is_refused_to_subscribe(await enter("model"), subject, await enter("admin"), said_on)


async def test_events_do_not_come_in_by_a_wider_subscription(enter):
    """`mb.v1.*.*.*` is every instance's request, and matches events too: the server leaves those out."""
    model, admin = await enter("model"), await enter("admin")
    heard = await model.hear("mb.v1.*.*.*")
    for subject in ("mb.v1.event.work.deep-1", "mb.v1.event.presence.deep-1", "mb.v1.chat.fast.fast-1"):
        await admin.say(subject)
    await model.settle()
    assert heard.pending_msgs == 1
    assert (await heard.next_msg()).subject == "mb.v1.chat.fast.fast-1"


# A reply subject is the caller's word.


@pytest.mark.parametrize("forged", ["mb.v1.chat.deep", "mb.v1.event.cores.home", f"$JS.API.STREAM.DELETE.{STREAM}", "user.x"])
async def test_a_forged_reply_subject_is_not_answered_over_a_models_rights(enter, forged):
    client, model, admin = await enter("client"), await enter("model"), await enter("admin")
    requests, victim = await model.hear("mb.v1.echo.fast"), await admin.hear(forged)
    await client.say("mb.v1.echo.fast", reply=forged)
    request = await requests.next_msg(timeout=5)
    assert request.reply == forged
    await model.say(request.reply)
    await admin.settle()
    assert victim.pending_msgs == 0 and model.was_refused("publish", forged)


async def test_what_a_responder_may_say_itself_only_its_code_can_keep_it_from(enter):
    """A model may tell events: so a reply subject that is one would be answered, if `bus::serve` did not refuse it."""
    client, model, node = await enter("client"), await enter("model"), await enter("node")
    forged = "mb.v1.event.work.deep-1"
    requests, victim = await model.hear("mb.v1.echo.fast"), await node.hear(forged)
    await client.say("mb.v1.echo.fast", reply=forged)
    await (await requests.next_msg(timeout=5)).respond(b"gotcha")
    assert (await victim.next_msg(timeout=5)).data == b"gotcha"


async def test_why_nats_conf_has_no_allow_responses(tmp_path):
    """With it, the server lets a responder write where its own deny list forbids: the day this fails, it may be used."""
    config = tmp_path / "nats.conf"
    config.write_text(
        """
        listen: "127.0.0.1:4222"
        authorization { users: [
          { user: client, password: clientSecret }
          { user: model, password: modelSecret, permissions: {
              publish: { deny: "mb.v1.chat.>" }, subscribe: "mb.v1.echo.>", allow_responses: { max: -1 } } }
        ] }
        """
    )
    server = Server(config, tmp_path)
    try:
        async with (
            await nats.connect(server.url, user="client", password="clientSecret") as client,
            await nats.connect(server.url, user="model", password="modelSecret") as model,
        ):
            requests = await model.subscribe("mb.v1.echo.fast")
            victim = await client.subscribe("mb.v1.chat.deep")
            for one in (client, model, client, model):  # twice, as in Person.settle
                await one.flush()
            await client.publish("mb.v1.echo.fast", b"{}", reply="mb.v1.chat.deep")
            await (await requests.next_msg(timeout=5)).respond(b"gotcha")
            assert (await victim.next_msg(timeout=5)).data == b"gotcha"
    finally:
        server.stop()


async def test_jetstream_sends_no_stored_bytes_to_a_forged_reply_subject(enter, bucket):
    """The server itself answers to any reply subject. What a client can make it say there is no event."""
    client, node = await enter("client"), await enter("node")
    stored = json.dumps({"model": "fast", "finished": [1, 2, 3]}).encode()
    chunk = f"$O.{BUCKET}.C.{(await bucket.put('forged', stored)).nuid}"
    events = await node.hear("mb.v1.event.work.*")
    forged = "mb.v1.event.work.fast-1"
    asked = {
        f"$JS.API.STREAM.MSG.GET.{STREAM}": {"last_by_subj": chunk},
        f"$JS.API.STREAM.INFO.{STREAM}": {},
        "$JS.API.INFO": {},
        f"$JS.API.DIRECT.GET.{STREAM}.{chunk}": {},
        f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.any": {},
    }
    for subject, body in asked.items():
        await client.say(subject, json.dumps(body).encode(), reply=forged)
    push = {"name": "push", "deliver_subject": forged, "ack_policy": "none", "filter_subject": chunk}
    body = json.dumps({"stream_name": STREAM, "config": push}).encode()
    assert "error" not in json.loads((await client.nats.request(f"$JS.API.CONSUMER.CREATE.{STREAM}.push", body, timeout=5)).data)
    for _ in range(3):
        said = await events.next_msg(timeout=5)
        assert json.loads(said.data)["type"].startswith("io.nats.jetstream.api.v1.")
    while events.pending_msgs:
        # A push consumer names the stored subject, so that whoever reads events by their subject drops it.
        assert (await events.next_msg()).subject == chunk


async def test_jetstream_does_not_obey_a_forged_reply_subject(enter, bucket):
    client = await enter("client")
    await client.say("$JS.API.INFO", b"", reply=f"$JS.API.STREAM.DELETE.{STREAM}")
    await client.nats.request("$JS.API.INFO", timeout=5)
    assert (await bucket.status()).size == 0


# Media.


@pytest.mark.parametrize("role", ["client", "model", "node"])
async def test_media_is_stored_found_and_read(enter, bucket, role):
    person = await enter(role)
    store = await person.nats.jetstream().object_store(BUCKET)
    media = os.urandom(3_000_000)
    name = hashlib.sha256(media).hexdigest()
    with pytest.raises(ObjectNotFoundError):
        await store.get_info(name)
    await store.put(name, media)
    assert (await store.get_info(name)).size == len(media)
    assert [entry.name for entry in await store.list()] == [name]
    assert (await store.get(name)).data == media
    await store.put(name, media)
    assert (await store.get(name)).data == media
    assert (await store.status()).size < 2 * len(media)
    assert not person.refusals


OTHER_STREAM = "OBJ_diary"


@pytest.mark.parametrize("role", ["client", "model", "node"])
@pytest.mark.parametrize(
    "subject",
    [
        f"$JS.API.STREAM.DELETE.{STREAM}",
        f"$JS.API.STREAM.MSG.DELETE.{STREAM}",
        f"$JS.API.STREAM.SNAPSHOT.{STREAM}",
        f"$JS.API.DIRECT.GET.{STREAM}",
        f"$JS.API.CONSUMER.LIST.{STREAM}",
        f"$JS.API.CONSUMER.DURABLE.CREATE.{STREAM}.mine",
        f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.mine",
        f"$JS.API.STREAM.CREATE.{OTHER_STREAM}",
        f"$JS.API.STREAM.DELETE.{OTHER_STREAM}",
        f"$JS.API.STREAM.PURGE.{OTHER_STREAM}",
        f"$JS.API.STREAM.INFO.{OTHER_STREAM}",
        f"$JS.API.STREAM.MSG.GET.{OTHER_STREAM}",
        f"$JS.API.CONSUMER.CREATE.{OTHER_STREAM}",
        "$JS.API.STREAM.LIST",
        "$O.diary.M.x",
    ],
)
async def test_everything_else_of_jetstream_is_closed(enter, role, subject):
    assert await is_refused_to_publish(await enter(role), subject, await enter("admin"))


@pytest.mark.parametrize("role", ["client", "model"])
@pytest.mark.parametrize("verb", ["CREATE", "UPDATE"])
async def test_only_a_node_makes_the_bucket(enter, role, verb):
    assert await is_refused_to_publish(await enter(role), f"$JS.API.STREAM.{verb}.{STREAM}", await enter("admin"))


# Who supervises.


@pytest.mark.parametrize(
    "subject",
    ["mb.v1.chat.fast", "mb.v1.event.cores.home", "mb.v1.job.j1.frames", "_INBOX.caller.1", "_INBOX_MODEL.fast-1.1", "user.x"],
)
async def test_a_node_may_speak_everywhere_in_the_brain(enter, subject):
    assert await arrives(await enter("node"), subject, await enter("admin"))


@pytest.mark.parametrize("subject", ["mb.v1.ask", "mb.v1.chat.fast", "mb.v1.chat.fast.fast-1", "mb.v1.cancel.01K0WORK"])
async def test_a_node_hears_every_request(enter, subject):
    assert await arrives(await enter("client"), subject, await enter("node"))


DISCONNECT = "$SYS.ACCOUNT.MB.DISCONNECT"


async def test_a_node_learns_that_a_model_has_gone(enter):
    node, model = await enter("node"), await enter("model")
    heard = await node.hear(DISCONNECT)
    await model.nats.close()
    event = await heard.next_msg(timeout=5)
    gone = json.loads(event.data)["client"]
    assert event.subject == DISCONNECT
    assert (gone["user"], gone["name"]) == ("model", "test-model")


@pytest.mark.parametrize("role", ["client", "model"])
async def test_only_a_node_learns_it(enter, role):
    listener, node, other = await enter(role), await enter("node"), await enter("client")
    heard, told = await listener.hear(DISCONNECT), await node.hear(DISCONNECT)
    await other.nats.close()
    await told.next_msg(timeout=5)
    await listener.settle()
    assert heard.pending_msgs == 0 and listener.was_refused("subscription", DISCONNECT)


@pytest.mark.parametrize(
    "subject, said_on",
    [("_INBOX.>", "_INBOX.caller.1"), ("_INBOX_MODEL.>", "_INBOX_MODEL.fast-1.1"), ("$SYS.>", "user.x"), (">", "user.x")],
)
async def test_a_node_reads_nobody_elses_answers(enter, subject, said_on):
    assert await is_refused_to_subscribe(await enter("node"), subject, await enter("admin"), said_on)


async def test_the_servers_own_account_is_closed(enter):
    for role in PASSWORDS:
        with pytest.raises((NoAnswer, nats.errors.NoRespondersError)):
            await (await enter(role)).nats.request("$SYS.REQ.SERVER.PING", timeout=0.3)
