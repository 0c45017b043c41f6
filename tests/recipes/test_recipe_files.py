"""Recipe files: mixes of one's own, checked key by key, and remembered in the manifest."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from quantize import api
from quantize.errors import UsageError
from quantize.recipes import Recipe, Tensor, choose
from quantize.recipes.categories import CATEGORIES
from quantize.recipes.layers import Layers
from quantize.recipes.manifest_recipe import recipe_of, record_of
from quantize.recipes.recipe_file import parse_recipe
from quantize.verbs.verify import verify
from tests.support.cli_runner import Cli
from tests.support.paths import ROOT
from tests.support.recipe_models import RECIPE_MODELS
from tests.support.type_cases import lines_of

Folder = Callable[[str], Path]

EXAMPLES = sorted((ROOT / "docs" / "recipes").glob("*.toml"))


def recipe(text: str, file: str = "mine.toml") -> Recipe:
    return parse_recipe(text.encode(), file)


def test_rules_can_say_what_a_mix_of_llama_cpp_says() -> None:
    """Q4_K_M: attn_v and ffn_down in the first eighth, the last, and every third layer between."""
    made = recipe("""
        base = "Q4_K_S"
        pure = true
        [[rule]]
        category = "output"
        type = "Q6_K"
        [[rule]]
        category = ["attn_v", "ffn_down"]
        layers = { first = 0.125, last = 0.125, every = 3 }
        type = "Q6_K"
    """)
    for name in ("llama-8b", "llama-13b", "llama-65b"):
        model = RECIPE_MODELS[name]
        tensors = model.tensors()
        choices = choose(made, model.facts, tensors)
        kept = {t.name for t in tensors if t.name.endswith("_norm.weight")}
        found = {
            t.name: c.type for t, c in zip(tensors, choices, strict=True) if t.name not in kept
        }
        golden = (ROOT / "tests" / "data" / "types" / "large" / f"{name}.txt").read_text()
        assert lines_of(found) == golden.split("[Q4_K_M]\n")[1].split("[")[0]


@pytest.mark.parametrize(
    ("layers", "n", "found"),
    [
        (Layers(first=2), 8, [0, 1]),
        (Layers(last=1), 8, [7]),
        (Layers(first=0.25, last=0.25), 8, [0, 1, 6, 7]),
        (Layers(first=0.3, last=0.3), 8, [0, 1, 5, 6, 7]),
        (Layers(first=0.1), 30, [0, 1, 2]),
        (Layers(last=0.1), 30, [27, 28, 29]),
        (Layers(every=3), 8, [2, 5]),
        (Layers(first=1, every=3), 8, [0, 3, 6]),
        (Layers(every=1), 3, [0, 1, 2]),
        (Layers(listed=(1, 3, 99)), 8, [1, 3]),
        (Layers(first=9), 3, [0, 1, 2]),
    ],
)
def test_layers_are_the_union_of_what_is_said(layers: Layers, n: int, found: list[int]) -> None:
    assert [layer for layer in range(n) if layers.hold(layer, n)] == found


def test_all_that_a_rule_says_must_be_true_and_the_first_such_rule_decides() -> None:
    made = recipe(r"""
        base = "Q4_K_S"
        [[rule]]
        category = "attn_v"
        layers = [0, "2-3"]
        regex = 'blk\.[013]'
        type = "F16"
        why = "just so"
        [[rule]]
        layers = [3]
        type = "Q8_0"
    """)
    names = [f"blk.{i}.{kind}.weight" for i in range(4) for kind in ("attn_k", "attn_v")]
    tensors = [Tensor(name, (256, 256)) for name in ("token_embd.weight", *names)]
    facts = RECIPE_MODELS["llama-8b"].facts
    chosen = dict(zip([t.name for t in tensors], choose(made, facts, tensors), strict=True))
    assert [name for name in chosen if chosen[name].type == "F16"] == [
        "blk.0.attn_v.weight", "blk.3.attn_v.weight",
    ]  # fmt: skip
    assert chosen["blk.3.attn_k.weight"].type == "Q8_0"
    assert chosen["blk.0.attn_v.weight"].reason == "recipe rule 1, just so"
    assert chosen["blk.3.attn_k.weight"].reason == "recipe rule 2"


RULE = '[[rule]]\ntype = "Q8_0"\n'


@pytest.mark.parametrize(
    ("text", "where", "word"),
    [
        ("base = ", "mine.toml", "TOML"),
        ("", "mine.toml: base", "missing"),
        ('base = "Q4_K_X"', "mine.toml: base", "not a file type"),
        ("base = 4", "mine.toml: base", "not text"),
        ('base = "Q8_0"\nbass = 1', "mine.toml: bass", "no such key"),
        ('base = "Q8_0"\nname = "a b"', "mine.toml: name", "file's name"),
        ('base = "Q8_0"\npure = 1', "mine.toml: pure", "neither"),
        ('base = "Q8_0"\ndescription = 1', "mine.toml: description", "not text"),
        ('base = "Q8_0"\nrule = 1', "mine.toml: rule", "tables"),
        (RULE, "mine.toml: rule 1", "no tensors"),
        ('[[rule]]\nregex = "a"', "mine.toml: rule 1: type", "missing"),
        ('[[rule]]\nregex = "a"\ntype = "Q4_K_M"', "mine.toml: rule 1: type", "not a type"),
        (f'{RULE}regex = "a"\n{RULE}regex = "("', "mine.toml: rule 2: regex", "not a pattern"),
        (f"{RULE}regex = 1", "mine.toml: rule 1: regex", "not text"),
        (f'{RULE}category = "attn"', "mine.toml: rule 1: category", "not a category"),
        (f"{RULE}category = [1]", "mine.toml: rule 1: category", "not a category"),
        (f"{RULE}layers = 3", "mine.toml: rule 1: layers", "not layers"),
        (f"{RULE}layers = {{}}", "mine.toml: rule 1: layers", "not layers"),
        (f"{RULE}layers = [-1]", "mine.toml: rule 1: layers", "not a layer"),
        (f'{RULE}layers = ["0-99999999999"]', "mine.toml: rule 1: layers", "not a layer"),
        (f'{RULE}layers = ["7-4"]', "mine.toml: rule 1: layers", "not a layer"),
        (f"{RULE}layers = [true]", "mine.toml: rule 1: layers", "not a layer"),
        (f"{RULE}layers = {{ first = 1.5 }}", "mine.toml: rule 1: layers: first", "not possible"),
        (f"{RULE}layers = {{ last = 0 }}", "mine.toml: rule 1: layers: last", "not possible"),
        (f"{RULE}layers = {{ every = 0.5 }}", "mine.toml: rule 1: layers: every", "not possible"),
        (f"{RULE}layers = {{ fist = 1 }}", "mine.toml: rule 1: layers: fist", "no such key"),
        (f'{RULE}regex = "a"\nlayer = 1', "mine.toml: rule 1: layer", "no such key"),
        (f'{RULE}regex = "a"\nwhy = 1', "mine.toml: rule 1: why", "not text"),
    ],
)
def test_a_mistake_is_named_with_file_rule_and_key(text: str, where: str, word: str) -> None:
    if text.startswith("[[rule]]"):
        text = f'base = "Q4_K_M"\n{text}'
    with pytest.raises(UsageError) as caught:
        recipe(text)
    assert (caught.value.code, caught.value.where) in {
        ("bad-recipe", where), ("bad-recipe-name", where),
    }  # fmt: skip
    assert word in caught.value.message


def test_a_recipe_that_cannot_be_read_is_refused(cli: Cli, llama: str, tmp_path: Path) -> None:
    assert cli("plan", llama, "--recipe", str(tmp_path / "none.toml")).code == 7
    broken = tmp_path / "broken.toml"
    broken.write_bytes(b'base = "\xff"')
    ran = cli("plan", llama, "--recipe", str(broken))
    assert ran.code == 2
    assert f"{broken}" in ran.err


def test_a_recipe_that_may_never_end_is_refused(cli: Cli, llama: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for endless in (tmp_path / "pipe", Path("/dev/zero")):
        ran = cli("plan", llama, "--recipe", str(endless))
        assert (ran.code, "error[not-a-plain-file]" in ran.err) == (7, True)


def test_recipes_and_types_are_written_in_one_pass_under_their_names(
    cli: Cli, llama: str, tmp_path: Path
) -> None:
    files = [tmp_path / name for name in ("one.toml", "two.toml")]
    files[0].write_text('base = "Q4_K_M"\n[[rule]]\nregex = "attn"\ntype = "Q8_0"\n')
    files[1].write_text(
        'name = "second"\nbase = "Q4_K_M"\n[[rule]]\nregex = "ffn"\ntype = "Q8_0"\n'
    )
    arguments = [f"--recipe={file}" for file in files]
    ran = cli("convert", llama, "-t", "Q4_K_M", *arguments, "-o", str(tmp_path / "out"), "--json")
    assert ran.code == 0
    made = [event["path"] for event in ran.events if event["event"] == "file"]
    names = ["Q4_K_M", "one", "second"]
    assert [Path(path).name for path in made] == [f"llama31-bpe-{name}.gguf" for name in names]
    digests = {hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in made}
    assert len(digests) == 3
    recipes = json.loads((tmp_path / "out" / "manifest.json").read_text())["options"]["recipes"]
    assert set(recipes) == {"one", "second"}
    for name, file in zip(("one", "second"), files, strict=True):
        assert recipes[name]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert recipes[name]["rules"][0]["pattern"] in {"attn", "ffn"}
        file.unlink()
    # Without the recipe files: the manifest has all that they said.
    for path in made:
        assert verify(Path(path), llama, sample=10).compared == 10


def test_a_recipe_alone_is_all_that_is_written(cli: Cli, llama: str, tmp_path: Path) -> None:
    file = tmp_path / "only.toml"
    file.write_text('base = "F16"\n')
    plans = [
        event for event in cli("plan", llama, "--recipe", str(file), "--json").events
        if event["event"] == "plan"
    ]  # fmt: skip
    assert [plan["type"] for plan in plans] == ["only"]


def test_rules_of_the_command_line_come_before_those_of_a_recipe(
    cli: Cli, llama: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('base = "Q4_K_M"\n[[rule]]\nregex = "attn"\ntype = "Q8_0"\n')
    ran = cli("plan", llama, "--recipe", str(file), "--tensor-type", "attn_q=f16", "--json")
    types = {tensor["name"]: tensor["type"] for tensor in ran.event("plan")["tensors"]}
    assert types["blk.0.attn_q.weight"] == "F16"
    assert types["blk.0.attn_k.weight"] == "Q8_0"


def test_a_rule_of_a_recipe_may_find_nothing_and_says_so(llama: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('base = "Q4_K_M"\n[[rule]]\nregex = "_exps"\ntype = "Q3_K"\n')
    planned = api.plan(llama, api.Options(recipe=(file,)))
    assert planned.notes == ("mine: recipe rule 1 decides about no tensor",)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_sound(path: Path, checkpoint: Folder) -> None:
    made = parse_recipe(path.read_bytes(), path.name)
    stored = json.loads(json.dumps(record_of(made)))
    assert record_of(recipe_of(made.name, stored)) == record_of(made)
    planned = api.plan(str(checkpoint("mixtral-8x")), api.Options(recipe=(path,)))
    assert planned.plans[0].recipe_name == made.name
    # Each of its rules is at work in a mixture of experts, or none is needed.
    assert planned.notes == ()


def test_the_page_shows_a_recipe_that_can_be_read_and_all_categories() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text("utf-8")
    (shown,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert recipe(shown).name == "Q4_K_L"
    named = re.search(r"\*\*category\*\* is one or a list of (.*?)\.\n", page, re.DOTALL)
    assert named is not None
    assert set(re.findall(r"`(\w+)`", named[1])) == set(CATEGORIES)
    assert len(EXAMPLES) == 2
    assert all(f"(recipes/{path.name})" in page for path in EXAMPLES)
