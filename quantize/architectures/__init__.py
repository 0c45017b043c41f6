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
        "Olmo3ForCausalLM": "quantize.architectures.olmo2:OLMO3",
        "OlmoeForCausalLM": "quantize.architectures.olmoe:OLMOE",
        "StableLmForCausalLM": "quantize.architectures.stablelm:STABLELM",
        "Starcoder2ForCausalLM": "quantize.architectures.starcoder2:STARCODER2",
        "GPT2LMHeadModel": "quantize.architectures.gpt2:GPT2",
        "GPTNeoXForCausalLM": "quantize.architectures.gptneox:GPTNEOX",
        "FalconForCausalLM": "quantize.architectures.falcon:FALCON",
        "NemotronForCausalLM": "quantize.architectures.nemotron:NEMOTRON",
        "Glm4ForCausalLM": "quantize.architectures.glm4:GLM4",
        "Glm4MoeForCausalLM": "quantize.architectures.glm4_moe:GLM4_MOE",
        "Exaone4ForCausalLM": "quantize.architectures.exaone4:EXAONE4",
        "Ernie4_5ForCausalLM": "quantize.architectures.ernie4_5:ERNIE4_5",
        "Ernie4_5_ForCausalLM": "quantize.architectures.ernie4_5:ERNIE4_5",
        "Lfm2ForCausalLM": "quantize.architectures.lfm2:LFM2",
        "LFM2ForCausalLM": "quantize.architectures.lfm2:LFM2",
        "MambaForCausalLM": "quantize.architectures.mamba:MAMBA",
        "FalconMambaForCausalLM": "quantize.architectures.mamba:MAMBA",
        "DeepseekV2ForCausalLM": "quantize.architectures.deepseek2:DEEPSEEK2",
        "DeepseekV3ForCausalLM": "quantize.architectures.deepseek2:DEEPSEEK2",
        "GptOssForCausalLM": "quantize.architectures.gpt_oss:GPT_OSS",
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
        "Phi3ForCausalLM": "quantize.architectures.phi3:PHI3",
        "Phi4ForCausalLMV": "quantize.architectures.phi3:PHI3",
        "PhiForCausalLM": "quantize.architectures.phi2:PHI2",
        "BertModel": "quantize.architectures.bert:BERT",
        "BertForMaskedLM": "quantize.architectures.bert:BERT",
        "BertForSequenceClassification": "quantize.architectures.bert:BERT",
        "RobertaModel": "quantize.architectures.bert:ROBERTA",
        "RobertaForSequenceClassification": "quantize.architectures.bert:ROBERTA",
        "XLMRobertaModel": "quantize.architectures.bert:XLM_ROBERTA",
        "XLMRobertaForSequenceClassification": "quantize.architectures.bert:XLM_ROBERTA",
        "Qwen2MoeForCausalLM": "quantize.architectures.qwen_moe:QWEN2_MOE",
        "Qwen3MoeForCausalLM": "quantize.architectures.qwen_moe:QWEN3_MOE",
        "Qwen3NextForCausalLM": "quantize.architectures.qwen3next:QWEN3_NEXT",
        "Gemma4ForCausalLM": "quantize.architectures.gemma4:GEMMA4",
        "Gemma4ForConditionalGeneration": "quantize.architectures.gemma4:GEMMA4",
        "NomicBertModel": "quantize.architectures.nomic_bert:NOMIC_BERT",
    },
)
