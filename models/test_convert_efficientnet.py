"""What convert_efficientnet.py promises about PyTorch's checkpoints: `python3 -m unittest discover models`.

The checkpoints are written here, since PyTorch is not needed for anything else. That the whole network answers as it
should is tested where it runs, in `actors/vision`.
"""

import collections
import io
import pickle
import struct
import sys
import tempfile
import types
import unittest
import unittest.mock
from pathlib import Path

import convert_efficientnet
from convert_efficientnet import Graph, Tensor, field, read_checkpoint, varint


class Stored:
    """A tensor as PyTorch pickles it: a call that rebuilds it from a storage that is named, not held."""

    def __init__(self, key: str, count: int, offset: int, shape: tuple, stride: tuple, kind: str = "FloatStorage"):
        self.reference = ("storage", kind, key, "cpu", count, None)
        self.rest = (offset, shape, stride, False, collections.OrderedDict())

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, (self.reference, *self.rest)


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        if isinstance(value, tuple) and value and value[0] == "storage":
            return ("storage", getattr(sys.modules["torch"], value[1]), *value[2:])
        return None


def fake_torch() -> dict[str, types.ModuleType]:
    """The names that a checkpoint mentions."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def _rebuild_tensor_v2(*_):
        raise AssertionError("only named, never called")

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    for name in ("FloatStorage", "LongStorage", "HalfStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    torch._utils = utils
    return {"torch": torch, "torch._utils": utils}


def checkpoint(tensors: dict, storages: dict[str, bytes]) -> bytes:
    """A file of the format before 1.6; an item is 4 bytes."""
    file = io.BytesIO()
    with unittest.mock.patch.dict(sys.modules, fake_torch()):
        for value in (convert_efficientnet.LEGACY_MAGIC, 1001, {"little_endian": True}):
            pickle.dump(value, file, protocol=2)
        Pickler(file, protocol=2).dump(collections.OrderedDict(tensors))
        pickle.dump(sorted(storages), file, protocol=2)
    for key in sorted(storages):
        file.write(struct.pack("<q", len(storages[key]) // 4) + storages[key])
    return file.getvalue()


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


class CheckpointTest(unittest.TestCase):
    def read(self, content: bytes) -> dict[str, Tensor]:
        with tempfile.TemporaryDirectory(prefix="megabrain-checkpoint-") as folder:
            path = Path(folder) / "model.pth"
            path.write_bytes(content)
            return read_checkpoint(path)

    def test_tensors_come_in_row_major_order_however_they_lie(self):
        numbers = floats(*range(6))
        tensors = self.read(
            checkpoint(
                {
                    "plain": Stored("a", 6, 0, (2, 3), (3, 1)),
                    "turned": Stored("a", 6, 0, (3, 2), (1, 3)),
                    "part": Stored("a", 6, 2, (2, 1, 2), (2, 99, 1)),
                    "one": Stored("a", 6, 5, (), ()),
                },
                {"a": numbers},
            )
        )
        self.assertEqual(tensors["plain"], Tensor((2, 3), numbers))
        self.assertEqual(tensors["turned"], Tensor((3, 2), floats(0, 3, 1, 4, 2, 5)))
        self.assertEqual(tensors["part"], Tensor((2, 1, 2), floats(2, 3, 4, 5)))
        self.assertEqual(tensors["one"], Tensor((), floats(5)))

    def test_a_checkpoint_runs_nothing(self):
        harmful = checkpoint({"x": print}, {})
        with self.assertRaisesRegex(SystemExit, "print, which is no tensor"):
            self.read(harmful)

    def test_what_is_cut_off_or_something_else_is_refused(self):
        whole = checkpoint({"x": Stored("a", 2, 0, (2,), (1,))}, {"a": floats(1, 2)})
        with self.assertRaisesRegex(SystemExit, "storage a is damaged"):
            self.read(whole[:-1])
        with self.assertRaisesRegex(SystemExit, "not a PyTorch checkpoint"):
            self.read(b"PK\x03\x04")
        with self.assertRaisesRegex(SystemExit, "not a PyTorch checkpoint"):
            self.read(pickle.dumps("something else"))

    def test_another_network_is_refused(self):
        with self.assertRaisesRegex(SystemExit, "no EfficientNet-Lite0"):
            Graph({"_conv_stem.weight": Tensor((1,), floats(1))}).convolution("_conv_stem", "_bn0", 3, 2, 32)


class ProtocolBufferTest(unittest.TestCase):
    def test_fields_are_encoded_as_the_specification_says(self):
        # protobuf.dev/programming-guides/encoding: 150 in field 1, "testing" in field 2
        self.assertEqual(varint(300), b"\xac\x02")
        self.assertEqual(field(1, 150), b"\x08\x96\x01")
        self.assertEqual(field(2, "testing"), b"\x12\x07testing")
        self.assertEqual(field(3, 1.0), b"\x1d\x00\x00\x80\x3f")


if __name__ == "__main__":
    unittest.main()
