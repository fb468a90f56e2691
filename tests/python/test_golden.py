"""Is the contract the same in another language?

Every golden message says the same in JSON and in MessagePack, and is valid by the JSON Schema of its type.
Needs `pip install pytest msgpack jsonschema`; run by `pytest tests/python/test_golden.py`.
"""

import base64
import json
import pathlib

import jsonschema
import msgpack
import pytest

SCHEMAS = pathlib.Path(__file__).resolve().parents[2] / "schemas"
GOLDEN = sorted((SCHEMAS / "golden").glob("*.msgpack"))
TYPES = {path.name.removesuffix(".schema.json"): path for path in (SCHEMAS / "json").glob("*.schema.json")}


def as_json(value):
    """What was read from MessagePack, as JSON has it: bytes as base64."""
    match value:
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case dict():
            return {key: as_json(item) for key, item in value.items()}
        case list():
            return [as_json(item) for item in value]
        case _:
            return value


def schema_of(path):
    """The schema of a golden message: `<type>.msgpack` or `<type>-<variant>.msgpack`."""
    return json.loads(TYPES[path.stem.split("-")[0]].read_text("utf-8"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_both_codecs_say_the_same(path):
    packed = msgpack.unpackb(path.read_bytes())
    assert as_json(packed) == json.loads(path.with_suffix(".json").read_text("utf-8"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_golden_message_is_valid_by_its_schema(path):
    schema = schema_of(path)
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.Draft7Validator(schema).validate(json.loads(path.with_suffix(".json").read_text("utf-8")))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_data_is_binary_in_messagepack_wherever_it_stands(path):
    def look(value):
        if isinstance(value, dict):
            for key, item in value.items():
                assert key != "data" or isinstance(item, bytes), key
                look(item)
        elif isinstance(value, list):
            for item in value:
                look(item)

    look(msgpack.unpackb(path.read_bytes()))


def test_every_type_has_a_golden_message_and_every_golden_message_a_type():
    assert {path.stem.split("-")[0] for path in GOLDEN} == set(TYPES)
    assert {path.stem for path in GOLDEN} == {path.stem for path in (SCHEMAS / "golden").glob("*.json")}
