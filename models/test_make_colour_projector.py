"""What make_colour_projector.py promises about its two layers: `python3 -m unittest discover models`.

That libmtmd takes the file, and the language model its rows, is tested where they run, in `actors/llm`.
"""

import math
import struct
import unittest

from gguf_file import ARRAY, STRING, Gguf, Tensor, field
from make_colour_projector import COLOUR, COLOURS, LINE, Q8_0, SPACE, WIDTH, WORDS, projector, tower

BLOCKS = 2
PIECES = sorted({SPACE + word for word in COLOURS} | {word for word in WORDS if word is not COLOUR} | {LINE, "x"})


def language_model() -> Gguf:
    """One whose every piece has an embedding of its own."""
    rows = [struct.pack("<e32b", 0.5, *([token + 1] * 32)) * BLOCKS for token in range(len(PIECES))]
    table = Tensor("token_embd.weight", (32 * BLOCKS, len(PIECES)), Q8_0, b"".join(rows))
    return Gguf([field("tokenizer.ggml.tokens", ARRAY, PIECES, STRING)], [table])


def gelu(x: float) -> float:
    return x * (1 + math.erf(x / math.sqrt(2))) / 2


class ProjectorTest(unittest.TestCase):
    def setUp(self):
        layers = {tensor.name: tensor for tensor in projector(language_model())}

        def matrix(name):
            tensor = layers[name]
            numbers = struct.unpack(f"<{len(tensor.data) // 4}f", tensor.data)
            width = tensor.dimensions[0]
            return [numbers[at : at + width] for at in range(0, len(numbers), width)]

        self.first, (self.bias,), self.second = matrix("mm.0.weight"), matrix("mm.0.bias"), matrix("mm.2.weight")

    def word(self, place: int, colour: tuple[float, float, float]) -> str:
        """The piece whose embedding comes out for a patch."""
        patch = [*colour, *(float(place == other) for other in range(len(WORDS)))]
        patch += [0.0] * (WIDTH - len(patch))
        units = [gelu(sum(map(math.prod, zip(row, patch))) + bias) for row, bias in zip(self.first, self.bias)]
        row = [sum(map(math.prod, zip(weights, units))) for weights in self.second]
        self.assertEqual(len(row), 32 * BLOCKS)
        token = row[0] / 0.5 - 1
        self.assertAlmostEqual(token, round(token), places=3)
        return PIECES[round(token)]

    def test_the_patch_in_the_middle_becomes_the_word_of_its_colour(self):
        middle = WORDS.index(COLOUR)
        for word, corner in COLOURS.items():
            self.assertEqual(self.word(middle, corner), SPACE + word)

    def test_the_other_patches_become_their_words_whatever_their_colour(self):
        for place, word in enumerate(WORDS):
            if word is not COLOUR:
                for corner in COLOURS.values():
                    self.assertEqual(self.word(place, corner), word)

    def test_the_tower_gives_the_mean_of_each_channel(self):
        tensors = {tensor.name: tensor for tensor in tower()}
        patches = tensors["v.patch_embd.weight"]
        width, height, channels, outputs = patches.dimensions
        numbers = struct.unpack(f"<{width * height * channels * outputs}f", patches.data)
        for output in range(outputs):
            for channel in range(channels):
                at = (output * channels + channel) * width * height
                expected = 1.0 if output == channel else 0.0
                self.assertAlmostEqual(sum(numbers[at : at + width * height]), expected, places=4)


if __name__ == "__main__":
    unittest.main()
