"""The model card of quantized files: what they are, how to run them, what they were made from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from quantize import __version__
from quantize.formats.gguf_split import parts_of
from quantize.formats.kv import KeyValues
from quantize.units import format_bytes, listed

_HUB = "https://huggingface.co"


@dataclass(frozen=True, slots=True)
class CardFile:
    """A GGUF file of the card: its file type, size in bytes and SHA-256.

    `imatrix` says which importance matrix it was made with, if any, `refinement` how its codes
    were chosen where they are not llama-quantize's.
    """

    name: str
    type: str
    size: int
    bits_per_weight: float
    sha256: str
    imatrix: str | None = None
    refinement: str | None = None


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What the card says of the model. `base` and `commit` are of the Hub, where that is known.

    `kvs` are the general key-values of the files, from which license and languages come.
    """

    name: str
    repo: str
    kvs: KeyValues
    base: str | None = None
    commit: str | None = None


def model_card(facts: CardFacts, files: Sequence[CardFile]) -> str:
    """README.md of a repository that holds `files`. The same facts give the same text."""
    return "\n".join([*_front(facts), *_body(facts, files), ""])


def _front(facts: CardFacts) -> Iterator[str]:
    """The YAML at the top. Strings are written as JSON, which is YAML."""
    yield "---"
    if facts.base:
        yield f"base_model: {_text(facts.base)}"
        yield "base_model_relation: quantized"
    for key, name in (
        ("general.license", "license"),
        ("general.license.name", "license_name"),
        ("general.license.link", "license_link"),
    ):
        if value := facts.kvs.value(key):
            yield f"{name}: {_text(str(value))}"
    languages = facts.kvs.value("general.languages")
    if isinstance(languages, tuple) and languages:
        yield f"language: [{', '.join(_text(str(one)) for one in languages)}]"
    yield "library_name: gguf"
    yield "tags: [gguf, llama.cpp, ollama, quantized]"
    yield "---"


def _body(facts: CardFacts, files: Sequence[CardFile]) -> Iterator[str]:
    yield f"\n# {facts.name}, quantized\n"
    if facts.base:
        commit = f" at commit `{facts.commit}`" if facts.commit else ""
        yield f"Made from [{facts.base}]({_HUB}/{facts.base}){commit}, with quantize {__version__}."
    else:
        yield f"Made with quantize {__version__}."
    yield from _parity(files)
    yield "| file | type | size | bits per weight |"
    yield "|---|---|---:|---:|"
    for file in files:
        size, bits = format_bytes(file.size), f"{file.bits_per_weight:.2f}"
        yield f"| [{file.name}](./{_link(file.name)}) | {file.type} | {size} | {bits} |"
    yield from _importance(files)
    yield "\n## Run\n"
    yield from _run(facts.repo, files[0])
    yield "\n## Verify\n"
    yield "`manifest.json` records the source's files and every tensor's digest:\n"
    yield f"    quantize verify {_shell(files[0].name)}\n"
    yield "SHA-256 of the files:\n"
    for file in files:
        yield f"    {file.sha256}  {file.name}"


def _parity(files: Sequence[CardFile]) -> Iterator[str]:
    """Whose bytes these are."""
    kinds = dict.fromkeys(file.refinement for file in files if file.refinement)
    if not kinds:
        yield "The tensors are what llama.cpp's own converter and quantizer write.\n"
        return
    yield f"Types and sizes are llama.cpp's, but codes are chosen to lose less: {listed(kinds)}.\n"


def _importance(files: Sequence[CardFile]) -> Iterator[str]:
    # Only the first of a model's parts has key-values.
    heads = [file for file in files if parts_of(file.name)[0] == file.name]
    for imatrix in dict.fromkeys(file.imatrix for file in heads if file.imatrix):
        names = [f"`{file.name}`" for file in heads if file.imatrix == imatrix]
        of = "" if len(names) == len(heads) else f" of {', '.join(names)}"
        yield f"\nColumns{of} count as much as an importance matrix says: {imatrix}."


def _run(repo: str, first: CardFile) -> Iterator[str]:
    if len(parts_of(first.name)) == 1:
        yield f"    ollama run hf.co/{repo}:{first.type}"
    else:
        yield "Ollama pulls no model that is in several files, but makes one of them:\n"
        yield f"    hf download {repo} --local-dir ."
        yield "    ollama create NAME -f Modelfile\n"
        yield "llama.cpp takes them as they are:\n"
    yield f"    llama-server -hf {repo}:{first.type}"


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _link(name: str) -> str:
    return name.replace("%", "%25").replace(" ", "%20")


def _shell(name: str) -> str:
    return f'"{name}"' if " " in name else name
