"""RWKV's World tokenizer: a list of byte strings, llama.cpp's model "rwkv"."""

from __future__ import annotations

import ast

from quantize.formats.kv import KV
from quantize.vocab.build import VocabHints
from quantize.vocab.files import TokenizerFiles, bad_file
from quantize.vocab.special import read_special
from quantize.vocab.tokens import CONTROL, NORMAL, Tokens

_FILE = "rwkv_vocab_v20230424.txt"
_SIZE = 65536

# "\n\n", after which a chat turn is over.
_END_OF_TURN = 261


# The longest token of the published vocabulary has 128 bytes, four characters each when escaped.
_LONGEST_LINE = 2000


def load(files: TokenizerFiles, size: int | None, hints: VocabHints) -> list[KV] | None:
    """Lines of id, Python literal and length in bytes; ids count from 1 in the order of lines."""
    text = files.text(_FILE)
    if text is None:
        return None
    tokens = Tokens(size if size is not None else _SIZE)
    tokens.set(0, "<s>", CONTROL)
    for token_id, line in enumerate(text.splitlines(), start=1):
        if token_id not in tokens:
            raise bad_file(_FILE, f"it has more than the {tokens.size} tokens of the embedding")
        tokens.set(token_id, _escaped(line), NORMAL)
    special = read_special(files)
    # llama.cpp knows this template by name.
    special.template = special.template or "rwkv-world"
    special.name("eot", _END_OF_TURN)
    special.ids.update(bos=0, eos=0)
    return tokens.kvs("rwkv", None, scores=False) + special.kvs()


def _escaped(line: str) -> str:
    """The bytes of a token as llama.cpp reads them: printable ASCII, the rest escaped."""
    if len(line) > _LONGEST_LINE:
        raise bad_file(_FILE, f"a line of {len(line)} characters is not a token")
    try:
        _, literal, length = line.split(" ", 1)[0], *line.split(" ", 1)[1].rsplit(" ", 1)
        token = ast.literal_eval(literal)
        data = token.encode() if isinstance(token, str) else bytes(token)
        if len(data) == int(length):
            return repr(data)[2:-1]
    except (ValueError, SyntaxError, IndexError, TypeError, RecursionError, MemoryError):
        pass
    raise bad_file(_FILE, f"{line[:80]!r} is not a token with its length")
