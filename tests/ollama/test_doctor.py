"""The doctor: each pitfall in a file crafted for it, and silence on what convert writes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from quantize import api
from quantize.formats.gguf import ALIGNMENT_KEY
from quantize.formats.kv import KV, array, f32, string, u32
from quantize.ollama.doctor import diagnosis as doctor
from quantize.ollama.doctor.checks import CHECKS
from quantize.ollama.templates.confined import translate_confined
from tests.ollama.test_prompt import ENDLESS
from tests.support.chat_templates import CHATML_IN_GO
from tests.support.cli_runner import Cli
from tests.support.cousins import Cousin, cousin
from tests.support.good_gguf import CHAT, GOOD, GOOD_MODELFILE, TENSORS, TOKENS, write_gguf
from tests.support.kit_models import MODELS

__all__ = ["cousin"]

EMBEDDERS = (
    "distilbert", "eurobert", "gemma3-bare", "jina-bert", "modern-bert", "nomic-bert-moe",
    "roberta",
)  # fmt: skip

WITH_TOOLS = "{% if tools %}{{ tools | tojson }}{% endif %}" + CHAT
GO = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
GO_TOOLS = GO.replace("{{ end }}", "{{ end }}{{ .Tools }}")


@dataclass(frozen=True)
class Case:
    """How a good pair becomes one with a pitfall. A KV or tensor of None goes."""

    check: str
    level: str
    says: str
    kvs: Mapping[str, KV | None] = field(default_factory=dict)
    tensors: Mapping[str, str | None] = field(default_factory=dict)
    modelfile: str | None = None
    file: str = "m.gguf"
    beside: tuple[str, ...] = ()

    def write(self, folder: Path) -> tuple[Path, Path]:
        kvs = {key: kv for key, kv in {**GOOD, **self.kvs}.items() if kv is not None}
        path = write_gguf(folder / self.file, kvs, {**TENSORS, **self.tensors})
        text = GOOD_MODELFILE if self.modelfile is None else self.modelfile
        (folder / "Modelfile").write_text(text, "utf-8")
        for name in self.beside:
            (folder / name).write_text("{}")
        return path, folder / "Modelfile"


def changed(*kvs: KV) -> dict[str, KV | None]:
    return {kv.key: kv for kv in kvs}


def template(text: str) -> dict[str, KV | None]:
    return changed(string("tokenizer.chat_template", text))


def lines(*more: str) -> str:
    return GOOD_MODELFILE + "".join(f"{line}\n" for line in more)


def go(text: str) -> str:
    return lines(f'TEMPLATE """{text}"""')


SHORT = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' +"
SHORT += " message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
PLACEHOLDER = "m-00001-of-00002.gguf"
EMBEDDED = {"v.patch_embd.weight": "F32"}
TERNARY = {"blk.0.ffn_up.weight": "TQ1_0"}
HEADS = "llama.attention.head_count"
EPSILON = "llama.attention.layer_norm_rms_epsilon"
LONG = u32("llama.rope.scaling.original_context_length", 4096)
NORMAL = array("tokenizer.ggml.token_type", "INT32", [3, 3, 1, 1, 3])
NORMAL_END = array("tokenizer.ggml.token_type", "INT32", [3, 3, 1, 3, 1])
NUMBERS = array("tokenizer.ggml.merges", "INT32", [1])
FEWER_TOKENS = array("tokenizer.ggml.tokens", "STRING", TOKENS[:4])
FEWER = array("tokenizer.ggml.token_type", "INT32", [3])
LENGTH = "llama.context_length"
OWN_END = CHAT.replace("<|im_end|>", "<|over|>")
TOOL_USE = string("tokenizer.chat_template.tool_use", WITH_TOOLS)
ARCH = "general.architecture"
EOS = "tokenizer.ggml.eos_token_id"

PIECES: dict[str, KV | None] = changed(
    string("tokenizer.ggml.model", "llama"),
    array("tokenizer.ggml.tokens", "STRING", ["<s>", "ab", "abc", "<|im_start|>", "<|im_end|>"]),
    array("tokenizer.ggml.token_type", "INT32", [3, 1, 1, 3, 3]),
)
EQUAL = array("tokenizer.ggml.scores", "FLOAT32", [-1000.0] * 5)
INST = array("tokenizer.ggml.tokens", "STRING", ["<s>", "</s>", "[INST]", *TOKENS[3:]])

CASES = {
    "alignment": Case("alignment", "error", "is 64", changed(u32(ALIGNMENT_KEY, 64))),
    "u64": Case("scalar types", "error", "is UINT64", changed(KV(LENGTH, "UINT64", 128))),
    "i32": Case("scalar types", "error", "is INT32", changed(KV("general.file_type", "INT32", 7))),
    "id of another type": Case("scalar types", "error", "is INT32", changed(KV(EOS, "INT32", 4))),
    "no list": Case(
        "scalar types", "error", "is UINT32, which makes", changed(u32("tokenizer.ggml.tokens", 5))
    ),
    "no number": Case("scalar types", "error", "is STRING", changed(string("split.count", "two"))),
    "a list of numbers": Case("scalar types", "error", "is ARRAY[INT32]", changed(NUMBERS)),
    "endless blocks": Case(
        "tensors", "error", "2147483648", changed(u32("llama.block_count", 2**31))
    ),
    "no architecture": Case("architecture", "error", "is missing", {"general.architecture": None}),
    "unknown architecture": Case(
        "architecture", "warning", "does not know", changed(string("general.architecture", "yi9"))
    ),
    "Ollama's architecture": Case(
        "architecture", "error", "qwen2vl", changed(string("general.architecture", "qwen25vl"))
    ),
    "no context length": Case("hyper-parameters", "error", LENGTH, {LENGTH: None}),
    "no file type": Case("file type", "warning", "missing", {"general.file_type": None}),
    "file type of F32": Case("file type", "warning", "is 0", changed(u32("general.file_type", 0))),
    "no version": Case(
        "quantization version", "warning", "None", {"general.quantization_version": None}
    ),
    "NaN": Case("finite values", "error", EPSILON, changed(f32(EPSILON, math.nan))),
    "infinity in an array": Case(
        "finite values", "warning", "--verbose", changed(array("x.y", "FLOAT32", [1.0, math.inf]))
    ),
    "no epsilon": Case("hyper-parameters", "error", EPSILON, {EPSILON: None}),
    "inflated context": Case(
        "context length",
        "warning",
        "16 stretched by 4 is less",
        changed(
            u32("llama.rope.scaling.original_context_length", 16),
            f32("llama.rope.scaling.factor", 4.0),
        ),
    ),
    "short context": Case("context length", "warning", "4096", changed(LONG)),
    "no embeddings": Case(
        "tensors", "error", "no token_embd.weight", tensors={"token_embd.weight": None}
    ),
    "a block too few": Case(
        "tensors", "error", "block_count is 2", changed(u32("llama.block_count", 2))
    ),
    "a tensor too few": Case(
        "needed", "error", "blk.0.attn_norm.weight", tensors={"blk.0.attn_norm.weight": None}
    ),
    "a key too few": Case("needed", "error", HEADS, {HEADS: None}),
    "a key that has another value then": Case(
        "needed", "warning", "rope.freq_base", {"llama.rope.freq_base": None}
    ),
    "no token types": Case(
        "token types", "error", "answers are empty", {"tokenizer.ggml.token_type": None}
    ),
    "no BOS": Case("vocabulary", "warning", "bos_token_id", {"tokenizer.ggml.bos_token_id": None}),
    "a tensor too many": Case(
        "tensors", "error", "no tensor blk.0.extra.weight", tensors={"blk.0.extra.weight": "F32"}
    ),
    "a tensor of another architecture": Case(
        "tensors", "error", "1 of 12", tensors={"blk.0.ssm_in.weight": "F32"}
    ),
    "tokens without rows": Case(
        "tensors", "error", "5 embedding rows for 4 tokens", changed(FEWER_TOKENS)
    ),
    "another size": Case(
        "tensors", "error", "embedding_length", changed(u32("llama.embedding_length", 512))
    ),
    "ternary": Case("tensor types", "error", "TQ1_0", tensors=TERNARY),
    "misnamed shard": Case(
        "shards",
        "error",
        "is called m.gguf",
        changed(KV("split.count", "UINT16", 2), KV("split.no", "UINT16", 0)),
    ),
    "one shard of two": Case(
        "shards",
        "error",
        "1 of 2 shards",
        changed(KV("split.count", "UINT16", 2), KV("split.no", "UINT16", 0)),
        file=PLACEHOLDER,
        modelfile=GOOD_MODELFILE.replace("m.gguf", PLACEHOLDER),
    ),
    "vision inside": Case("vision", "warning", "inside the file", tensors=EMBEDDED),
    "no pooling": Case("pooling", "error", "is missing", changed(string(ARCH, "bert"))),
    "pooling 0": Case("pooling", "error", "is 0", changed(u32("llama.pooling_type", 0))),
    "no vocabulary": Case("vocabulary", "error", "loading fails", {"tokenizer.ggml.model": None}),
    "no merges": Case("vocabulary", "error", "without merges", {"tokenizer.ggml.merges": None}),
    "another vocabulary": Case(
        "vocabulary", "error", "is gpt5", changed(string("tokenizer.ggml.model", "gpt5"))
    ),
    "no pre": Case("pre-tokenizer", "warning", "pre is missing", {"tokenizer.ggml.pre": None}),
    "no real pre": Case(
        "pre-tokenizer", "warning", "is default", changed(string("tokenizer.ggml.pre", "default"))
    ),
    "misspelt pre": Case(
        "pre-tokenizer",
        "error",
        "is llama-bpf",
        changed(string("tokenizer.ggml.pre", "llama-bpf")),
    ),
    "no end": Case("end of text", "error", "never end", {EOS: None}),
    "end out of range": Case("end of text", "error", "of 5 tokens", changed(u32(EOS, 99))),
    "end of another model": Case(
        "end of text", "warning", "</s>", template(OWN_END) | changed(u32(EOS, 1))
    ),
    "normal special": Case("token types", "warning", "<|im_start|>", changed(NORMAL)),
    "normal mark of a turn": Case(
        "token types", "warning", "[INST]", template("[INST]" + CHAT) | changed(INST)
    ),
    "equal scores": Case("scores", "error", "are equal", PIECES | changed(EQUAL)),
    "no scores": Case("scores", "error", "are equal", PIECES),
    "normal end": Case("token types", "warning", "the eos token", changed(NORMAL_END)),
    "types missing": Case("token types", "error", "1 token types for 5", changed(FEWER)),
    "no chat template": Case(
        "chat template", "warning", "<|im_end|>", {"tokenizer.chat_template": None}
    ),
    "broken Jinja": Case("Jinja", "error", "cannot be loaded", template("{% for %}" + CHAT)),
    "Jinja that always raises": Case(
        "chats", "error", "for nobody", template("{{ raise_exception('for nobody') }}" + CHAT)
    ),
    "short Jinja": Case("known templates", "warning", "chatml", template(SHORT)),
    "TEMPLATE ignored": Case(
        "capabilities", "warning", "ignores TEMPLATE", template(WITH_TOOLS), modelfile=go(GO)
    ),
    "tools taken away": Case(
        "capabilities",
        "error",
        "takes thinking away",
        template("<think></think>" + CHAT),
        modelfile=go(GO_TOOLS + '{{ if eq .Role "tool" }}{{ .ToolCalls }}{{ end }}'),
    ),
    "another prompt": Case(
        "TEMPLATE", "warning", "for user, at character 31, it writes nothing", modelfile=go(GO)
    ),
    "unbalanced TEMPLATE": Case(
        "TEMPLATE", "error", "range without end", modelfile=go("{{ range .Messages }}")
    ),
    "unbalanced TEMPLATE that is not used": Case(
        "TEMPLATE", "error", "without a beginning", template(WITH_TOOLS), modelfile=go("{{ end }}")
    ),
    "unknown function": Case(
        "TEMPLATE",
        "error",
        "'trim' not defined",
        {"tokenizer.chat_template": None},
        modelfile=go("{{ trim .Prompt }}"),
    ),
    "unknown renderer": Case(
        "renderer", "error", "no renderer", modelfile=lines("RENDERER qwen3coder", "PARSER qwen3")
    ),
    "unknown parser": Case(
        "renderer", "error", "no parser", modelfile=lines("RENDERER gemma4", "PARSER gemma")
    ),
    "turns of another renderer": Case(
        "renderer", "warning", "with <turn|>", changed(string("general.architecture", "gemma4"))
    ),
    "renderer alone": Case(
        "renderer", "warning", "without PARSER", modelfile=lines("RENDERER gemma4")
    ),
    "parser alone": Case("renderer", "error", "no format at all", modelfile=lines("PARSER qwen3")),
    "doubled BOS": Case("doubled BOS", "error", "<s>", modelfile=go("<s>" + GO)),
    "doubled BOS behind": Case(
        "doubled BOS", "error", "<s>", modelfile=go("{{- if .System }}<s>x{{ end }}" + GO)
    ),
    "misspelt name": Case(
        "names in TEMPLATE", "error", "Contents", modelfile=go(GO.replace(".Content", ".Contents"))
    ),
    "harmony without its marks": Case(
        "harmony",
        "error",
        "gets no parser",
        changed(string("general.architecture", "gpt-oss")),
        modelfile=go(GO),
    ),
    "mistyped path": Case("FROM", "error", "is not a file", modelfile="FROM ./n.gguf\n"),
    "file and name": Case("FROM", "error", "ignores the file", modelfile=lines("FROM llama3")),
    "folder with JSON": Case(
        "FROM", "error", "folder with .json", modelfile="FROM .\n", beside=("config.json",)
    ),
    "another file": Case(
        "FROM", "warning", "no FROM line", modelfile="FROM ./o.gguf\n", beside=("o.gguf",)
    ),
    "missing adapter": Case(
        "ADAPTER", "error", "is not a file", modelfile=lines("ADAPTER ./lora.gguf")
    ),
    "folder without adapter": Case("ADAPTER", "error", "a folder", modelfile=lines("ADAPTER .")),
    "forgotten projector": Case("projector", "warning", "no pictures", beside=("mmproj-F16.gguf",)),
    "unknown parameter": Case("parameters", "error", "tfs_z", modelfile=lines("PARAMETER tfs_z 1")),
    "deprecated parameter": Case(
        "parameters", "warning", "no effect", modelfile=lines("PARAMETER mirostat 1")
    ),
    "wrong type": Case("parameters", "error", "4k", modelfile=lines("PARAMETER num_ctx 4k")),
    "too much context": Case(
        "num_ctx", "warning", "of 128", modelfile=lines("PARAMETER num_ctx 129")
    ),
    "no stop": Case("stops", "warning", "no PARAMETER stop", modelfile="FROM ./m.gguf\n"),
    "empty stop": Case("stops", "error", "empty", modelfile=lines('PARAMETER stop ""')),
    "sampling lost": Case(
        "sampling", "warning", "temperature", changed(f32("general.sampling.temp", 0.5))
    ),
    "dropped characters": Case(
        "characters", "warning", "U+00A0", modelfile=lines("SYSTEM a\u00a0b")
    ),
}  # fmt: skip


def found(path: Path, modelfile: Path | None) -> list[tuple[str, str, str]]:
    """Check, level, and message with remedy, of all that is not fine."""
    return [
        (one.check, one.level, f"{one.message} / {one.remedy}")
        for one in api.diagnose(path, modelfile)
        if one.level != "fine"
    ]


@pytest.mark.parametrize("name", CASES)
def test_each_pitfall_is_flagged(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    (text,) = (
        text
        for check, level, text in found(*case.write(tmp_path))
        if (check, level) == (case.check, case.level) and case.says in text
    )
    # Something to do about it is always said.
    assert not text.endswith("/ ")


def test_every_check_has_a_pitfall() -> None:
    assert {case.check for case in CASES.values()} == set(CHECKS)


def test_a_good_pair_is_fine(tmp_path: Path) -> None:
    path, modelfile = Case("", "", "").write(tmp_path)
    assert found(path, modelfile) == []
    assert found(path, None) == []


def test_a_chat_template_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "translate_confined", partial(translate_confined, seconds=1))
    path, modelfile = Case("", "", "", template(ENDLESS)).write(tmp_path)
    ((check, level, text),) = found(path, modelfile)
    assert (check, level) == ("Jinja", "error")
    assert "not rendered within 1 seconds" in text


def test_a_folder_with_links_that_leave_it(tmp_path: Path) -> None:
    """What a snapshot in the Hub's cache looks like."""
    path, modelfile = Case("", "", "", modelfile="FROM .\n", file="blob.gguf").write(tmp_path)
    (tmp_path / "snapshot").mkdir()
    link = tmp_path / "snapshot" / "m.gguf"
    link.symlink_to(path)
    moved = modelfile.rename(tmp_path / "snapshot" / "Modelfile")
    problems = [text for check, _, text in found(link, moved) if check == "FROM"]
    assert any("links that leave it" in text for text in problems)


def notes(path: Path, modelfile: Path) -> dict[str, str]:
    findings = api.diagnose(path, modelfile)
    return {one.check: one.message for one in findings if one.level == "fine" and one.message}


def test_what_is_fine_but_worth_a_word(tmp_path: Path) -> None:
    reasoning = template(WITH_TOOLS + "<think></think>")
    said = notes(*Case("", "", "", reasoning).write(tmp_path))
    assert "`ollama run NAME TEXT`" in said["capabilities"]
    said = notes(*Case("", "", "", changed(TOOL_USE)).write(tmp_path))
    assert "tool_use" in said["chat template"]


def test_an_embedder_with_a_chat_template_is_fine(tmp_path: Path) -> None:
    """Qwen3-Embedding is one: without its pooling type it would be a chat model, and a bad one."""
    kvs = changed(u32("llama.pooling_type", 3), f32("general.sampling.temp", 0.5))
    path, modelfile = Case("", "", "", kvs, modelfile="FROM ./m.gguf\n").write(tmp_path)
    assert found(path, modelfile) == []
    assert "makes embeddings" in notes(path, modelfile)["pooling"]


def test_a_template_that_somebody_wrote_is_proven(tmp_path: Path) -> None:
    whole = go(CHATML_IN_GO)
    found = notes(*Case("", "", "", modelfile=whole).write(tmp_path))
    assert found["TEMPLATE"] == "proven to make the prompts of the chat template: chat"
    hard = whole.replace("{{ range", '{{ printf "" }}{{ range', 1)
    found = notes(*Case("", "", "", modelfile=hard).write(tmp_path))
    assert "is open: function 'printf' not defined" in found["TEMPLATE"]


def test_a_shard_has_a_part_of_the_tensors(tmp_path: Path) -> None:
    parts = changed(KV("split.count", "UINT16", 2), KV("split.no", "UINT16", 0))
    second = PLACEHOLDER.replace("00001", "00002", 1)
    both = lines(f"FROM ./{second}").replace("m.gguf", PLACEHOLDER)
    without = {"token_embd.weight": None}
    case = Case("", "", "", parts, without, both, PLACEHOLDER, (second,))
    assert found(*case.write(tmp_path)) == []


def silence(source: Path, output: Path) -> None:
    done = api.convert(str(source), api.Options(types=("Q8_0",), output=output))
    assert found(done.files[0].path, done.modelfiles[0]) == []


@pytest.mark.parametrize("name", MODELS)
def test_silence_on_what_convert_writes(
    checkpoint: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    silence(checkpoint(name), tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "distilbert",
        "eurobert",
        "gemma3-bare",
        "jina-bert",
        "modern-bert",
        "nomic-bert-moe",
        "roberta",
    ],
)
def test_silence_on_embedders(cousin: Callable[[str], Cousin], tmp_path: Path, name: str) -> None:
    """Their pooling is what a person says, for no file of theirs does."""
    options = api.Options(types=("Q8_0",), output=tmp_path, pooling="mean")
    done = api.convert(str(cousin(name).checkpoint), options)
    assert found(done.files[0].path, done.modelfiles[0]) == []


def test_silence_on_a_trained_model(tinyrust: Path, tmp_path: Path) -> None:
    silence(tinyrust, tmp_path)


def test_a_line_for_each_finding(cli: Cli, tmp_path: Path) -> None:
    path, modelfile = CASES["alignment"].write(tmp_path)
    ran = cli("doctor", str(path), str(modelfile))
    assert ran.code == 8
    shown = ran.out.splitlines()
    assert len(shown) == len(CHECKS)
    assert [line.split("  ")[0] for line in shown].count("error") == 1
    assert "general.alignment is 64" in shown[0]
    assert "try: " in shown[0]
    events = cli("doctor", str(path), "--json").events
    assert [event["check"] for event in events] == list(CHECKS)
    assert [event["level"] for event in events if event["level"] != "fine"] == ["error"]


def test_warnings_are_no_failure(cli: Cli, tmp_path: Path) -> None:
    path, modelfile = CASES["no stop"].write(tmp_path)
    ran = cli("doctor", str(path), str(modelfile))
    assert ran.code == 0
    assert "\nwarning" in ran.out


def test_a_modelfile_that_ollama_refuses(cli: Cli, tmp_path: Path) -> None:
    path, modelfile = Case("", "", "", modelfile="FROM ./m.gguf\nSYSTEM\n").write(tmp_path)
    ran = cli("doctor", str(path), str(modelfile))
    assert ran.code == 2
    assert "error[bad-modelfile]" in ran.err
    assert "line 2" in ran.err
