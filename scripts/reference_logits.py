#!/usr/bin/env python3
"""Compute what transformers makes of checkpoints in float32 on the CPU, for tests/oracle.

    python scripts/reference_logits.py OUTPUT CHECKPOINT ...

OUTPUT/NAME.npz has the text (`ids`), and `log_probabilities` (positions, vocabulary) of each next
token, or `vectors` (positions, hidden) of the last layer where the model names no next token;
`notes` says where transformers was told to do as llama.cpp does. OUTPUT/NAME.txt says why there is
nothing. NAME is the checkpoint's folder. Nothing is downloaded.

Runs in an environment with tests/oracle/requirements.txt, without this package: transformers 4
wants a huggingface_hub older than ours.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# Different tokens of every vocabulary in tests/data. None has an embedding of zeros in Gemma 3n's
# checkpoint: llama.cpp divides by its length there, transformers by a little more.
IDS = [20 + 41 * place % 900 for place in range(1, 25)]

OWN_HEAD = "the file has a head of its own, which config.json tells transformers to ignore"
UNREAD = "llama.cpp's qwen2vl does not read the epsilon of its norms and takes 0"

GENERATORS = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")

# Where llama.cpp and transformers read one checkpoint differently, and no key-value can tell
# llama.cpp otherwise: why, and what transformers' config is given so that the rest is compared.
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "falcon-mq": (OWN_HEAD, {"tie_word_embeddings": False}),
    "qwen3-tied": (OWN_HEAD, {"tie_word_embeddings": False}),
    "exaone4": (
        "llama.cpp looks for layers without RoPE only in the model of 64 layers",
        {"sliding_window": None, "layer_types": ["full_attention"] * 4},
    ),
    "falcon-mamba": (
        "llama.cpp has one epsilon for the norms before and inside the mixer",
        {"mixer_rms_eps": 1e-5},
    ),
    "glm": (
        "llama.cpp's converter reads the epsilon of ChatGLM, which has another name",
        {"rms_norm_eps": 1e-5},
    ),
    "qwen2-vl": (UNREAD, {"rms_norm_eps": 0.0}),
    "qwen2-vl-bare": (UNREAD, {"rms_norm_eps": 0.0}),
    "qwen25-vl": (UNREAD, {"rms_norm_eps": 0.0}),
    "gemma3n": (
        "llama.cpp has the real models' numbers: 10 sparse layers, 20 with keys of their own",
        {"activation_sparsity_pattern": [0.95] * 4, "num_kv_shared_layers": 0},
    ),
    "bamba": (
        "without attn_rotary_emb, which real configs have, llama.cpp rotates whole heads",
        {"partial_rotary_factor": 1.0},
    ),
}


def scale_attention(model: Any) -> None:
    """The softmax scale of YaRN, which DeepSeek's own code has and transformers' V2 lacks.

    As in V3's class: (0.1 * mscale_all_dim * ln(factor) + 1) squared.
    """
    rope = model.config.rope_scaling
    scale = 0.1 * rope["mscale_all_dim"] * math.log(rope["factor"]) + 1
    for layer in model.model.layers:
        layer.self_attn.scaling *= scale**2


def group_norms(model: Any) -> None:
    """The gated norm of each group of channels by itself, as mamba_ssm has it, not of all."""
    silu = importlib.import_module("torch").nn.functional.silu
    for module in model.modules():
        norm: Any = getattr(module, "norm", None)
        if type(norm).__name__.endswith("RMSNormGated"):
            norm.forward = _grouped(norm, module.n_groups, silu)


def _grouped(norm: Any, groups: int, silu: Any) -> Callable[[Any, Any], Any]:
    def forward(hidden: Any, gate: Any) -> Any:
        parts = (hidden * silu(gate)).unflatten(-1, (groups, -1))
        variance = parts.square().mean(-1, keepdim=True)
        return norm.weight * (parts * (variance + norm.variance_epsilon).rsqrt()).flatten(-2)

    return forward


# The same for what no config can say, by model_type.
ONE_NORM = (
    "transformers norms all groups of channels at once, llama.cpp and mamba_ssm each by itself"
)
NO_SCALE = (
    "transformers' DeepSeek V2 leaves out YaRN's softmax scale, which DeepSeek's own code has"
)
PATCHES: dict[str, tuple[str, Callable[[Any], None]]] = {
    "bamba": (ONE_NORM, group_norms),
    "deepseek_v2": (NO_SCALE, scale_attention),
    "mamba2": (ONE_NORM, group_norms),
}


def main() -> None:
    os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    importlib.import_module("torch").set_num_threads(1)  # the models are small
    importlib.import_module("transformers").logging.set_verbosity_error()
    output = Path(sys.argv[1])
    for folder in map(Path, sys.argv[2:]):
        try:
            np.savez(output / f"{folder.name}.npz", **compute(folder))
        except Exception as error:  # noqa: BLE001 - whatever foreign code raises is the answer
            (output / f"{folder.name}.txt").write_text(f"{type(error).__name__}: {error}", "utf-8")


def compute(folder: Path) -> dict[str, Any]:
    torch = importlib.import_module("torch")
    model, notes = load(folder, torch.float32)
    ids = torch.tensor([IDS])
    facts = {"ids": IDS, "notes": np.array(notes, dtype=np.str_)}
    with torch.no_grad():
        if not type(model).__name__.endswith(GENERATORS):
            return {**facts, "vectors": model.base_model(ids).last_hidden_state[0].numpy()}
        logits = model(ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0]
        return {**facts, "log_probabilities": torch.log_softmax(logits.double(), -1).numpy()}


def load(folder: Path, dtype: Any) -> tuple[Any, list[str]]:
    """The model, and why it is not read just as transformers reads it."""
    transformers = importlib.import_module("transformers")
    name = json.loads((folder / "config.json").read_text("utf-8"))["architectures"][0]
    # An alias of an architecture is not a class; the config's own type then finds the model.
    model_class = getattr(transformers, name, transformers.AutoModelForCausalLM)
    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    notes = []
    if folder.name in CONFIGS:
        reason, values = CONFIGS[folder.name]
        notes.append(reason)
        for key, value in values.items():
            setattr(config.get_text_config(), key, value)
    more: dict[str, Any] = {}
    if config.model_type == "gpt_oss":
        more["quantization_config"] = transformers.Mxfp4Config(dequantize=True)
    model, found = model_class.from_pretrained(
        folder,
        config=config,
        dtype=dtype,
        attn_implementation="eager",
        output_loading_info=True,
        **more,
    )
    if found["missing_keys"] or found["mismatched_keys"]:
        raise ValueError(f"{type(model).__name__} wants other tensors: {found}")
    if config.model_type in PATCHES:
        reason, patch = PATCHES[config.model_type]
        notes.append(reason)
        patch(model)
    return model.to(dtype).eval(), notes


if __name__ == "__main__":
    main()
