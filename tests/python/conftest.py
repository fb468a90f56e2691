"""A real nats-server with the repository's nats.conf, on a free port of this machine; and a whole brain."""

import json
import os
import pathlib
import shutil
import subprocess
import time

import nats
import pytest
import pytest_asyncio

pytest.register_assert_rewrite("brain", "contract", "inbox")
from brain import ROOT, SENSES, Brain  # noqa: E402: what it asserts is to be told in full

PASSWORDS = {role: f"{role}Secret" for role in ("client", "model", "node", "admin")}
# Each role has inboxes of its own, so that it need not be let into others'.
INBOX = {"client": b"_INBOX", "model": b"_INBOX_MODEL", "node": b"_INBOX_NODE", "admin": b"_INBOX"}


def nats_server_program() -> str:
    """The program that the brain fetches, or one on the PATH."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    fetched = cache / "megabrain" / "models" / "nats-server"
    found = str(fetched) if fetched.exists() else shutil.which("nats-server")
    if not found:
        pytest.fail("no nats-server: run `python3 models/pull.py nats-server`", pytrace=False)
    return found


class Server:
    """One nats-server process."""

    def __init__(self, config: pathlib.Path, folder: pathlib.Path):
        environment = os.environ | {f"MEGABRAIN_{role.upper()}_PASSWORD": word for role, word in PASSWORDS.items()}
        self.log = folder / "log"
        arguments = ["-c", config, "-p", "-1", "-sd", folder / "store", "-l", self.log, "--ports_file_dir", folder]
        self.process = subprocess.Popen([nats_server_program(), *map(str, arguments)], env=environment)
        self.port = self._read_port(folder / f"nats-server_{self.process.pid}.ports")

    def _read_port(self, file: pathlib.Path) -> int:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.process.poll() is None:
            if file.exists() and (text := file.read_text()):
                return int(json.loads(text)["nats"][0].rsplit(":", 1)[1])
            time.sleep(0.02)
        self.stop()
        pytest.fail(f"nats-server did not start: {self.log.read_text()}", pytrace=False)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=10)


class Person:
    """A connection in one role, with every refusal that the server has told it of."""

    def __init__(self, role: str):
        self.role = role
        self.refusals: list[str] = []

    async def connect(self, server: Server):
        async def note(error):
            self.refusals.append(str(error).lower())

        self.nats = await nats.connect(
            server.url,
            user=self.role,
            password=PASSWORDS[self.role],
            inbox_prefix=INBOX[self.role],
            name=f"test-{self.role}",
            error_cb=note,
        )
        return self

    async def settle(self):
        """Returns when the server has done all that was sent, and what it had sent before has arrived.

        Twice, because the client writes the ping of a flush ahead of what still waits to be written.
        """
        await self.nats.flush()
        await self.nats.flush()

    async def say(self, subject: str, body: bytes = b"{}", reply: str = ""):
        await self.nats.publish(subject, body, reply=reply)
        await self.settle()

    async def hear(self, subject: str, queue: str = "", cb=None):
        """Subscribes, and has the server know."""
        heard = await self.nats.subscribe(subject, queue=queue, cb=cb)
        await self.settle()
        return heard

    def was_refused(self, verb: str, subject: str) -> bool:
        return any(f'{verb} to "{subject}"'.lower() in refusal for refusal in self.refusals)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    server = Server(ROOT / "nats.conf", tmp_path_factory.mktemp("bus"))
    yield server
    server.stop()


@pytest_asyncio.fixture
async def enter(server):
    """Lets a role onto the bus; everybody leaves at the end of the test."""
    people = []

    async def enter(role: str) -> Person:
        people.append(await Person(role).connect(server))
        return people[-1]

    yield enter
    for person in people:
        await person.nats.close()


@pytest.fixture(scope="session")
def brain(tmp_path_factory):
    """One brain for all tests that ask it something: two models, and the actor without one."""
    models = """
        [models.fast]
        actor = "llm"
        weights = "smollm2-135m"
        [models.whisper]
        actor = "speech"
        weights = "whisper-tiny.en"
        [models.echo]
        actor = "echo"
        [models.narrow]
        actor = "echo"
        slots = 1
        queue = 1
    """
    brain = Brain(tmp_path_factory.mktemp("brain"), models)
    yield brain
    brain.stop()


@pytest_asyncio.fixture
async def client(brain):
    """A plain client of that brain."""
    client = await brain.connect()
    yield client
    await client.close()


@pytest.fixture(scope="session")
def doors(tmp_path_factory):
    """One brain for all tests that speak HTTP: a model of every kind that clients ask for."""
    models = """
        [models.fast]
        actor = "llm"
        weights = "smollm2-135m"
        [models.deep]
        actor = "llm"
        weights = "qwen2.5-coder-0.5b"
        context = 1024
    """
    brain = Brain(tmp_path_factory.mktemp("doors"), models + SENSES)
    yield brain
    brain.stop()
