"""Can the program read every brain file that we ship? Weights and cards need not be here."""

import json
import os
import subprocess

import pytest
from brain import PROGRAM, ROOT


@pytest.mark.parametrize("file", sorted((ROOT / "brains").glob("*.toml")), ids=lambda file: file.stem)
def test_a_shipped_brain_is_read(file):
    plan = subprocess.run([PROGRAM, "plan", file, "--json"], env=os.environ | {"MEGABRAIN_OFFLINE": "1"}, capture_output=True)
    assert json.loads(plan.stdout or "{}").get("models"), plan.stderr.decode()
    assert b"cannot be used" not in plan.stdout
