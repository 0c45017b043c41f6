"""Types of a model's tensors as readable text, and ways to steer them.

What llama-quantize says is in tests/data/types/, written by scripts/make_type_goldens.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from quantize.recipes import FTYPES

_BLOCK = re.compile(r"blk\.(\d+)\.(.*)\.(\w+)")

# Name of a tensor -> its type.
Types = Mapping[str, str]


@dataclass(frozen=True)
class Case:
    """A file type with llama-quantize's options, made from a file of the type `source`."""

    type: str
    tensor_types: tuple[str, ...] = ()
    output: str | None = None
    embedding: str | None = None
    leave_output: bool = False
    pure: bool = False
    source: str = "F32"

    @property
    def text(self) -> str:
        """As `--type` takes it."""
        options = [f"tensor-type={one}" for one in self.tensor_types]
        options += [f"output-tensor-type={self.output}"] * (self.output is not None)
        options += [f"token-embedding-type={self.embedding}"] * (self.embedding is not None)
        options += ["leave-output-tensor"] * self.leave_output + ["pure"] * self.pure
        options += ["allow-requantize"] * (self.source != "F32")
        return ",".join([self.type, *options])


STEERED_MODELS = (
    "llama31-bpe", "smollm2-tied", "mixtral-8x", "gemma4", "falcon-mq", "qwen3next",
)  # fmt: skip

DIGESTED_MODEL = "smollm2-tied"

CASES = (
    Case("Q4_K_M", pure=True),
    Case("Q4_K_M", leave_output=True),
    Case("Q4_K_M", output="Q8_0"),
    Case("Q4_K_M", embedding="q8_0"),
    Case("Q4_K_M", output="bf16", embedding="Q5_1"),
    Case("Q4_K_M", output="Q5_0", pure=True),
    Case("Q4_K_M", output="Q5_0", leave_output=True),
    Case("F16", output="Q8_0", embedding="Q8_0", tensor_types=("attn_v=Q8_0",)),
    Case("Q4_K_M", tensor_types=("ATTN_V=q8_0",)),
    Case("Q4_K_M", tensor_types=(r"blk\.[0-1]\.=q5_k", r"\.\d\.ffn_down=IQ4_XS", "ffn=q3_K")),
    Case("Q4_K_M", tensor_types=("ffn_(up|gate)=f16", "norm=q8_0", "^(output|token_embd)=q2_k")),
    Case("Q3_K_M", tensor_types=(r"blk\.0\.attn_v=q6_k", r"blk\.0\.ffn_down=q6_k")),
    Case("Q5_K_M", tensor_types=("token_embd=q4_0",), embedding="Q8_0"),
    Case("Q4_K_M", tensor_types=("weight=mxfp4",)),
    Case("Q6_K", tensor_types=("weight$=iq1_s",)),
    Case(
        "Q4_K_S",
        tensor_types=(
            r"blk\.\d{1,2}\.attn_(?!k|v)\w+\.weight=q8_0",
            r"^blk.*?[13]\.ffn_(?:up|down)\b=q5_0",
            r"(f)\1n_[^a-f]|(?:attn_){1}[k-v]\W=bf16",
            r"\x6futput|t+oke?n_.+$=q6_k",
        ),
    ),
    Case("MXFP4_MOE", pure=True),
    Case("MXFP4_MOE", output="Q5_1", tensor_types=("attn_(q|k)=bf16",)),
    Case("Q4_K_M", source="Q8_0"),
    Case("F16", source="Q8_0"),
    Case("Q6_K", source="Q2_K"),
    Case("BF16", source="Q5_K_S", tensor_types=("ffn=q8_0",)),
    Case("Q5_1", source="IQ4_XS"),
    Case("Q8_0", source="TQ1_0", pure=True),
    Case("Q8_0", source="Q8_0"),
    Case("Q4_K_M", source="Q4_K_M"),
    Case("Q5_K_M", source="F16", leave_output=True),
    Case("Q3_K_S", source="Q4_K_M", leave_output=True, tensor_types=("ffn=q4_k",)),
)


def text_of(sections: Mapping[str, Types]) -> str:
    """A section for each heading; what has the same type in all of them comes first."""
    first, *others = sections.values()
    shared = {name: type for name, type in first.items() if all(o[name] == type for o in others)}
    text = f"[every type]\n{lines_of(shared)}"
    for heading, types in sections.items():
        own = {name: type for name, type in types.items() if name not in shared}
        text += f"[{heading}]\n{lines_of(own)}"
    return text


def all_types(types_of: Callable[[str, bool], Types]) -> str:
    """The text of all file types, from `types_of(file type, whether there is an imatrix)`."""
    sections: dict[str, Types] = {}
    for ftype in FTYPES:
        without, with_it = (types_of(ftype, imatrix) for imatrix in (False, True))
        if without == with_it:
            sections[ftype] = without
        else:
            sections[f"{ftype} without imatrix"] = without
            sections[f"{ftype} with imatrix"] = with_it
    return text_of(sections)


def lines_of(types: Types) -> str:
    """A line for each type: `Q6_K output.weight blk.{0,3}.{attn_v,ffn_down}.weight`."""
    layers: dict[tuple[str, str, str], list[int]] = {}
    lines: dict[str, list[str]] = {}
    for name, type in types.items():
        lines.setdefault(type, [])
        if block := _BLOCK.fullmatch(name):
            layers.setdefault((type, block[2], block[3]), []).append(int(block[1]))
        else:
            lines[type].append(name)
    kinds: dict[tuple[str, str, str], list[str]] = {}
    for (type, kind, ending), numbers in layers.items():
        kinds.setdefault((type, _ranges(numbers), ending), []).append(kind)
    for (type, blocks, ending), names in kinds.items():
        inner = names[0] if len(names) == 1 else "{" + ",".join(sorted(names)) + "}"
        lines[type].append(f"blk.{{{blocks}}}.{inner}.{ending}")
    return "".join(f"{type:7} {' '.join(sorted(lines[type]))}\n" for type in sorted(lines))


def _ranges(numbers: list[int]) -> str:
    """[0, 1, 2, 5] -> "0-2,5"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
