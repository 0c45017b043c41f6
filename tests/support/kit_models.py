"""The kit's models, whose architectures all have to be registered."""

from __future__ import annotations

# Models whose file is right by default and llama.cpp's with --strict-parity (docs/deviations.md).
DEVIATING = (
    "bert-classifier", "deci", "gemma4", "gemma4-mm", "gemma4-unified",
    "llama-sharded-mixed",
    "xlm-roberta-classifier", "xlmr", "xverse",
)  # fmt: skip

MODELS = (
    "bert", "command-r", "deepseek2-8x", "deepseek3", "ernie4_5", "exaone4", "falcon-mq", "gemma",
    "gemma2", "gemma3-mm", "gemma3-text", "gemma4", "glm4", "glm4moe", "gpt2", "gptneox", "gptoss",
    "granite", "granitemoe", "lfm2", "llama-sharded-mixed", "llama2-spm", "llama31-bpe", "mamba",
    "mistral-spm", "mixtral-8x", "nemotron", "nomic-bert", "olmo2", "olmoe", "phi2",
    "phi3-longrope", "qwen2-tied", "qwen2-yarn", "qwen2moe-8x", "qwen3-tied", "qwen3moe",
    "qwen3next", "smollm2-tied", "smollm3", "stablelm2", "starcoder2", "xlmr",
)  # fmt: skip
