"""How does a test run a whole brain? `megabrain up` with a bus and a folder of its own, gone when it is stopped."""

import os
import pathlib
import subprocess
import time

import nats
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release" / "megabrain"
# Loading takes a second or two; a machine that is busy with other things takes longer.
LOADING = 90
# Models for what clients ask over HTTP beside words; a brain that has these has a model `fast` of its own.
SENSES = """
    [models.embed]
    actor = "llm"
    weights = "minilm-l6"
    [models.rerank]
    actor = "llm"
    weights = "ms-marco-minilm-l12"
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


class Brain:
    """A running brain, every model of it ready."""

    def __init__(self, folder: pathlib.Path, models: str, **variables: str):
        if not PROGRAM.exists():
            pytest.fail(f"no {PROGRAM}: run `make build`", pytrace=False)
        file = folder / "brain.toml"
        # A port of its own for the doors.
        file.write_text(
            f'[brain]\nname = "python"\ndrain = "2s"\n[bus]\nstore = "{folder / "bus"}"\nblob_max = "8 MiB"\n'
            f'[gateway]\nlisten = "127.0.0.1:0"\n{models}'
        )
        # Neither another bus nor a collector that this machine may name.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("NATS_", "OTEL_"))}
        self.environment = inherited | {"XDG_RUNTIME_DIR": str(folder)} | variables
        self.log = folder / "up.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "up", file], env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self._wait_ready()
            self.bus = self._ask_for_the_bus()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def _wait_ready(self):
        deadline = time.monotonic() + LOADING
        while " models in " not in (said := self.log.read_text()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the brain did not come up:\n{said}", pytrace=False)
            time.sleep(0.02)

    def _ask_for_the_bus(self) -> dict[str, str]:
        """What a shell has after `eval "$(megabrain env)"`, beside what it had before."""
        script = f'eval "$({PROGRAM} env)" && env -0'
        shell = subprocess.run(["sh", "-c", script], env=self.environment, check=True, capture_output=True, text=True)
        variables = dict(line.split("=", 1) for line in shell.stdout.split("\0") if line)
        return {name: value for name, value in variables.items() if name.startswith("NATS_")}

    @property
    def http(self) -> str:
        """Where its doors are."""
        [address] = [line.split()[1] for line in self.log.read_text().splitlines() if line.startswith("http ")]
        return address

    async def connect(self) -> nats.NATS:
        """A plain client, with the rights that `megabrain env` gives."""
        bus = self.bus
        return await nats.connect(bus["NATS_URL"], user=bus["NATS_USER"], password=bus["NATS_PASSWORD"], name="test-python")

    def stop(self):
        """Stops it in good order, as Ctrl-C does."""
        self.process.terminate()
        try:
            status = self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        assert status == 0, f"the brain ended with {status}:\n{self.log.read_text()}"
