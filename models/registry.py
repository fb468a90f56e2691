"""How does a package come from the Python package registry? pip says where it lies; downloads resume and are checked."""

import contextlib
import dataclasses
import http.client
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import BinaryIO

from artefacts import CHUNK, Failure, sha256
from progress import Progress

STALL_SECONDS = 30  # without a byte
ATTEMPTS = 6  # in a row without a byte of progress
NETWORK_ERRORS = (urllib.error.URLError, ConnectionError, TimeoutError, ssl.SSLError, http.client.HTTPException)
NETWORK_WORDS = ("Retrying (Retry", "ConnectionError", "ProxyError", "ConnectTimeout", "Network is unreachable", "resolve")


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
