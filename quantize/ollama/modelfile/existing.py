"""Modelfiles of GGUF files, also of those that somebody else made."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from quantize.errors import UsageError
from quantize.formats.kv import KeyValues
from quantize.ollama.modelfile.facts import read_facts
from quantize.ollama.modelfile.prompt import Prompt, prompt_of, source_of, special_tokens
from quantize.ollama.modelfile.shards import shards_of
from quantize.ollama.modelfile.writing import Chosen, chosen_of, modelfile
from quantize.options.modelfile import ModelfileOptions
from quantize.vocab import end_tokens

# GGUF key -> the name that generation_config.json has for the same.
SAMPLING_KEYS = {
    "general.sampling.temp": "temperature",
    "general.sampling.top_k": "top_k",
    "general.sampling.top_p": "top_p",
    "general.sampling.min_p": "min_p",
    "general.sampling.penalty_repeat": "repetition_penalty",
}


def modelfile_beside(path: Path, folder: Path, options: ModelfileOptions) -> str:
    """The text of a Modelfile in `folder` for the GGUF file `path`, or the model it is a shard of.

    Renders the chat template: takes a second or two. Raises what reading the file raises, and
    UsageError: "no-model" for an adapter or a projector, "no-shard" if not all shards are there.
    """
    paths = shards_of(path)
    file = read_facts(paths[0])
    if not file.is_model:
        raise UsageError(
            "no-model",
            "this GGUF file is an adapter or projector, not a model",
            where=str(path),
            reason=f"general.type is {file.value('general.type')}, the architecture {file.arch}",
            hint="name it in the Modelfile of its model: ADAPTER, or a second FROM line",
        )
    prompt = prompt_in(file.kvs, options)
    names = [os.path.relpath(one.resolve(), folder.resolve()) for one in paths]
    return modelfile_of_gguf(
        [name.replace(os.sep, "/") for name in names], file.kvs, prompt, chosen_of(options)
    )


def prompt_in(kvs: KeyValues, options: ModelfileOptions) -> Prompt | None:
    """How prompts are made; None for a model without a chat template, or one that makes no text."""
    source = source_of(kvs)
    if source is None or kvs.is_embedder:
        return None
    return prompt_of(kvs.arch, source, special_tokens(kvs), is_exact=options.exact_template)


def modelfile_of_gguf(
    files: Sequence[str], kvs: KeyValues, prompt: Prompt | None, chosen: Chosen
) -> str:
    """The text of a Modelfile, from the key-values of the GGUF file that it names.

    `files` are several if the model is split.
    """
    return modelfile(
        *files,
        ends=end_tokens(_NoFiles(), kvs),
        generation=sampling_of(kvs),
        generation_source="the GGUF file",
        license_name=license_named(kvs),
        prompt=prompt,
        is_embedder=kvs.is_embedder,
        chosen=chosen,
    )


def license_named(kvs: KeyValues) -> str | None:
    """What a model card said of the license: its name, and where it is."""
    name = kvs.value("general.license.name") or kvs.value("general.license")
    said = [text for text in (name, kvs.value("general.license.link")) if isinstance(text, str)]
    return " ".join(said) or None


def sampling_of(kvs: KeyValues) -> dict[str, float]:
    """The sampling defaults in a GGUF file, under generation_config.json's names."""
    return {
        name: _shortest(value)
        for key, name in SAMPLING_KEYS.items()
        if isinstance(value := kvs.value(key), int | float)
    }


def _shortest(value: float) -> float:
    """A float32 that was 0.7 is 0.7 again: seven digits are what it holds."""
    return float(f"{value:.7g}")


class _NoFiles:
    """A GGUF file comes without other files."""

    def read(self, name: str) -> bytes | None:
        return None

    def names(self) -> Iterable[str]:
        return ()
