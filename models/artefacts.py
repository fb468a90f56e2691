"""What can be fetched, and where does it lie? The manifest and the cache folder."""

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from progress import Progress

MANIFEST_VERSION = 1
CHUNK = 1 << 20  # bytes


class Failure(Exception):
    """What went wrong and what to do about it, in one line for a person."""


@dataclasses.dataclass(frozen=True)
class Artefact:
    """One file of the manifest; the fields are explained at the top of manifest.toml."""

    name: str
    kind: str
    about: str
    licence: str
    file: str
    size: int
    sha256: str
    starter: bool
    platform: str | None = None
    hub: dict | None = None
    registry: dict | None = None
    derived: dict | None = None


def read_manifest(path: Path) -> list[Artefact]:
    """Reads the artefacts that suit this machine."""
    import tomllib  # here, so that an older Python gets as far as main's friendly words

    try:
        with open(path, "rb") as file:
            manifest = tomllib.load(file)
        if manifest["version"] != MANIFEST_VERSION:
            raise Failure(f"{path} has version {manifest['version']}, this program reads {MANIFEST_VERSION}")
        artefacts = [Artefact(**table) for table in manifest["artefact"]]
    except (OSError, KeyError, TypeError, tomllib.TOMLDecodeError) as error:
        raise Failure(f"cannot read the manifest {path}: {error}") from error
    here = f"{sys.platform}-{platform.machine()}"
    return [artefact for artefact in artefacts if artefact.platform in (None, here)]


def choose(artefacts: list[Artefact], name: str) -> Artefact:
    """Finds an artefact by its name."""
    for artefact in artefacts:
        if artefact.name == name:
            return artefact
    known = ", ".join(sorted(artefact.name for artefact in artefacts))
    raise Failure(f"{name!r} is not in the manifest for {sys.platform}-{platform.machine()}; known: {known}")


class Cache:
    """The folder where finished files lie, and `downloads` in it for what is under way."""

    def __init__(self, root: Path):
        self.root = root
        self.downloads = root / "downloads"

    def path(self, artefact: Artefact) -> Path:
        return self.root / artefact.file

    def stamp(self, artefact: Artefact) -> Path:
        return self.root / f"{artefact.file}.ok"

    def has(self, artefact: Artefact) -> bool:
        """Tells whether the file was checked before and still has its size; reads no more than the stamp."""
        try:
            size = self.path(artefact).stat().st_size
            return size == artefact.size and self.stamp(artefact).read_text().strip() == artefact.sha256
        except FileNotFoundError:
            return False

    def accept(self, artefact: Artefact, file: Path) -> None:
        """Moves a checked file to its place and stamps it, each in one step."""
        if artefact.kind == "tool":
            file.chmod(0o755)
        stamp = self.downloads / f"{artefact.file}.ok"
        stamp.write_text(f"{artefact.sha256}\n")
        os.replace(file, self.path(artefact))
        os.replace(stamp, self.stamp(artefact))

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Holds the folder's lock; the kernel lets go of it when this process ends, however it ends."""
        self.downloads.mkdir(parents=True, exist_ok=True)
        with open(self.root / ".lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"another pull works in {self.root}; waiting for it", file=sys.stderr)
                fcntl.flock(lock, fcntl.LOCK_EX)
            self.downloads.mkdir(exist_ok=True)
            yield
            with contextlib.suppress(OSError):  # another artefact's half download may lie there
                self.downloads.rmdir()


def check_file(artefact: Artefact, file: Path, progress: Progress) -> bool:
    """Tells whether size and sha256 are those of the manifest."""
    if file.stat().st_size != artefact.size:
        return False
    progress.begin(artefact.name, "verify", artefact.size)
    digest = sha256(file, progress)
    progress.end()
    return digest == artefact.sha256


def sha256(path: Path, progress: Progress | None = None) -> str:
    """Hashes a file."""
    digest, done = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            if progress:
                progress.at(done)
    return digest.hexdigest()
