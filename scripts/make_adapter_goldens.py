"""Make tests/data/adapters/tinyrust-lora: an adapter, and what peft says with it.

    python scripts/make_adapter_goldens.py PATH/TO/tinyrust

needs torch, transformers and peft. The folder's expected.json has token ids of prompts and of the
32 tokens that transformers chooses greedily with peft's adapter in float32, and how far ahead of
the second each of them was: where that is hardly anything, another order of sums may choose the
other. The GGUF files beside it are made from the adapters of the conformance kit by llama.cpp:

    python convert_lora_to_gguf.py --base lora-base --outfile NAME.gguf NAME  # --outtype f16
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

# Of an environment that nothing else here needs.
torch: Any = importlib.import_module("torch")
peft: Any = importlib.import_module("peft")
transformers: Any = importlib.import_module("transformers")
tokenizers: Any = importlib.import_module("tokenizers")

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "adapters" / "tinyrust-lora"
PROMPTS = ("A closure is", "In Rust, a variable", "The compiler will")
TOKENS = 32
# Large enough that the text changes.
STRENGTH = 0.15


def main() -> int:
    source = sys.argv[1]
    tokenizer = tokenizers.Tokenizer.from_file(f"{source}/tokenizer.json")
    model = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    settings = peft.LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=["q_proj", "v_proj", "down_proj"],
        layers_to_transform=[1, 4, 6],
        task_type="CAUSAL_LM",
    )
    adapted = peft.get_peft_model(model, settings)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_" in name:
                weight.copy_(STRENGTH * torch.randn(weight.shape, generator=generator))
    adapted.eval()
    adapted.save_pretrained(OUT)
    (OUT / "README.md").unlink(missing_ok=True)
    config = json.loads((OUT / "adapter_config.json").read_text("utf-8"))
    config["base_model_name_or_path"] = "tinyrust"  # not where it happens to lie
    (OUT / "adapter_config.json").write_text(json.dumps(config, indent=1) + "\n", "utf-8")

    entries = []
    for prompt in PROMPTS:
        ids = tokenizer.encode(prompt).ids
        chosen, margins = list(ids), []
        for _ in range(TOKENS):
            with torch.no_grad():
                logits = adapted(torch.tensor([chosen])).logits[0, -1]
            best = torch.topk(logits, 2)
            margins.append(round(float(best.values[0] - best.values[1]), 4))
            chosen.append(int(best.indices[0]))
        with adapted.disable_adapter(), torch.no_grad():
            plain = adapted.generate(
                torch.tensor([ids]), max_new_tokens=TOKENS, do_sample=False, pad_token_id=0
            )
        assert plain[0].tolist() != chosen, "the adapter changes nothing"
        tokens = chosen[len(ids) :]
        text = tokenizer.decode(tokens, skip_special_tokens=False)
        entries.append({"prompt": ids, "tokens": tokens, "text": text, "margins": margins})
    (OUT / "expected.json").write_text(json.dumps(entries, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
