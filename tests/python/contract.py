"""How does a program in Python write and read the contract's messages? With json, msgpack and the JSON Schemas alone."""

import base64
import dataclasses
import json
import pathlib
from collections.abc import Callable

import jsonschema
import msgpack

SCHEMAS = pathlib.Path(__file__).resolve().parents[2] / "schemas"
TYPES = {path.name.removesuffix(".schema.json"): path for path in (SCHEMAS / "json").glob("*.schema.json")}
# Kinds of fault, and what the header `Nats-Service-Error-Code` says of each.
CODES = {
    "invalid_request": "400",
    "unauthorized": "401",
    "not_found": "404",
    "too_large": "413",
    "overloaded": "429",
    "cancelled": "499",
    "engine": "500",
    "worker_lost": "502",
    "unavailable": "503",
    "deadline_exceeded": "504",
}


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


@dataclasses.dataclass(frozen=True)
class Codec:
    """One of the two notations."""

    name: str
    content_type: str
    pack: Callable[[dict], bytes]
    unpack: Callable[[bytes], dict]


JSON = Codec("json", "application/json", lambda message: json.dumps(as_json(message)).encode(), json.loads)
MSGPACK = Codec("msgpack", "application/msgpack", msgpack.packb, msgpack.unpackb)


def schema_of(kind: str) -> dict:
    return json.loads(TYPES[kind].read_text("utf-8"))


def check(kind: str, message: dict) -> dict:
    """Gives the message back if it is valid by the schema of its type."""
    jsonschema.Draft7Validator(schema_of(kind)).validate(as_json(message))
    return message


def fault_of(message, codec: Codec) -> dict:
    """Reads a fault: the body in the caller's codec, and the headers, which must say the same."""
    reply = check("fault", codec.unpack(message.data))
    error, headers = reply["error"], message.headers or {}
    assert reply["done"] is True
    assert headers.get("Nats-Service-Error") == error["kind"], headers
    assert headers.get("Nats-Service-Error-Code") == CODES[error["kind"]], headers
    assert error["message"], error
    return error
