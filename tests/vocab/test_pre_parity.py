"""Every row of the pre-tokenizer table: llama.cpp, told the name, cuts as the structure says.

The vocabulary is trained on the texts themselves without any split, so that its merges reach over
every border that a pre-tokenizer is to draw.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from quantize import api
from quantize.vocab.pre_table import BYTES, ROWS, PreRow
from tests.vocab.test_token_parity import CORPUS, llama_cpp_ids

ROWS_OF_BYTES = [row for row in ROWS if BYTES in row.steps]
MODEL = "llama31-bpe"
VOCAB_SIZE = 1000  # the model's embedding has 1024 rows

# Where llama.cpp cuts otherwise than the structure that its name stands for.
MARKS = "llama.cpp does not count combining marks as letters here"
CASE = "llama.cpp's engine does not tell upper from lower case in this pattern"
DIGITS = "llama.cpp leaves out a split of digits; real vocabularies hold no token across it"
IDEOGRAPHIC = "llama.cpp does not count the ideographic space into this range"
LIMITS: dict[str, dict[str, str]] = {
    "gpt-4o": dict.fromkeys(("combining", "hindi"), MARKS),
    "tekken": dict.fromkeys(("combining", "hindi"), MARKS),
    "kimi-k2": {"case": CASE} | dict.fromkeys(("combining", "hindi"), MARKS),
    "tiny_aya": {"case": CASE},
    "youtu": {"case": CASE},
    "deepseek-coder": {"wide spaces": IDEOGRAPHIC},
    "deepseek-llm": {"wide spaces": IDEOGRAPHIC}
    | dict.fromkeys(("numbers", "other numbers"), DIGITS),
    "falcon": dict.fromkeys(("numbers", "other numbers"), DIGITS),
}


@pytest.fixture(scope="module")
def trained() -> dict[str, Any]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, initial_alphabet=alphabet, show_progress=False
    )
    # Twice, as a pair is merged only where it is seen again.
    tokenizer.train_from_iterator([*CORPUS.values()] * 2, trainer)
    made: dict[str, Any] = json.loads(tokenizer.to_str())
    return made


@pytest.mark.parametrize("row", ROWS_OF_BYTES, ids=lambda row: row.names[0])
def test_llama_cpp_cuts_as_the_row_says(
    row: PreRow, trained: dict[str, Any], checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    splits = [
        {"type": "Split", "pattern": {"Regex": step}, "behavior": "Isolated", "invert": False}
        for step in row.steps
        if step != BYTES
    ]
    letters = {**trained["pre_tokenizer"], "use_regex": False}
    source = {
        **trained,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*splits, letters]},
        "model": {**trained["model"], "ignore_merges": bool(row.ignore_merges)},
    }
    folder = tmp_path / "source"
    shutil.copytree(checkpoint(MODEL), folder)
    (folder / "tokenizer.json").write_text(json.dumps(source))
    options = api.Options(types=("F16",), output=tmp_path, jobs=1, pre=row.names[0])
    file = api.convert(str(folder), options).files[0]
    found = llama_cpp_ids(file.path, CORPUS)
    reference = Tokenizer.from_str(json.dumps(source))
    different = {
        title for title, text in CORPUS.items() if reference.encode(text).ids != found[title]
    }
    assert different == {*LIMITS.get(row.names[0], {})}
