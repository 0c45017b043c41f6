"""What a single token reads as, by the `decoder` of a tokenizer.json.

llama.cpp matches added tokens in raw text, so a token that the tokenizer stores in another form
(byte-level letters, marks for spaces) has to be written as it reads. An added token that is not
matched in normalized text always encodes to itself, so reading it back is all there is to do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from quantize.vocab.files import entries, section
from quantize.vocab.tokens import SPACE_MARK

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")

# transformers' clean_up_tokenization: English punctuation and contractions after a space.
_CLEAN_UP = (" .", " ?", " !", " ,", " n't", " 'm", " 's", " 've", " 're")


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's letters for bytes: printable Latin-1 is itself, the rest follows from 256."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(256 + i): byte for i, byte in enumerate(others)}


BYTE_OF_LETTER = _byte_alphabet()
LETTER_OF_BYTE = {byte: letter for letter, byte in BYTE_OF_LETTER.items()}


def _byte_level(token: str, decoder: Mapping[str, Any]) -> str:
    try:
        return bytes(BYTE_OF_LETTER[letter] for letter in token).decode("utf-8", "replace")
    except KeyError:  # not in the alphabet, so it was never written in it
        return token


def _metaspace(token: str, decoder: Mapping[str, Any]) -> str:
    text = token.replace(decoder.get("replacement") or SPACE_MARK, " ")
    return text if decoder.get("prepend_scheme") == "never" else text.removeprefix(" ")


def _replace(token: str, decoder: Mapping[str, Any]) -> str:
    text = section(decoder, "pattern").get("String")
    return token.replace(text, str(decoder.get("content"))) if isinstance(text, str) else token


def _byte_fallback(token: str, decoder: Mapping[str, Any]) -> str:
    byte = _BYTE_TOKEN.fullmatch(token)
    return bytes.fromhex(byte[1]).decode("utf-8", "replace") if byte else token


def _strip(token: str, decoder: Mapping[str, Any]) -> str:
    content = str(decoder.get("content"))
    for _ in range(int(decoder.get("start") or 0)):
        token = token.removeprefix(content)
    for _ in range(int(decoder.get("stop") or 0)):
        token = token.removesuffix(content)
    return token


def _sequence(token: str, decoder: Mapping[str, Any]) -> str:
    for part in entries(decoder, "decoders"):
        token = _step(token, part)
    return token


_DECODERS: dict[str, Callable[[str, Mapping[str, Any]], str]] = {
    "Sequence": _sequence,
    "ByteLevel": _byte_level,
    "Metaspace": _metaspace,
    "Replace": _replace,
    "ByteFallback": _byte_fallback,
    "Strip": _strip,
}


def _step(token: str, decoder: Mapping[str, Any]) -> str:
    # The others (Fuse, WordPiece, ...) change a lone token in nothing.
    read = _DECODERS.get(str(decoder.get("type")))
    return token if read is None else read(token, decoder)


def decode(decoder: Mapping[str, Any], token: str, *, clean_up: bool = False) -> str:
    """The text of one token. `clean_up`: tokenizer_config.json's clean_up_tokenization_spaces."""
    text = _step(token, decoder)
    if clean_up:
        for written in _CLEAN_UP:
            text = text.replace(written, written[1:])
        text = text.replace(" ' ", "'")
    return text
