"""Model families as data: hparams to key-values, source tensors to GGUF tensors.

The table's keys are what config.json names in "architectures". A family is one file and its rows
here.
"""

from __future__ import annotations

from quantize.architectures.family import Family
from quantize.registry import Registry

ARCHITECTURES: Registry[Family] = Registry(
    "architecture",
    {
        "LlamaForCausalLM": "quantize.architectures.llama:LLAMA",
        "LLaMAForCausalLM": "quantize.architectures.llama:LLAMA",
        "MistralForCausalLM": "quantize.architectures.llama:LLAMA",
        "MixtralForCausalLM": "quantize.architectures.llama:LLAMA",
        "SmolLM3ForCausalLM": "quantize.architectures.smollm3:SMOLLM3",
        "CohereForCausalLM": "quantize.architectures.command_r:COMMAND_R",
        "GraniteForCausalLM": "quantize.architectures.granite:GRANITE",
        "GraniteMoeForCausalLM": "quantize.architectures.granite:GRANITE_MOE",
        "GraniteMoeSharedForCausalLM": "quantize.architectures.granite:GRANITE_MOE",
        "Olmo2ForCausalLM": "quantize.architectures.olmo2:OLMO2",
        "Olmo3ForCausalLM": "quantize.architectures.olmo2:OLMO2",
        "OlmoeForCausalLM": "quantize.architectures.olmoe:OLMOE",
        "Qwen2ForCausalLM": "quantize.architectures.qwen2:QWEN2",
        "Qwen2Model": "quantize.architectures.qwen2:QWEN2",
        "Qwen2AudioForConditionalGeneration": "quantize.architectures.qwen2:QWEN2",
        "Qwen3ForCausalLM": "quantize.architectures.qwen3:QWEN3",
        "Qwen3Model": "quantize.architectures.qwen3:QWEN3",
        "GemmaForCausalLM": "quantize.architectures.gemma:GEMMA",
        "Gemma2ForCausalLM": "quantize.architectures.gemma:GEMMA2",
        "Gemma3ForCausalLM": "quantize.architectures.gemma3:GEMMA3",
        "Gemma3ForConditionalGeneration": "quantize.architectures.gemma3:GEMMA3",
        "Gemma3TextModel": "quantize.architectures.gemma3:GEMMA_EMBEDDING",
    },
)
