"""Codes of a few bits in 32-bit words, as the formats of quantized checkpoints pack them.

A packing repeats after a unit of whole words; it is described by where each code of a unit begins,
in bits from the lowest of the first word. That covers streams that cross words, words with unused
top bits, and any order within a word.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

U8Array = NDArray[np.uint8]
U32Array = NDArray[np.uint32]

_WORD = 32


@dataclass(frozen=True, slots=True)
class Packing:
    """`starts[j]` is the first bit of code j of a unit of `words` words; codes have `bits` bits."""

    bits: int
    words: int
    starts: tuple[int, ...]

    @property
    def codes(self) -> int:
        """Codes in a unit."""
        return len(self.starts)

    def word_count(self, codes: int) -> int:
        """Words that hold `codes` codes; a stream ends with the word that its last code needs."""
        units, rest = divmod(codes, self.codes)
        tail = (self.starts[rest - 1] + self.bits + _WORD - 1) // _WORD if rest else 0
        return units * self.words + tail

    def unpack(self, words: U32Array) -> U8Array:
        """Words `(n, w)` as codes `(n, units * codes)`; a last unit that is cut counts whole."""
        n, width = words.shape
        units = -(-width // self.words)
        if units * self.words != width:
            words = np.pad(words, ((0, 0), (0, units * self.words - width)))
        by_unit = words.reshape(n, units, self.words)
        out = np.empty((n, units, self.codes), np.uint8)
        mask = np.uint32((1 << self.bits) - 1)
        for code, start in enumerate(self.starts):
            word, shift = divmod(start, _WORD)
            field = by_unit[:, :, word] >> np.uint32(shift)
            if shift + self.bits > _WORD:
                field |= by_unit[:, :, word + 1] << np.uint32(_WORD - shift)
            np.copyto(out[:, :, code], field & mask, casting="unsafe")
        return out.reshape(n, units * self.codes)


def stream(bits: int) -> Packing:
    """One code after the other, across words where 32 is not a multiple of `bits`."""
    if _WORD % bits == 0:
        return in_words(bits)
    return Packing(bits, bits, tuple(range(0, _WORD * bits, bits)))


def in_words(bits: int) -> Packing:
    """As many codes as fit into a word, the top bits of it unused."""
    return Packing(bits, 1, tuple(range(0, _WORD - bits + 1, bits)))


def ordered(bits: int, order: tuple[int, ...]) -> Packing:
    """A word whose field k, from the lowest bits, is code `order[k]`."""
    return Packing(bits, 1, tuple(bits * order.index(code) for code in range(len(order))))
