"""Types of tensors: llama-quantize decided, on every kit model and file type."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from quantize.errors import UnsupportedError
from quantize.recipes import FTYPES, Choice, ModelFacts, Tensor, choose, file_type, plain
from quantize.recipes.fallback import fitting
from quantize.tensors import GGML_TYPES

Tensors = list[Tensor]
F32 = "F32"


def expectations(kit: Path) -> dict[str, dict[str, Any]]:
    paths = sorted((kit / "expected").glob("*.json"))
    return {path.stem: json.loads(path.read_text()) for path in paths}


def facts_of(expected: dict[str, Any], *, has_imatrix: bool = False) -> ModelFacts:
    def lasting(value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    values = {kv["key"]: lasting(kv.get("value")) for kv in expected["kv"]}
    arch = values["general.architecture"]
    return ModelFacts(
        arch=arch,
        block_count=values[f"{arch}.block_count"],
        head_count=values.get(f"{arch}.attention.head_count", 0),
        head_count_kv=values.get(f"{arch}.attention.head_count_kv"),
        expert_count=values.get(f"{arch}.expert_count", 0),
        has_imatrix=has_imatrix,
    )


def tensors_of(expected: dict[str, Any], *, bound: bool = False) -> Tensors:
    """As they are in the F32 file, from which llama-quantize made the others."""
    found = expected["tensors"]
    return [
        Tensor(
            name,
            tuple(found[name].get("ne_quantize", found[name]["ne"])[::-1]),
            found[name]["in"]["F32/convert"],
            bound,
        )
        for name in expected["order_quantize"]
    ]


def quantized(tensor: Tensor) -> bool:
    return GGML_TYPES[tensor.stored].block_size > 1


def test_every_tensor_of_every_kit_file_gets_the_type_that_llama_quantize_gave_it(
    kit: Path,
) -> None:
    n_files = 0
    for model, expected in expectations(kit).items():
        tensors = tensors_of(expected)
        for label in expected["files"]:
            ftype, route = label.split("/")
            if route == "convert":
                continue
            facts = facts_of(expected, has_imatrix=route == "imatrix")
            for tensor, choice in zip(tensors, choose(plain(ftype), facts, tensors), strict=True):
                wanted = expected["tensors"][tensor.name]["in"][label].split("@")[0]
                assert choice.type == wanted, f"{model} {label} {tensor.name}: {choice}"
            n_files += 1
    # 42 models with 18 to 20 files each, 3 of them with 13 more, and one file of gptoss.
    assert n_files == 42 * 18 + 9 + 4 + 3 * 13 + 1


def test_f32_keeps_every_tensor(kit: Path) -> None:
    for expected in expectations(kit).values():
        tensors = tensors_of(expected, bound=True)
        choices = choose(plain(F32), facts_of(expected), tensors)
        assert [choice.type for choice in choices] == [tensor.stored for tensor in tensors]


def test_what_llama_quantize_refuses_is_refused(kit: Path) -> None:
    refused = {
        (model, label): expected
        for model, expected in expectations(kit).items()
        for label in expected.get("refused", {})
    }
    assert refused
    for (_, label), expected in refused.items():
        with pytest.raises(UnsupportedError) as caught:
            choose(plain(label), facts_of(expected), tensors_of(expected))
        assert caught.value.code == "quantized-source"
        stored = {tensor.name: tensor for tensor in tensors_of(expected)}
        assert quantized(stored[str(caught.value.where)])


@pytest.mark.parametrize("label", ["F16", "BF16", "Q8_0", "Q4_K_M", "MXFP4_MOE"])
def test_a_checkpoint_keeps_the_types_that_it_is_quantized_in(kit: Path, label: str) -> None:
    """As llama.cpp's other route does, the converter."""
    expected = expectations(kit)["gptoss"]
    tensors = tensors_of(expected, bound=True)
    choices = choose(plain(label), facts_of(expected), tensors)
    kept = [c.type for t, c in zip(tensors, choices, strict=True) if quantized(t)]
    assert set(kept) == {"MXFP4"}


def test_the_ids_are_those_of_the_files(kit: Path) -> None:
    ids: dict[str, int] = {}
    for expected in expectations(kit).values():
        for label, made in expected["files"].items():
            for kv in made.get("kv_changed", ()):
                if kv["key"] == "general.file_type" and not label.endswith("/convert"):
                    assert ids.setdefault(label.split("/")[0], kv["value"]) == kv["value"]
    # llama.h has the others, enum llama_ftype.
    ids |= {F32: 0, "IQ2_XXS": 19, "IQ2_XS": 20, "IQ3_XS": 22, "IQ3_XXS": 23, "IQ1_S": 24}
    ids |= {"IQ3_S": 26, "IQ3_M": 27, "IQ2_S": 28, "IQ2_M": 29, "IQ1_M": 31}
    assert ids == {name: t.id for name, t in FTYPES.items()}


def llama(n_layers: int = 32, *, tied: bool = False, cols: int = 4096) -> Tensors:
    tensors = [Tensor("output_norm.weight", (cols,)), Tensor("token_embd.weight", (32000, cols))]
    if not tied:
        tensors.insert(0, Tensor("output.weight", (32000, cols)))
    for i in range(n_layers):
        tensors += [
            Tensor(f"blk.{i}.attn_k.weight", (1024, cols)),
            Tensor(f"blk.{i}.attn_v.weight", (1024, cols)),
            Tensor(f"blk.{i}.ffn_down.weight", (cols, 14336)),
        ]
    return tensors


def types_of(ftype: str, facts: ModelFacts, tensors: Tensors, part: str) -> list[str]:
    choices = choose(plain(ftype), facts, tensors)
    return [c.type for tensor, c in zip(tensors, choices, strict=True) if part in tensor.name]


LLAMA_8B = ModelFacts("llama", 32, 32, 8)


def test_q4_k_m_spends_more_on_the_outer_layers_and_every_third_between() -> None:
    """The rule as llama.cpp states it: first and last eighth, then every third."""
    expected = ["Q6_K" if i < 4 or i >= 28 or (i - 4) % 3 == 2 else "Q4_K" for i in range(32)]
    assert types_of("Q4_K_M", LLAMA_8B, llama(), "attn_v") == expected
    assert types_of("Q4_K_M", LLAMA_8B, llama(), "ffn_down") == expected


def test_a_70b_never_has_attn_v_below_five_bits() -> None:
    seventy = ModelFacts("llama", 80, 64, 8)
    assert set(types_of("Q4_K_M", seventy, llama(80), "attn_v")) == {"Q5_K", "Q6_K"}
    for ftype in ("Q2_K", "Q3_K_S", "Q3_K_M", "Q4_K_S"):
        assert set(types_of(ftype, seventy, llama(80), "attn_v")) == {"Q5_K"}
    # Llama 1 65B: as many layers, but every head has its own keys.
    sixty_five = ModelFacts("llama", 80, 64, 64)
    assert set(types_of("Q4_K_M", sixty_five, llama(80), "attn_v")) == {"Q4_K", "Q6_K"}
    assert ModelFacts("qwen2", 80, 64, 64).is_70b
    assert not ModelFacts("qwen2", 79, 64, 8).is_70b


def test_falcon_has_rules_of_its_own() -> None:
    falcon = ModelFacts("falcon", 32, 71, 1)
    tensors = llama()
    assert types_of("Q4_K_M", falcon, tensors, "output.weight") == ["Q8_0"]
    down = types_of("Q4_K_M", falcon, tensors, "ffn_down")
    assert down[:5] == ["Q6_K", "Q6_K", "Q5_K", "Q5_K", "Q4_K"]
    assert set(types_of("Q3_K_L", falcon, tensors, "ffn_down")) == {"Q4_K"}


def test_an_imatrix_changes_the_first_eighth_of_ffn_down() -> None:
    """llama-quant.cpp guards the first layers of old types with an imatrix, of IQ4 without."""
    with_imatrix = dataclasses.replace(LLAMA_8B, has_imatrix=True)
    for ftype, guarded, facts, other in (
        ("Q4_0", "Q4_1", with_imatrix, LLAMA_8B),
        ("Q5_0", "Q5_1", with_imatrix, LLAMA_8B),
        ("IQ4_XS", "Q5_K", LLAMA_8B, with_imatrix),
        ("IQ4_NL", "Q5_K", LLAMA_8B, with_imatrix),
    ):
        assert types_of(ftype, facts, llama(), "ffn_down") == [guarded] * 4 + [ftype] * 28
        assert types_of(ftype, other, llama(), "ffn_down") == [ftype] * 32


def test_a_tied_embedding_gets_the_type_of_an_output() -> None:
    assert types_of("Q4_K_M", LLAMA_8B, llama(tied=True), "token_embd") == ["Q6_K"]
    assert types_of("Q4_K_M", LLAMA_8B, llama(tied=False), "token_embd") == ["Q4_K"]


def test_head_counts_may_differ_by_layer_and_the_first_one_decides() -> None:
    assert ModelFacts("lfm2", 2, (32, 32), (0, 8)).heads_per_kv == 0
    assert ModelFacts("deci", 2, (32, 32), (8, 4)).heads_per_kv == 4
    assert ModelFacts("bert", 2, 12).heads_per_kv == 1


@pytest.mark.parametrize(
    ("wanted", "cols", "found"),
    [
        ("Q4_K", 512, "Q4_K"),
        ("Q4_K", 704, "Q5_0"),
        ("Q5_K", 704, "Q5_1"),
        ("Q6_K", 704, "Q8_0"),
        ("Q3_K", 704, "Q4_0"),
        ("Q2_K", 704, "Q4_0"),
        ("IQ4_XS", 704, "IQ4_NL"),
        ("TQ2_0", 704, "Q4_0"),
        ("Q8_0", 704, "Q8_0"),
        ("Q8_0", 33, "F16"),
        ("Q4_K", 33, "F16"),
        ("IQ4_NL", 33, "F16"),
    ],
)
def test_rows_that_do_not_divide_get_smaller_blocks_then_f16(
    wanted: str, cols: int, found: str
) -> None:
    kind, reason = fitting(wanted, cols)
    assert kind == found
    assert (reason is None) == (wanted == found)


def test_reasons_are_readable() -> None:
    tensors = [
        Tensor("output_norm.weight", (704,)),
        Tensor("token_embd.weight", (32000, 704)),
        Tensor("blk.0.attn_q.weight", (704, 512)),
        Tensor("blk.0.attn_q_norm.weight", (8, 64)),
        Tensor("blk.0.ffn_down.weight", (512, 704)),
        Tensor("blk.0.ffn_gate_inp.weight", (8, 512)),
    ]
    assert choose(plain("q4_k_m"), ModelFacts("qwen2", 8, 8, 8), tensors) == [
        Choice("F32", "F32: one dimension"),
        Choice("Q8_0", "Q4_K_M: tied output of odd row length"),
        Choice("Q4_K", "Q4_K_M: default"),
        Choice("F32", "F32: norm"),
        Choice(
            "Q8_0",
            "Q4_K_M: ffn_down in the first and last eighth of layers or every third; "
            "row of 704 is not a multiple of 256: Q6_K -> Q8_0",
        ),
        Choice("F32", "F32: expert router"),
    ]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Q4_K_M", "Q4_K_M"),
        ("q4_k_m", "Q4_K_M"),
        (" Q4-K-M ", "Q4_K_M"),
        ("Q4_K", "Q4_K_M"),
        ("q5_k", "Q5_K_M"),
        ("Q3_K", "Q3_K_M"),
        ("f16", "F16"),
        ("iq2_xxs", "IQ2_XXS"),
        ("0", "F32"),
        ("15", "Q4_K_M"),
    ],
)
def test_a_file_type_has_llama_quantizes_aliases_and_numbers_in_any_case(
    name: str, found: str
) -> None:
    assert file_type(name) is FTYPES[found]


def test_an_unknown_file_type_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(UnsupportedError) as caught:
        file_type("Q4_KM")
    assert caught.value.code == "unknown-type"
    assert caught.value.exit_code == 3
    assert "Q4_K_M" in (caught.value.reason or "")
    assert caught.value.hint == "`quantize types` lists them all"


def test_a_tensor_says_that_it_needs_an_imatrix() -> None:
    """llama-quant.cpp, tensor_requires_imatrix: neither the embedding nor the output does."""

    def needy(ftype: str, part: str) -> bool:
        pairs = zip(llama(), choose(plain(ftype), LLAMA_8B, llama()), strict=True)
        return any(choice.needs_imatrix for tensor, choice in pairs if part in tensor.name)

    assert needy("Q2_K_S", "ffn_down")
    assert not needy("Q2_K", "ffn_down")
    assert needy("IQ3_XS", "attn_k")
    assert not needy("IQ3_XS", "ffn_down")
    assert not any(needy("IQ3_M", part) for part in ("attn", "ffn", "output", "token"))
    assert not needy("IQ1_S", "token_embd")
    assert not needy("Q2_K_S", "token_embd")


def test_every_file_type_is_made_of_known_types() -> None:
    for ftype in FTYPES.values():
        for choice in choose(plain(ftype), ModelFacts("llama", 32, 32, 8), llama()):
            assert choice.type in GGML_TYPES
        assert ftype.default in GGML_TYPES
        assert ftype.description
    assert len({ftype.id for ftype in FTYPES.values()}) == len(FTYPES)
