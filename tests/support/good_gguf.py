"""A small GGUF file and a Modelfile that Ollama takes gladly, for tests to damage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from quantize.formats.gguf import ALIGNMENT_KEY, TensorEntry, encode_header
from quantize.formats.kv import KV, array, boolean, f32, string, u32
from quantize.tensors import tensor_nbytes

CHAT = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
CHAT += "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
CHAT += "{#- " + "A comment keeps Ollama from taking it for a template that it knows. " * 3 + "#}"
TOKENS = ["<s>", "</s>", "a", "<|im_start|>", "<|im_end|>"]
TYPES = [3, 3, 1, 3, 3]
COLS = 256

GOOD = {
    kv.key: kv
    for kv in (
        string("general.architecture", "llama"),
        u32("general.file_type", 7),
        u32("general.quantization_version", 2),
        u32("llama.block_count", 1),
        u32("llama.context_length", 128),
        u32("llama.embedding_length", COLS),
        u32("llama.feed_forward_length", 1),
        # Heads of one column: other tensors than the embeddings have one row.
        u32("llama.attention.head_count", COLS),
        u32("llama.attention.head_count_kv", 1),
        f32("llama.rope.freq_base", 10000.0),
        f32("llama.attention.layer_norm_rms_epsilon", 1e-5),
        string("tokenizer.ggml.model", "gpt2"),
        string("tokenizer.ggml.pre", "llama-bpe"),
        array("tokenizer.ggml.tokens", "STRING", TOKENS),
        array("tokenizer.ggml.token_type", "INT32", TYPES),
        array("tokenizer.ggml.merges", "STRING", ["a a"]),
        u32("tokenizer.ggml.bos_token_id", 0),
        u32("tokenizer.ggml.eos_token_id", 4),
        boolean("tokenizer.ggml.add_bos_token", value=True),
        string("tokenizer.chat_template", CHAT),
    )
}
GOOD_MODELFILE = 'FROM ./m.gguf\nPARAMETER stop "<|im_end|>"\n'
TENSORS = {
    "token_embd.weight": "Q8_0",
    "output_norm.weight": "F32",
    **{f"blk.0.attn_{name}.weight": "Q8_0" for name in ("q", "k", "v", "output")},
    **{f"blk.0.ffn_{name}.weight": "Q8_0" for name in ("up", "down", "gate")},
    **{f"blk.0.{name}_norm.weight": "F32" for name in ("attn", "ffn")},
}


def write_gguf(path: Path, kvs: Mapping[str, KV], tensors: Mapping[str, str | None]) -> Path:
    """A file with a row of zeros for each token in the embeddings, and one in other tensors."""
    alignment = kvs[ALIGNMENT_KEY].value if ALIGNMENT_KEY in kvs else 32
    entries, end = [], 0
    for name, kind in tensors.items():
        if kind is not None:
            shape = (len(TOKENS) if name == "token_embd.weight" else 1, COLS)
            entries.append(TensorEntry(name, shape, kind, end))
            end += -(-tensor_nbytes(kind, shape) // alignment) * alignment
    path.write_bytes(encode_header(list(kvs.values()), entries) + bytes(end))
    return path
