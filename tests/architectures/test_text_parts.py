"""Which family reads the text part of a multimodal checkpoint, and what of config.json it sees."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from quantize.architectures import ARCHITECTURES
from quantize.architectures.hparams import Hparams, lift_text_part
from quantize.checkpoints.checkpoint import Checkpoint
from quantize.errors import UnsupportedError
from quantize.planning.from_checkpoint import family_of


def arch_of(config: dict[str, Any]) -> str:
    return family_of(cast(Checkpoint, SimpleNamespace(config=config)), None).arch


@pytest.mark.parametrize("part", ["text_config", "llm_config"])
def test_a_text_part_with_a_name_of_its_own_decides(part: str) -> None:
    outer = {"architectures": ["InternVLChatModel"]}
    assert arch_of({**outer, part: {"architectures": ["Qwen2ForCausalLM"]}}) == "qwen2"
    assert arch_of({**outer, part: {"architectures": ["InternLM2ForCausalLM"]}}) == "internlm2"


def test_a_text_part_without_a_name_leaves_it_to_the_whole() -> None:
    config = {"architectures": ["LlavaForConditionalGeneration"], "text_config": {"vocab_size": 8}}
    assert arch_of(config) == "llama"


def test_what_thinks_is_the_text_part_of_what_speaks() -> None:
    config = {"thinker_config": {"text_config": {"hidden_size": 8}}, "hidden_size": 4}
    assert lift_text_part(config)["hidden_size"] == 8


def test_a_text_part_of_another_layout_is_not_taken_for_a_llama() -> None:
    hp = Hparams({"model_type": "qwen2", "num_attention_heads": 4}, {}, lambda name: None)
    with pytest.raises(UnsupportedError, match="qwen2") as refused:
        ARCHITECTURES["LlavaForConditionalGeneration"].rules(hp)
    assert refused.value.code == "unknown-text-part"
