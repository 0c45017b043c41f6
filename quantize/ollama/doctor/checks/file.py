"""Checks of a GGUF file's layout and hyper-parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator

from quantize.architectures import ARCHITECTURES
from quantize.architectures.pooling import EMBEDDERS, NO_POOLING
from quantize.formats.gguf_split import NAME
from quantize.formats.tensor_names import is_known
from quantize.ollama.doctor.checks.base import Pair, Problem, error, note, warning
from quantize.tensors import GGML_TYPES

_AGAIN = "convert it again with a current converter"

# Every key whose exact type Ollama insists on; "?" stands for the architecture.
_TYPES = {
    "general.alignment": "UINT32",
    "general.file_type": "UINT32",
    "general.quantization_version": "UINT32",
    "general.architecture": "STRING",
    "general.type": "STRING",
    "tokenizer.chat_template": "STRING",
    "tokenizer.ggml.model": "STRING",
    "tokenizer.ggml.pre": "STRING",
    "tokenizer.ggml.add_bos_token": "BOOL",
    "tokenizer.ggml.bos_token_id": "UINT32",
    "tokenizer.ggml.eos_token_id": "UINT32",
    "?.block_count": "UINT32",
    "?.context_length": "UINT32",
    "?.embedding_length": "UINT32",
    "?.pooling_type": "UINT32",
    "?.nextn_predict_layers": "UINT32",
}
_NEEDED = ("block_count", "context_length", "embedding_length")
# Every architecture has one of these.
_EPSILONS = (
    "attention.layer_norm_rms_epsilon",
    "attention.layer_norm_epsilon",
    "attention.group_norm_epsilon",
)
# llama.cpp's converter writes minus infinity for layers of Gemma 3n without sparsity.
_MAY_BE_INFINITE = ".activation_sparsity_scale"
_NO_VECTORS = "neither embeddings nor chats work"
_POOL = "convert it again with --pooling mean, cls or last, as the model's page says"
# Factors are written with few digits.
_ROUNDED = 1.01
# GGUF architectures of Ollama's own converter, and what llama.cpp has for the same models.
_OLLAMA_ONLY = {
    "qwen25vl": "qwen2vl",
    "deepseekocr": "deepseek2-ocr",
    "glmocr": "glm4 with an mmproj file",
    "mllama": "nothing",
    "nemotron_h_omni": "nemotron_h with an mmproj file",
}


def alignment(pair: Pair) -> Iterator[Problem]:
    value = pair.file.value("general.alignment")
    if value not in (None, 32):
        yield error(
            f"general.alignment is {value}: Ollama fails to create the model, or damages it",
            "convert it again without general.alignment, which means 32",
        )


def file_type(pair: Pair) -> Iterator[Problem]:
    value = pair.file.value("general.file_type")
    if not pair.file.is_model or value:
        return
    said = "missing" if value is None else "0, which is F32"
    yield warning(
        f"general.file_type is {said}: Ollama calls its quantization unknown",
        "quantize it: quantize convert FILE.gguf -t Q8_0",
    )


def quantization_version(pair: Pair) -> Iterator[Problem]:
    is_quantized = any(GGML_TYPES[t.dtype].block_size > 1 for t in pair.file.tensors.values())
    value = pair.file.value("general.quantization_version")
    if is_quantized and value != 2:
        yield warning(f"general.quantization_version is {value}, not 2", _AGAIN)


def scalar_types(pair: Pair) -> Iterator[Problem]:
    for odd in pair.file.odd:
        yield error(
            f"{odd.key} is {odd.type}, which makes no sense: to Ollama it is missing", _AGAIN
        )
    for pattern, wanted in _TYPES.items():
        kv = pair.file.kvs.find(pattern.replace("?", pair.file.arch))
        if kv is not None and kv.type != wanted:
            yield error(
                f"{kv.key} is {kv.type}, not {wanted}: to Ollama it is missing",
                f"write it as {wanted}; {_AGAIN}",
            )


def hparams(pair: Pair) -> Iterator[Problem]:
    if not pair.file.is_model:
        return
    for name in _NEEDED:
        if not pair.file.hparam(name):
            yield error(f"{pair.file.arch}.{name} is missing", _AGAIN)
    if pair.file.arch and not any(pair.file.hparam(name) for name in _EPSILONS):
        yield error(f"{pair.file.arch}.{_EPSILONS[0]} is missing: creating fails", _AGAIN)


def architecture(pair: Pair) -> Iterator[Problem]:
    arch = pair.file.arch
    if not arch:
        yield error("general.architecture is missing", _AGAIN)
    elif arch in _OLLAMA_ONLY:
        yield error(
            f"only Ollama's own converter writes {arch}; llama.cpp does not know it",
            f"convert it with quantize or llama.cpp, which write {_OLLAMA_ONLY[arch]}",
        )
    elif pair.file.is_model and not (is_known(arch) or arch in _ours()):
        yield warning(
            f"{arch} is an architecture that quantize does not know",
            "if `ollama create` fails with exit status 1, llama.cpp does not know it either",
        )


def _ours() -> set[str]:
    return {ARCHITECTURES[name].arch for name in ARCHITECTURES}


def context_length(pair: Pair) -> Iterator[Problem]:
    length = pair.file.hparam("context_length")
    trained = pair.file.hparam("rope.scaling.original_context_length")
    factor = pair.file.hparam("rope.scaling.factor")
    if not isinstance(length, int) or not isinstance(trained, int):
        return
    if length < trained:
        yield warning(
            f"context_length is {length}, but the model was trained with {trained}", _AGAIN
        )
    elif isinstance(factor, float) and length > trained * max(factor, 1) * _ROUNDED:
        yield warning(
            f"context_length is {length}, but {trained} stretched by {factor:g} is less:"
            " Ollama takes memory for what the model cannot use",
            f"{_AGAIN}, or set num_ctx",
        )


def finite_values(pair: Pair) -> Iterator[Problem]:
    for kv in pair.file.kvs:
        is_array = isinstance(kv.value, tuple)
        values = kv.value if is_array else (kv.value,)
        if "FLOAT" not in kv.type or all(map(math.isfinite, values)):
            continue
        remedy = "leave the key out, or give it a number"
        if not is_array:
            yield error(f"{kv.key} is not finite: `ollama show` fails", remedy)
        elif not kv.key.endswith(_MAY_BE_INFINITE):
            yield warning(f"{kv.key} is not finite: `ollama show --verbose` fails", remedy)


def pooling(pair: Pair) -> Iterator[Problem]:
    """Ollama makes vectors of texts with a model that has a pooling type, and text with others."""
    file, kind = pair.file, pair.file.hparam("pooling_type")
    is_classifier = any(name.startswith("cls.") for name in file.tensors)
    if kind is None and file.arch in EMBEDDERS and not is_classifier:
        yield error(f"{file.arch}.pooling_type is missing: {_NO_VECTORS}", _POOL)
    elif kind == NO_POOLING:
        yield error(f"{file.arch}.pooling_type is 0, a vector for each token: {_NO_VECTORS}", _POOL)
    elif kind is not None and file.jinja:
        yield note("there is a pooling type: Ollama makes embeddings with the model, and no text")


def split(pair: Pair) -> Iterator[Problem]:
    count = pair.file.value("split.count")
    if not isinstance(count, int) or count < 2:
        return
    name = pair.file.path.name
    shard = NAME.fullmatch(name)
    number = pair.file.value("split.no")
    if number is None:
        yield error(f"one of {count} shards, without split.no", _AGAIN)
    elif not shard or (int(shard[2]) - 1, int(shard[3])) != (number, count):
        yield error(
            f"shard {number + 1} of {count} is called {name}",
            f"call it NAME-{number + 1:05}-of-{count:05}.gguf",
        )
    listed = pair.modelfile.values("from") if pair.modelfile else None
    if listed is not None and len(listed) < count:
        yield error(
            f"the Modelfile names {len(listed)} of {count} shards", "write a FROM line for each"
        )
