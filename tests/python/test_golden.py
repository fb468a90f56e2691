"""Is the contract the same in another language?

Every golden message says the same in JSON and in MessagePack, and is valid by the JSON Schema of its type.
Needs `pip install pytest msgpack jsonschema`; run by `pytest tests/python/test_golden.py`.
"""

import json

import jsonschema
import msgpack
import pytest
from contract import SCHEMAS, TYPES, as_json, schema_of

GOLDEN = sorted((SCHEMAS / "golden").glob("*.msgpack"))


def type_of(path):
    """The type of a golden message: `<type>.msgpack` or `<type>-<variant>.msgpack`."""
    return path.stem.split("-")[0]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_both_codecs_say_the_same(path):
    packed = msgpack.unpackb(path.read_bytes())
    assert as_json(packed) == json.loads(path.with_suffix(".json").read_text("utf-8"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_golden_message_is_valid_by_its_schema(path):
    schema = schema_of(type_of(path))
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
    assert {type_of(path) for path in GOLDEN} == set(TYPES)
    assert {path.stem for path in GOLDEN} == {path.stem for path in (SCHEMAS / "golden").glob("*.json")}
