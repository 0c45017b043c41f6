"""What a person says over the mixes: the plan is the witness, and mistakes end early."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from quantize import api
from quantize.errors import QuantizeError, UnsupportedError, UsageError
from quantize.formats.kv import KeyValues
from quantize.planning.model import Model, OutputTensor
from quantize.planning.planner import refusal
from quantize.recipes import Choice, Recipe, plain
from quantize.recipes.manifest_recipe import recipe_of, record_of
from quantize.recipes.patterns import compiled
from quantize.recipes.steering import parse_rule, parse_rules, steering, tensor_type
from quantize.recipes.type_option import parse_type
from quantize.verbs.common.wanted import wanted
from quantize.verbs.verify import verify
from tests.support.cli_runner import Cli
from tests.support.paths import DATA

Folder = Callable[[str], Path]


@pytest.fixture
def tied(checkpoint: Folder) -> str:
    return str(checkpoint("smollm2-tied"))


def shown(cli: Cli, source: str, *arguments: str) -> dict[str, tuple[str, str]]:
    """Name of a tensor -> its type and the reason, as `quantize plan --json` says it."""
    tensors = cli("plan", source, "-t", "Q4_K_M", "--json", *arguments).event("plan")["tensors"]
    return {tensor["name"]: (tensor["type"], tensor["reason"]) for tensor in tensors}


def refused(source: str, *types: str, **options: Any) -> QuantizeError:
    with pytest.raises(QuantizeError) as caught:
        api.plan(source, api.Options(types=types, **options))
    return caught.value


def test_the_plan_shows_each_option_with_its_reason(cli: Cli, llama: str, tied: str) -> None:
    plan = shown(cli, llama, "--tensor-type", "FFN_up=q8_0", "--tensor-type", "ffn=Q5_K")
    assert plan["blk.1.ffn_up.weight"] == ("Q8_0", "--tensor-type FFN_up=q8_0")
    assert plan["blk.1.ffn_gate.weight"] == ("Q5_K", "--tensor-type ffn=Q5_K")
    assert plan["blk.1.ffn_norm.weight"] == ("F32", "F32: one dimension")
    plan = shown(cli, llama, "--output-tensor-type", "bf16", "--token-embedding-type", "q5_1")
    assert plan["output.weight"] == ("BF16", "--output-tensor-type BF16")
    assert plan["token_embd.weight"] == ("Q5_1", "--token-embedding-type Q5_1")
    plan = shown(cli, llama, "--leave-output-tensor")
    assert plan["output.weight"] == ("F32", "F32: --leave-output-tensor")
    plan = shown(cli, llama, "--pure")
    assert plan["output.weight"] == ("Q4_K", "Q4_K_M: pure")
    plan = shown(cli, tied, "--output-tensor-type", "Q5_0")
    assert plan["token_embd.weight"] == ("Q5_0", "--output-tensor-type: tied output")


def test_rows_that_do_not_fit_fall_back_from_a_rule_too(cli: Cli, tied: str) -> None:
    plan = shown(cli, tied, "--tensor-type", "attn_v=q6_k")
    reason = "--tensor-type attn_v=q6_k; row of 192 is not a multiple of 256: Q6_K -> Q8_0"
    assert plan["blk.0.attn_v.weight"] == ("Q8_0", reason)


def test_rules_of_files_come_after_those_of_the_command_line(
    cli: Cli, llama: str, tmp_path: Path
) -> None:
    listed = tmp_path / "types.txt"
    listed.write_text("attn_v=q8_0 attn_k=q8_0\n\nattn_q=F16\n")
    plan = shown(cli, llama, "--tensor-type-file", str(listed), "--tensor-type", "attn_k=q5_k")
    assert plan["blk.0.attn_v.weight"] == ("Q8_0", f"{listed} attn_v=q8_0")
    assert plan["blk.0.attn_k.weight"][0] == "Q5_K"
    assert plan["blk.0.attn_q.weight"][0] == "F16"


def test_a_type_in_the_table_of_all_types_is_steered_too(cli: Cli, llama: str) -> None:
    def sizes(*arguments: str) -> dict[str, int]:
        found = cli("plan", llama, "--json", *arguments).events
        return {row["type"]: row["size"] for row in found if row["event"] == "size"}

    plain, steered = sizes(), sizes("--output-tensor-type", "F32")
    assert len(plain) > 20
    assert {name for name in plain if steered[name] == plain[name]} == {"F32"}


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("attn_v", "bad-tensor-type"),
        ("=q8_0", "bad-tensor-type"),
        ("attn_v=", "bad-tensor-type"),
        ("attn_v=Q4_K_M", "unknown-tensor-type"),
        ("attn_v=I32", "unknown-tensor-type"),
        ("attn_v=q8_0=q4_0", "unknown-tensor-type"),
        ("attn(v=q8_0", "bad-pattern"),
        ("*=q8_0", "bad-pattern"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(text: str, reference: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_rule(text)
    assert caught.value.code == reference
    assert caught.value.hint


def test_the_pattern_ends_at_the_first_equals_sign_and_is_lowered() -> None:
    rule = parse_rule("ATTN_V=Q8_0")
    assert rule.names("blk.0.attn_v.weight", "attn_v", 1)
    assert rule.type == "Q8_0"
    assert [rule.type for rule in parse_rules("a=q4_0\n b=q5_0\tc=F16", "types.txt")] == [
        "Q4_0", "Q5_0", "F16",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "pattern",
    [
        "(?<=a)b", "(?<!a)b", "(?P<a>b)", "(?i)a", "(?#a)", "(?>a)", "a++", "a*+", "a?+", "a{2}+",
        "[[:alpha:]]", "[^[:digit:]]", "[]a]", "[^]a]", "a{", "a{,3}", "a{x}", r"\a", r"\Z", r"\q",
    ],
)  # fmt: skip
def test_patterns_that_two_libraries_read_differently_are_refused(pattern: str) -> None:
    """ECMAScript has none of these, or another meaning; see also `\\A`, an `a` when lowered."""
    with pytest.raises(UsageError) as caught:
        compiled(pattern)
    assert caught.value.code == "bad-pattern"


@pytest.mark.parametrize(
    ("pattern", "name", "found"),
    [
        (r"blk\.(0|1)\.", "blk.1.attn_v.weight", True),
        (r"blk\.[2-9]\.", "blk.1.attn_v.weight", False),
        (r"blk\.\d{1,2}\.attn", "blk.12.attn_v.weight", True),
        (r"^output\.", "output.weight", True),
        (r"^output\.", "blk.0.attn_output.weight", False),
        ("weight$", "blk.0.attn_q.bias", False),
        (r"attn_(?!k)\w\.", "blk.0.attn_k.weight", False),
        (r"[*+{\]]|ffn_\S+", "blk.0.ffn_up.weight", False),  # \S is lowered to \s
        ("a.*?t|x+?", "blk.0.attn_k.weight", True),
    ],
)
def test_what_both_libraries_read_alike_is_searched_anywhere(
    pattern: str, name: str, *, found: bool
) -> None:
    assert (compiled(pattern).search(name) is not None) is found


def test_a_pattern_that_is_found_nowhere_is_refused(llama: str) -> None:
    error = refused(llama, "Q4_K_M", tensor_type=["attn_vv=q8_0"])
    assert (error.code, error.where) == ("unmatched-rule", "--tensor-type attn_vv=q8_0")
    assert error.exit_code == 2
    assert refused(llama, "Q4_K_M,tensor-type=nope=q8_0").code == "unmatched-rule"


def notes(source: str, type: str, **options: Any) -> tuple[str, ...]:
    return api.plan(source, api.Options(types=(type,), **options)).notes


def test_what_changes_nothing_is_told(llama: str, tied: str) -> None:
    rules = ("attn_v=q8_0", "attn_v.weight=q5_0", "norm=q8_0")
    assert notes(llama, "Q4_K_M", tensor_type=rules) == (
        "Q4_K_M: --tensor-type attn_v.weight=q5_0 decides about no tensor",
        "Q4_K_M: --tensor-type norm=q8_0 decides about no tensor",
    )
    assert notes(llama, "F16", tensor_type=rules) == (
        "F16: rules for tensors are for quantized file types, and change nothing",
    )
    left = ("--leave-output-tensor changes nothing: the model has no output.weight",)
    assert notes(tied, "Q4_K_M", leave_output_tensor=True) == left
    assert notes(llama, "Q4_K_M", leave_output_tensor=True) == ()
    unused = ("Q4_K_M: --output-tensor-type changes nothing",)
    assert notes(tied, "Q4_K_M", output_tensor_type="Q8_0", pure=True) == unused
    assert notes(llama, "Q4_K_M", output_tensor_type="Q8_0", leave_output_tensor=True) == unused
    assert notes(llama, "Q4_K_M", output_tensor_type="Q8_0", pure=True) == ()


def test_types_that_cannot_be_are_refused_early(llama: str, tied: str) -> None:
    misfit = refused(tied, "Q4_K_M", token_embedding_type="Q6_K")
    assert (misfit.code, misfit.where) == ("row-misfit", "token_embd.weight")
    assert misfit.hint == "Q8_0 would fit"
    needy = refused(llama, "Q4_K_M", tensor_type=["ffn_up=iq2_xxs"])
    assert (needy.code, needy.where) == ("needs-imatrix", "blk.0.ffn_up.weight")
    assert refused(llama, "IQ3_XXS").code == "needs-imatrix"
    without_fallback = refused(tied, "Q4_K_M", tensor_type=["attn_v=q1_0"])
    assert (without_fallback.code, without_fallback.exit_code) == ("row-misfit", 2)
    assert "--tensor-type attn_v=q1_0" in (without_fallback.reason or "")
    with pytest.raises(UsageError) as caught:
        tensor_type("q4km", "--output-tensor-type")
    assert "Q4_K" in (caught.value.reason or "")


def test_types_that_nothing_writes_or_reads_are_refused() -> None:
    """Of plain numbers ggml has types too, which no weight is ever given."""
    for stored, chosen, reference in (
        ("F32", "I32", "unwritable-type"), ("I32", "F32", "undecodable-type"),
    ):  # fmt: skip
        output = OutputTensor("blk.0.ffn_up.weight", (32, 32), ("w",), stored=stored)
        model = Model("model", "llama", KeyValues(), [output])
        error = refusal(model, plain("F32"), [Choice(chosen, "test")])
        assert error is not None
        assert error.code == reference
        assert error.where == output.name


def test_options_behind_commas_are_for_one_type_and_come_first() -> None:
    own = parse_type("Q5_K,tensor-type=attn_[q,k]{1,2}=q8_0, output-tensor-type=bf16,pure,as=my-5")
    assert own == Recipe(
        "my-5", 17, plain("Q5_K_M").mix,
        steering(["attn_[q,k]{1,2}=q8_0"], output_type="BF16", pure=True),
    )  # fmt: skip
    options = api.Options(
        types=("Q5_K,tensor-type=attn_[q,k]{1,2}=q8_0, output-tensor-type=bf16,pure,as=my-5",),
        tensor_type=("ffn=q4_0",),
        output_tensor_type="F16",
        allow_requantize=True,
    )
    (both,) = wanted(options).recipes
    assert [rule.pattern for rule in both.steering.rules] == ["attn_[q,k]{1,2}", "ffn"]
    assert both.steering.output_type == "BF16"
    assert both.steering.pure
    assert both.steering.allow_requantize


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("Q4_K_M,purr", "bad-type-option"),
        ("Q4_K_M,pure=yes", "bad-type-option"),
        ("Q4_K_M,output-tensor-type", "bad-type-option"),
        ("Q4_K_M,output-tensor-type=", "bad-type-option"),
        ("Q4_K_M,pure,pure", "bad-type-option"),
        ("Q4_K_M,as=a,as=b", "bad-type-option"),
        ("Q4_K_M,as=a/b", "bad-recipe-name"),
        ("Q4_K_M,as=.", "bad-recipe-name"),
        ("Q4_K_M,output-tensor-type=Q9", "unknown-tensor-type"),
        ("Q4_K_X,pure", "unknown-type"),
    ],
)
def test_a_type_with_wrong_options_is_refused(text: str, reference: str) -> None:
    with pytest.raises(QuantizeError) as caught:
        parse_type(text)
    assert caught.value.code == reference


def test_two_files_of_one_name_are_refused_before_anything_is_read() -> None:
    for types in (("Q4_K_M", "Q4_K_M,pure"), ("Q8_0", "Q4_K_M,as=q8_0")):
        error = refused("nowhere", *types)
        assert error.code == "same-name"
    assert refused("nowhere", "Q4_K_M", "Q4_K").code == "no-such-source"


def test_several_types_with_their_own_options_are_as_each_alone(llama: str, tmp_path: Path) -> None:
    types = ("Q4_K_M", "Q4_K_M,output-tensor-type=Q8_0,as=Q4_K_L", "Q5_K_S,tensor-type=ffn=q4_0")
    together = api.convert(llama, api.Options(types=types, output=tmp_path, jobs=1))
    names = ["Q4_K_M", "Q4_K_L", "Q5_K_S"]
    assert [one.path.name for one in together.files] == [f"llama31-bpe-{n}.gguf" for n in names]
    for text, one in zip(types, together.files, strict=True):
        alone = api.convert(llama, api.Options(types=(text,), output=tmp_path / one.type, jobs=1))
        assert alone.files[0].sha256 == one.sha256
    record = json.loads(together.manifest.read_text())["options"]
    assert record["types"] == names
    assert set(record["recipes"]) == {"Q4_K_L", "Q5_K_S"}
    assert record["recipes"]["Q4_K_L"] == {"id": 15, "mix": "Q4_K_M", "output_type": "Q8_0"}


def test_a_steered_file_is_verified_with_its_own_options(llama: str, tmp_path: Path) -> None:
    types = ("Q4_K_M,tensor-type=ffn_up=q5_0,as=mine", "Q8_0")
    options = api.Options(
        types=types, tensor_type=("attn_v=f16",), leave_output_tensor=True, output=tmp_path, jobs=1
    )
    for file in api.convert(llama, options).files:
        assert verify(file.path, llama, sample=12).compared == 12
    manifest = tmp_path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"mix"', '"mixture"'))
    with pytest.raises(UsageError) as caught:
        verify(tmp_path / "llama31-bpe-mine.gguf", llama)
    assert caught.value.code == "bad-manifest"


def test_a_type_that_the_source_chose_is_verified_with_its_options(
    encodings: Path, tmp_path: Path
) -> None:
    source = str(encodings / "gptq-4bit-g128-sym")
    options = api.Options(token_embedding_type="F16", output=tmp_path, jobs=1)
    (file,) = api.convert(source, options).files
    assert file.type == "Q4_0"
    assert verify(file.path, source, sample=5).compared == 5


def test_a_record_gives_the_recipe_back() -> None:
    for text in ("Q4_K_M", "F32,as=x", "Q5_K_M,tensor-type=a=q8_0,pure,allow-requantize,as=y"):
        recipe = parse_type(text)
        stored = json.loads(json.dumps(record_of(recipe)))
        assert recipe_of(recipe.name, stored) == recipe


def test_a_plan_changes_with_its_steering(llama: str) -> None:
    digests = {
        api.plan(llama, api.Options(types=(text,))).plans[0].digest
        for text in (
            "Q4_K_M",
            "Q4_K_M,pure",
            "Q4_K_M,leave-output-tensor",
            "Q4_K_M,tensor-type=v=q8_0",
        )
    }
    assert len(digests) == 4


def test_an_adapter_takes_no_options_for_tensors(tinyrust: Path) -> None:
    adapter = DATA / "adapters" / "tinyrust-lora"
    options = api.Options(types=("F16,pure",), adapter_only=True, base=str(tinyrust))
    with pytest.raises(UnsupportedError) as caught:
        api.plan(str(adapter), options)
    assert caught.value.code == "adapter-type"
    assert (
        api.plan(str(adapter), replace(options, types=("F16,as=half",))).plans[0].recipe_name
        == "half"
    )
