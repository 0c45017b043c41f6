"""Key-values without which llama.cpp does not load any model of an architecture.

needed_keys.json is written by scripts/write_needed_keys.py from llama.cpp's own loader: what it
asks for without looking at anything else. What more some model needs, by its shapes, is measured
(quantize/formats/needs.py), and told in a note.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from quantize.architectures.keys import Key, full_name
from quantize.errors import CheckpointError
from quantize.formats.kv import KV

_HEADS = "attention.head_count"
_EXPERTS = ("expert_count", "expert_used_count")


def needed_keys(arch: str, present: Iterable[str]) -> tuple[str, ...]:
    """Names without the architecture that a file of `arch` must have, given those `present`.

    An architecture that is not in the table needs none that is known.
    """
    needed = _table().get(arch, ())
    # Without either, sizes come out as 0 and no tensor fits.
    return (*needed, _EXPERTS[1]) if f"{arch}.{_EXPERTS[0]}" in present else tuple(needed)


def check_needed(arch: str, rows: Iterable[Key], kvs: Iterable[KV]) -> None:
    """Raise CheckpointError for hparams that no file of `arch` works without."""
    present = {kv.key: kv.value for kv in kvs}
    if not present.get(f"{arch}.{_EXPERTS[0]}"):
        present.pop(f"{arch}.{_EXPERTS[0]}", None)
    sources = {row.name: row.value for row in rows}
    wanted = [*needed_keys(arch, present), *([_HEADS] if _HEADS in sources else [])]
    missing = [name for name in wanted if full_name(arch, name) not in present]
    if not missing:
        return
    names = sources.get(missing[0])
    key = full_name(arch, missing[0])
    raise CheckpointError(
        "missing-hparam",
        f"config.json has no {' or '.join(names)}"
        if isinstance(names, tuple)
        else f"config.json does not say what {key} is made from",
        where="config.json",
        reason=f"llama.cpp loads no {arch} model without {key}",
        hint="complete config.json, or download it again from the model's page",
    )


@cache
def _table() -> Mapping[str, tuple[str, ...]]:
    table: Mapping[str, tuple[str, ...]]
    table = json.loads(Path(__file__).with_name("needed_keys.json").read_text("utf-8"))
    return table
