"""`quantize perplexity`: chunks as llama.cpp's tool cuts them, and clear words where it cannot."""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from quantize import api
from quantize.errors import QuantizeError
from quantize.evaluation import engine, llama
from quantize.verbs.perplexity import Measured, perplexity
from tests.support.cli_runner import Cli
from tests.support.cousins import Cousin, cousin
from tests.support.engine import log_probabilities, serve
from tests.support.paths import DATA

__all__ = ["cousin"]

TEXT = DATA / "rows.txt"
TYPES = ("F32", "Q8_0", "Q4_0", "Q2_K")
NAN = struct.pack("<f", float("nan"))

Files = Mapping[str, Path]


@pytest.fixture(scope="module")
def files(tinyrust: Path, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """tinyrust in each of TYPES."""
    options = api.Options(types=TYPES, output=tmp_path_factory.mktemp("tinyrust"), jobs=1)
    return {file.type: file.path for file in api.convert(str(tinyrust), options).files}


def measure(
    file: Path, base: Path | None = None, *, context: int = 64, chunks: int | None = None
) -> Measured:
    # One thread: the machine may run other tests, and llama.cpp's threads wait by spinning.
    return perplexity(file, TEXT, base, context=context, chunks=chunks, jobs=1)


def test_every_token_has_the_likelihood_that_the_server_gives_it(
    files: Files, tinyrust: Path
) -> None:
    context, half, chunks = 32, 16, 2
    text = TEXT.read_text("utf-8").removesuffix("\n")
    bos = 8184
    ids = [bos]
    ids += Tokenizer.from_file(str(tinyrust / "tokenizer.json")).encode(
        text, add_special_tokens=False
    ).ids  # fmt: skip
    server = serve(files["F32"])
    nll: list[float] = []
    for start in range(0, chunks * context, context):
        chunk = [bos, *ids[start + 1 : start + context]]
        nll += [
            -log_probabilities(server, chunk[: place + 1])[chunk[place + 1]]
            for place in range(half, context - 1)
        ]
    found = measure(files["F32"], context=context, chunks=chunks)
    assert found.tokens == len(nll) == 2 * (context - half - 1)
    # The server computes one token at a time: other sums in attention, whose keys are F16.
    assert np.log(found.perplexity.value) == pytest.approx(np.mean(nll), abs=1e-3)


def test_a_file_beside_itself_has_no_divergence(files: Files) -> None:
    found = measure(files["Q8_0"], files["Q8_0"], chunks=2).comparison
    assert found is not None
    assert (found.divergence.mean.value, found.divergence.maximum) == (0, 0)
    assert (found.log_ratio.value, found.log_ratio.error) == (0, 0)
    assert (found.same_top.value, found.probability.value) == (1, 0)


def test_smaller_types_are_farther_from_the_base(files: Files) -> None:
    found = {name: measure(files[name], files["F32"]) for name in TYPES[1:]}
    divergences = {}
    for name, one in found.items():
        assert one.comparison is not None
        # The base alone is what it is beside another file.
        assert one.comparison.base_perplexity == measure(files["F32"]).perplexity
        assert one.comparison.divergence.maximum >= one.comparison.divergence.percentile_99
        assert one.comparison.divergence.percentile_99 > one.comparison.divergence.median > 0
        divergences[name] = one.comparison.divergence.mean
    q8_0, q4_0, q2_k = (divergences[name] for name in TYPES[1:])
    # Outside of their errors, three of each.
    assert q8_0.value + 3 * q8_0.error < q4_0.value - 3 * q4_0.error
    assert q4_0.value + 3 * q4_0.error < q2_k.value - 3 * q2_k.error


def test_the_command_says_what_was_measured(cli: Cli, files: Files) -> None:
    arguments = ("--text", str(TEXT), "--context", "64", "--chunks", "3", "-j", "1")
    wanted = measure(files["Q4_0"], files["F32"], chunks=3)
    assert wanted.comparison is not None
    alone = cli("perplexity", str(files["Q4_0"]), *arguments)
    assert alone.code == 0
    value, error = wanted.perplexity.value, wanted.perplexity.error
    # 3 chunks of 64, whose second half is scored but for its first token.
    assert "tinyrust-Q4_0.gguf  93 tokens in 3 chunks of 64\n" in alone.out
    assert f"perplexity  {value:.4f} ± {error:.4f}\n" in alone.out
    assert "divergence" not in alone.out

    beside = cli("perplexity", str(files["Q4_0"]), *arguments, "--base", str(files["F32"]))
    mean = wanted.comparison.divergence.mean
    assert f"KL divergence    {mean.value:.6f} ± {mean.error:.6f}\n" in beside.out
    top = wanted.comparison.same_top
    assert f"same top token   {100 * top.value:.2f} ± {100 * top.error:.2f} %\n" in beside.out


def test_json_has_the_same_numbers_and_counts_the_text(cli: Cli, files: Files) -> None:
    ran = cli(
        "perplexity", str(files["Q4_0"]), "--base", str(files["F32"]),
        "--text", str(TEXT), "--context", "64", "--chunks", "3", "-j", "1", "--json",
    )  # fmt: skip
    wanted = measure(files["Q4_0"], files["F32"], chunks=3)
    assert wanted.comparison is not None
    found = ran.event("perplexity")
    assert (found["perplexity"], found["tokens"]) == (wanted.perplexity.value, 93)
    divergence = ran.event("divergence")
    assert divergence["divergence"] == wanted.comparison.divergence.mean.value
    assert divergence["base"] == str(files["F32"])
    # The share of the text that three chunks have: more than none, less than all.
    assert ran.event("start")["total"] == ran.event("finish")["done"]
    assert 0 < ran.event("finish")["done"] < TEXT.stat().st_size


def test_all_of_the_text_is_used(files: Files) -> None:
    found = measure(files["Q8_0"])
    assert found.chunks == measure(files["Q8_0"], chunks=1000).chunks
    assert found.tokens == found.chunks * 31


# What is wrong, and what is said about it.


def refused(file: Path, text: Path = TEXT, base: Path | None = None, context: int = 64) -> str:
    """How `perplexity` fails, in one line: its reference, where, and why."""
    with pytest.raises(QuantizeError) as raised:
        perplexity(file, text, base, context=context, jobs=1)
    return f"{raised.value.code} {raised.value} {raised.value.reason} {raised.value.hint}"


def changed(file: Path, output: Path, old: bytes, new: bytes) -> Path:
    content = file.read_bytes()
    assert content.count(old) >= 1
    assert len(old) == len(new)
    output.write_bytes(content.replace(old, new, 1))
    return output


def test_a_text_that_is_too_short(files: Files) -> None:
    assert "text-too-short" in refused(files["Q8_0"], context=4096)


def test_a_text_that_is_not_there(files: Files, tmp_path: Path) -> None:
    assert refused(files["Q8_0"], tmp_path / "no.txt").startswith(f"unreadable {tmp_path}/no.txt")


def test_a_text_in_another_encoding(files: Files, tmp_path: Path) -> None:
    text = tmp_path / "latin.txt"
    text.write_bytes(b"a caf\xe9 " * 500)
    assert "byte 5 is 0xe9" in refused(files["Q8_0"], text)


@pytest.mark.parametrize("which", ["file", "base"])
def test_a_file_that_is_not_there(which: str, files: Files, tmp_path: Path) -> None:
    pair = {"file": files["Q8_0"], "base": files["F32"], which: tmp_path / "no.gguf"}
    said = refused(pair["file"], base=pair["base"])
    assert said.startswith(f"no-such-source {tmp_path}/no.gguf")


def test_a_context_without_halves(files: Files) -> None:
    assert "bad-context" in refused(files["Q8_0"], context=3)


def test_a_base_with_fewer_tokens(
    files: Files, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    options = api.Options(types=("Q8_0",), output=tmp_path, jobs=1)
    (other,) = api.convert(str(checkpoint("llama31-bpe")), options).files
    assert "it has 1024 tokens, the file 8192" in refused(files["Q8_0"], base=other.path)


def test_a_base_with_other_tokens(files: Files, tmp_path: Path) -> None:
    old, new = (struct.pack("<Q", len(token)) + token for token in (b"struct", b"zzzzzz"))
    base = changed(files["F32"], tmp_path / "base.gguf", old, new)
    assert "the same number of tokens, but others" in refused(files["Q8_0"], base=base)


def test_a_base_that_begins_otherwise(files: Files, tmp_path: Path) -> None:
    key = b"tokenizer.ggml.bos_token_id" + struct.pack("<I", 4)
    old, new = (key + struct.pack("<I", token) for token in (8184, 8185))
    base = changed(files["F32"], tmp_path / "base.gguf", old, new)
    assert "cuts the text otherwise" in refused(files["Q8_0"], base=base)


def test_an_architecture_that_llama_cpp_does_not_know(files: Files, tmp_path: Path) -> None:
    old, new = (struct.pack("<Q", 5) + name for name in (b"llama", b"lemur"))
    said = refused(changed(files["Q8_0"], tmp_path / "lemur.gguf", old, new))
    assert said.startswith("refused-by-llama-cpp")
    assert "unknown model architecture: 'lemur'" in said


def test_a_file_that_was_cut_off(files: Files, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(files["Q8_0"].read_bytes()[:-1000])
    said = refused(cut)
    assert said.startswith("refused-by-llama-cpp")
    assert "not within the file bounds" in said


def test_a_file_with_nan(files: Files, tmp_path: Path) -> None:
    spoiled = tmp_path / "nan.gguf"
    # The last tensor of the file is the last norm, which each logit has in it.
    spoiled.write_bytes(files["F32"].read_bytes()[:-4] + NAN)
    assert refused(spoiled).startswith("not-a-number")


def test_a_model_without_a_next_token(minilm: Path, tmp_path: Path) -> None:
    (file,) = api.convert(str(minilm), api.Options(types=("Q8_0",), output=tmp_path, jobs=1)).files
    assert refused(file.path).startswith("no-next-token")


def test_a_model_with_an_encoder(cousin: Callable[[str], Cousin], tmp_path: Path) -> None:
    options = api.Options(types=("Q8_0",), output=tmp_path, jobs=1)
    (file,) = api.convert(str(cousin("t5").checkpoint), options).files
    assert refused(file.path).startswith("no-next-token")


def test_without_llama_cpp(files: Files, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    monkeypatch.setattr(engine, "load", llama.load.__wrapped__)
    ran = cli("perplexity", str(files["Q8_0"]), "--text", str(TEXT))
    assert ran.code == 2
    assert "error[eval-not-installed]" in ran.err
    assert "pip install 'quantize-gguf[eval]'" in ran.err


def test_a_library_without_llama_cpps_functions(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "load", llama.load.__wrapped__)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    said = refused(files["Q8_0"])
    assert said.startswith("unknown-engine")
    assert "llama_log_set" in said


def test_a_llama_cpp_with_other_parameters(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "load", llama.load.__wrapped__)
    monkeypatch.setattr(llama, "_DEFAULT_SIZES", [2048, 512, 512])
    said = refused(files["Q8_0"])
    assert said.startswith("unknown-engine")
    assert "its default sizes are [512, 2048, 512]" in said


def test_a_llama_cpp_with_other_batches(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "load", llama.load.__wrapped__)
    # As if one more field were at the beginning.
    fields = [("another", ctypes.c_void_p), *llama.Batch._fields_]
    shifted = type("Batch", (ctypes.Structure,), {"_fields_": fields})
    functions = llama._FUNCTIONS["llama_batch_get_one"]
    monkeypatch.setitem(llama._FUNCTIONS, "llama_batch_get_one", (shifted, functions[1]))
    assert "its llama_batch is another one" in refused(files["Q8_0"])
