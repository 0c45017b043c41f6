"""Types of tensors: llama-quantize decided, on every kit model and file type."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from quantize.errors import UnsupportedError, UsageError
from quantize.recipes import FTYPES, Choice, ModelFacts, choose, file_type
from quantize.recipes.fallback import fitting
from quantize.tensors import GGML_TYPES, Shape
from tests.recipe_models import RECIPE_MODELS, render

Tensors = list[tuple[str, Shape]]
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


def tensors_of(expected: dict[str, Any]) -> Tensors:
    found = expected["tensors"]
    shapes = {name: tuple(t.get("ne_quantize", t["ne"])[::-1]) for name, t in found.items()}
    return [(name, shapes[name]) for name in expected["order_quantize"]]


def stored_quantized(expected: dict[str, Any]) -> dict[str, str]:
    return {
        name: tensor["in"]["F32/convert"]
        for name, tensor in expected["tensors"].items()
        if GGML_TYPES[tensor["in"]["F32/convert"]].block_size > 1
    }


def test_every_tensor_of_every_kit_file_gets_the_type_that_llama_quantize_gave_it(
    kit: Path,
) -> None:
    n_files = 0
    for model, expected in expectations(kit).items():
        tensors = tensors_of(expected)
        stored = stored_quantized(expected)
        for label in expected["files"]:
            ftype, route = label.split("/")
            if route == "convert":
                continue
            choices = choose(
                ftype, facts_of(expected, has_imatrix=route == "imatrix"), tensors, stored
            )
            for (name, _), choice in zip(tensors, choices, strict=True):
                wanted = expected["tensors"][name]["in"][label].split("@")[0]
                assert choice.type == wanted, f"{model} {label} {name}: {choice}"
            n_files += 1
    # 42 models with 18 to 20 files each, 3 of them with 13 more, and one file of gptoss.
    assert n_files == 42 * 18 + 9 + 4 + 3 * 13 + 1


@pytest.mark.parametrize("name", RECIPE_MODELS)
def test_large_models_get_the_types_that_llama_cpp_gives_them(name: str) -> None:
    model = RECIPE_MODELS[name]
    golden = Path(__file__).parent / "data" / "recipes" / f"{name}.txt"
    found = ""
    for ftype in FTYPES.values():
        facts = dataclasses.replace(model.facts, has_imatrix=ftype.needs_imatrix)
        choices = choose(ftype.name, facts, model.tensors())
        found += f"[{ftype.name}]\n{render(model.tensors(), [c.type for c in choices])}"
    assert found == golden.read_text()


def test_every_golden_has_its_model() -> None:
    folder = Path(__file__).parent / "data" / "recipes"
    assert {path.stem for path in folder.iterdir()} == set(RECIPE_MODELS)


def test_f32_keeps_every_tensor(kit: Path) -> None:
    for expected in expectations(kit).values():
        stored = stored_quantized(expected)
        for name_shape, choice in zip(
            tensors_of(expected),
            choose(F32, facts_of(expected), tensors_of(expected), stored),
            strict=True,
        ):
            assert choice.type == stored.get(name_shape[0], F32)


def test_what_llama_quantize_refuses_is_refused(kit: Path) -> None:
    refused = {
        (model, label): expected
        for model, expected in expectations(kit).items()
        for label in expected.get("refused", {})
    }
    assert refused
    for (model, label), expected in refused.items():
        stored = stored_quantized(expected)
        if label in {"F16", "BF16", "Q8_0"}:
            # The other route of llama.cpp, the converter, makes these and keeps what is stored.
            choices = choose(label, facts_of(expected), tensors_of(expected), stored)
            kept = {
                name: choice.type
                for (name, _), choice in zip(tensors_of(expected), choices, strict=True)
                if name in stored
            }
            assert kept == stored, model
            continue
        with pytest.raises(UnsupportedError) as caught:
            choose(label, facts_of(expected), tensors_of(expected), stored)
        assert caught.value.reference == "requantize"
        assert caught.value.where in stored


def test_the_ids_are_those_of_the_files(kit: Path) -> None:
    ids: dict[str, int] = {}
    for expected in expectations(kit).values():
        for label, made in expected["files"].items():
            for kv in made.get("kv_changed", ()):
                if kv["key"] == "general.file_type" and not label.endswith("/convert"):
                    assert ids.setdefault(label.split("/")[0], kv["value"]) == kv["value"]
    assert ids == {name: t.id for name, t in FTYPES.items() if name != F32}
    assert FTYPES[F32].id == 0


def llama(n_layers: int = 32, *, tied: bool = False, cols: int = 4096) -> Tensors:
    tensors: Tensors = [("output_norm.weight", (cols,)), ("token_embd.weight", (32000, cols))]
    if not tied:
        tensors.insert(0, ("output.weight", (32000, cols)))
    for i in range(n_layers):
        tensors += [
            (f"blk.{i}.attn_k.weight", (1024, cols)),
            (f"blk.{i}.attn_v.weight", (1024, cols)),
            (f"blk.{i}.ffn_down.weight", (cols, 14336)),
        ]
    return tensors


def types_of(ftype: str, facts: ModelFacts, tensors: Tensors, part: str) -> list[str]:
    choices = choose(ftype, facts, tensors)
    return [c.type for (name, _), c in zip(tensors, choices, strict=True) if part in name]


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
    tensors: Tensors = [
        ("output_norm.weight", (704,)),
        ("token_embd.weight", (32000, 704)),
        ("blk.0.attn_q.weight", (704, 512)),
        ("blk.0.attn_q_norm.weight", (8, 64)),
        ("blk.0.ffn_down.weight", (512, 704)),
        ("blk.0.ffn_gate_inp.weight", (8, 512)),
    ]
    assert choose("q4_k_m", ModelFacts("qwen2", 8, 8, 8), tensors) == [
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
    ],
)
def test_a_file_type_has_llama_quantizes_aliases_in_any_case(name: str, found: str) -> None:
    assert file_type(name) is FTYPES[found]


def test_an_unknown_file_type_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(UnsupportedError) as caught:
        file_type("Q4_KM")
    assert caught.value.reference == "unknown-type"
    assert caught.value.exit_code == 3
    assert "Q4_K_M" in (caught.value.reason or "")
    with pytest.raises(UnsupportedError) as caught:
        choose("int4", LLAMA_8B, [])
    assert caught.value.hint == "`quantize types` lists them all"


def test_a_type_that_needs_an_imatrix_is_refused_without_one() -> None:
    with pytest.raises(UsageError) as caught:
        choose("Q2_K_S", LLAMA_8B, llama())
    assert caught.value.reference == "needs-imatrix"


def test_every_file_type_is_made_of_known_types() -> None:
    for ftype in FTYPES.values():
        facts = ModelFacts("llama", 32, 32, 8, has_imatrix=ftype.needs_imatrix)
        for choice in choose(ftype.name, facts, llama()):
            assert choice.type in GGML_TYPES
        assert ftype.default in GGML_TYPES
        assert ftype.description
    assert len({ftype.id for ftype in FTYPES.values()}) == len(FTYPES)
