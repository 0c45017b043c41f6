"""A config.json from anywhere: it ends in one clear refusal, never in a traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quantize import api
from quantize.errors import QuantizeError

CONFIGS: tuple[dict[str, Any], ...] = (
    {"num_attention_heads": 0},
    {"num_attention_heads": "eight"},
    {"num_attention_heads": [8]},
    {"num_hidden_layers": 10**9},
    {"num_hidden_layers": -1},
    {"num_hidden_layers": None},
    {"hidden_size": 0},
    {"hidden_size": {"a": 1}},
    {"rope_scaling": {"rope_type": "llama3", "factor": "x"}},
    {"rope_scaling": ["yarn"]},
    {"rope_theta": "many"},
    {"rms_norm_eps": []},
    {"vocab_size": -5},
    {"vocab_size": 10**12},
    {"head_dim": 7},
    {"num_key_value_heads": 3},
    {"architectures": "LlamaForCausalLM"},
    {"architectures": [["LlamaForCausalLM"]]},
    {"architectures": []},
    {"num_local_experts": 10**9},
    {"text_config": {"num_hidden_layers": 2}},
    {"quantization_config": "fp8"},
    {"quantization_config": {"quant_method": ["gptq"]}},
)


@pytest.mark.parametrize("changed", CONFIGS, ids=lambda changed: json.dumps(changed)[:60])
def test_a_config_without_sense_is_refused(
    changed: dict[str, Any], checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(checkpoint("smollm2-tied"), folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(config | changed), "utf-8")
    with pytest.raises(QuantizeError) as caught:
        api.plan(str(folder), api.Options())
    assert caught.value.where, "an error says where"
