"""Changes of the kit's models, as options of the command line.

tests/data/edits.txt has what llama-quantize makes of them, by scripts/make_edit_goldens.py.
"""

from __future__ import annotations

# Model of the kit -> options. It is given to llama-quantize as an F32 file.
CASES: tuple[tuple[str, str], ...] = (
    ("llama31-bpe", "--type Q4_K_M --override-kv llama.rope.freq_base=float:12345.678"),
    (
        "llama31-bpe",
        (
            "--type Q8_0 --override-kv tokenizer.ggml.add_bos_token=bool:false "
            "--override-kv general.name=str:Ünï=code:d --override-kv llama.context_length=int:4096 "
            "--override-kv my.own=int:4294967295 --override-kv general.file_type=int:1"
        ),
    ),
    # The mixes know the number of blocks of the model as it is overridden.
    ("qwen2-tied", "--type Q4_K_M --override-kv qwen2.block_count=int:80"),
    ("mixtral-8x", "--type Q3_K_M --override-kv llama.expert_count=int:2"),
    ("llama31-bpe", "--type Q4_K_M --prune-layers 0"),
    ("llama31-bpe", "--type Q3_K_L --prune-layers 2,1,2"),
    ("qwen2-tied", "--type Q4_K_M --prune-layers 1"),
    ("mixtral-8x", "--type Q2_K --prune-layers 0 --override-kv llama.expert_used_count=int:1"),
    ("mixtral-8x", "--type Q4_K_M --imatrix --prune-layers 0"),
    ("llama31-bpe", "--type IQ3_M --imatrix --prune-layers 1,3"),
    ("llama31-bpe", "--type Q4_K_M --imatrix --exclude-weights ffn_down --exclude-weights .0."),
    ("llama31-bpe", "--type Q3_K_M --imatrix --include-weights attn_ --include-weights blk.1"),
    (
        "qwen2-tied",
        (
            "--type Q5_K_M --imatrix --exclude-weights attn_q.weight --prune-layers 0 "
            "--override-kv quantize.imatrix.dataset=str:mine"
        ),
    ),
)
