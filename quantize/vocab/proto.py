"""The fields of a SentencePiece model that its library does not hand out.

Wire format of protocol buffers (protobuf.dev/programming-guides/encoding); field numbers from
sentencepiece_model.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from quantize.vocab.files import bad_file

UNIGRAM, BPE = 1, 2

_TRAINER_SPEC, _NORMALIZER_SPEC = 2, 3
_MODEL_TYPE = 3
_CHARSMAP, _DUMMY_PREFIX, _EXTRA_WHITESPACE = 2, 3, 4
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Spec:
    """`model_type`: UNIGRAM, BPE or another. The other three: how text is normalized."""

    model_type: int
    charsmap: bytes
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool


def read_spec(data: bytes, name: str) -> Spec:
    """The training and normalization settings of a SentencePiece file.

    Raises CheckpointError("bad-tokenizer-file") for a cut or foreign file.
    """
    try:
        trainer, normalizer = b"", b""
        for field, value in _fields(data):
            if field == _TRAINER_SPEC and isinstance(value, bytes):
                trainer = value
            elif field == _NORMALIZER_SPEC and isinstance(value, bytes):
                normalizer = value
        training, normalizing = dict(_fields(trainer)), dict(_fields(normalizer))
    except (IndexError, ValueError) as error:
        raise bad_file(name, f"it is not a SentencePiece model: {error}") from None
    charsmap = normalizing.get(_CHARSMAP, b"")
    return Spec(
        model_type=int(training.get(_MODEL_TYPE, UNIGRAM)),
        charsmap=charsmap if isinstance(charsmap, bytes) else b"",
        add_dummy_prefix=bool(normalizing.get(_DUMMY_PREFIX, True)),
        remove_extra_whitespaces=bool(normalizing.get(_EXTRA_WHITESPACE, True)),
    )


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind}")
        if at + size > len(data):
            raise ValueError("the file is cut")
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
