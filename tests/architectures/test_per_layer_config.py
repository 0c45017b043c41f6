"""Gemma 4 as transformers saves it now: what layers with full attention have, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.variants import Variant


def test_global_heads_are_found_under_either_name(kit: Path) -> None:
    older = Variant(kit, "gemma4")
    text: dict[str, Any] = older.config.get("text_config", older.config)
    expected = older.facts()
    own = {"head_dim": text.pop("global_head_dim")}
    if (heads := text.pop("num_global_key_value_heads", None)) is not None:
        own["num_key_value_heads"] = heads
    full = [bid for bid, kind in enumerate(text["layer_types"]) if kind == "full_attention"]
    text["per_layer_config"] = {str(bid): own for bid in full}
    assert older.facts() == expected
