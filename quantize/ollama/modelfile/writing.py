"""The Modelfile of a GGUF file: what `ollama create` needs in addition to the weights.

Ollama reads neither generation_config.json nor the sampling keys of a GGUF file, so the model's
own defaults become PARAMETER lines. Stop lines are always written: any of them replaces the whole
list that Ollama may have detected from the chat template, which is sometimes another model's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from quantize.errors import UsageError
from quantize.ollama.modelfile.parameters import parse_parameter
from quantize.ollama.modelfile.prompt import Prompt
from quantize.ollama.modelfile.stops import stop_lines
from quantize.ollama.quoting import is_kept, is_representable, quoted, rewritten
from quantize.options.modelfile import ModelfileOptions
from quantize.storage.small_files import content

# Names under which repositories keep the text of their license, the likeliest first.
_LICENSE_FILES = (
    "license", "license.txt", "license.md", "license.rst", "licence", "licence.txt", "licence.md",
    "license-model", "license-model.txt", "license_model", "copying", "copying.txt",
)  # fmt: skip

GENERATION_CONFIG = "generation_config.json"
_LICENSE_NAMED = "# The model card names the license; there is no file with its text."
_NO_CHAT_TEMPLATE = "# The model has no chat template: prompts reach it as they are."


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a person wants in the Modelfile: a SYSTEM text, parameters as (name, value), a license.

    A parameter takes the place of the model's own, stops are added to them; the license takes the
    place of the repository's.
    """

    system: str | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    license_text: bytes | None = None

    def stops(self) -> tuple[str, ...]:
        return tuple(value for name, value in self.parameters if name == "stop")

    def others(self) -> dict[str, str]:
        """All but the stops; the last of a name counts."""
        return {name: value for name, value in self.parameters if name != "stop"}


NOTHING_CHOSEN = Chosen()
NOTHING: Mapping[str, Sequence[str]] = MappingProxyType({})


def chosen_of(options: ModelfileOptions) -> Chosen:
    """What these options say. Raises UsageError, DiskError if the license cannot be read."""
    wanted = tuple(map(parse_parameter, options.parameter))
    wanted += () if options.num_ctx is None else (("num_ctx", str(options.num_ctx)),)
    text = None if options.license is None else content(Path(options.license))
    return Chosen(options.system, wanted, text)


def license_file(names: Iterable[str]) -> str | None:
    """Which of a checkpoint's files holds its license, if any does."""
    found = {name.casefold(): name for name in sorted(names, reverse=True)}
    return next((found[name] for name in _LICENSE_FILES if name in found), None)


def modelfile(
    *files: str,
    ends: Mapping[str, Sequence[str]] = NOTHING,
    generation: Mapping[str, Any] | None = None,
    generation_source: str = GENERATION_CONFIG,
    license_text: bytes | None = None,
    license_name: str | None = None,
    prompt: Prompt | None = None,
    is_embedder: bool = False,
    chosen: Chosen = NOTHING_CHOSEN,
) -> str:
    """The text of a Modelfile; write it as UTF-8, its line ends as they are.

    `files` are the GGUF file's name in the Modelfile's own folder, or those of all its shards;
    `ends` the texts of the tokens that end a turn, each with what says so; `generation` is
    generation_config.json or has its names and comes from `generation_source`; `license_text` is
    the content of the license file, `license_name` what replaces it if there is none, `prompt`
    what is to be said of the chat template, if there is one. An embedder gets no stops,
    no sampling and no word about chat templates.
    Raises UsageError("bad-file-name") for a name that a Modelfile cannot hold.
    """
    sections = [[_from(file) for file in files]]
    if is_embedder:
        sections.append(["# An embedding model: it has no prompt format."])
    else:
        sections.append(prompt.lines() if prompt else [_NO_CHAT_TEMPLATE])
        sections.append(stop_lines(ends, prompt, chosen.stops()))
        sections.append(_sampling_lines(generation or {}, generation_source, chosen.others()))
    sections.append(_chosen_lines(chosen))
    license_text = license_text if chosen.license_text is None else chosen.license_text
    if license_text is not None:
        sections.append(_license_lines(license_text))
    elif license_name is not None:
        sections.append([_LICENSE_NAMED, *_text_lines("LICENSE", license_name)])
    return "\n".join("".join(f"{line}\n" for line in section) for section in sections if section)


def _from(file: str) -> str:
    if "\n" in file or "\r" in file or file != file.strip() or not all(map(is_kept, file)):
        raise UsageError(
            "bad-file-name",
            f"a Modelfile cannot name the file {file!r}",
            reason="Ollama's reader drops characters that are not printable",
            hint="give another name: --name NAME",
        )
    # Without ./ a mistyped name would be taken for a model of Ollama's library, and pulled.
    return f"FROM ./{file}"


def _number(value: Any) -> str | None:
    """A number that Go's 32-bit floats hold; comparing leaves NaN out."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return repr(value) if is_number and abs(value) < 1e30 else None


def _whole(value: Any) -> str | None:
    number = _number(value)
    return None if number is None or value != int(value) else str(int(value))


# generation_config.json -> (parameter, how it is written, whether it only matters when sampling).
# Penalties change the scores of greedy decoding too.
_PARAMETERS: Mapping[str, tuple[str, Callable[[Any], str | None], bool]] = {
    "temperature": ("temperature", _number, True),
    "top_k": ("top_k", _whole, True),
    "top_p": ("top_p", _number, True),
    "min_p": ("min_p", _number, True),
    "typical_p": ("typical_p", _number, True),
    "repetition_penalty": ("repeat_penalty", _number, False),
    "presence_penalty": ("presence_penalty", _number, False),
    "frequency_penalty": ("frequency_penalty", _number, False),
}


def _sampling_lines(
    generation: Mapping[str, Any], source: str, chosen: Mapping[str, str]
) -> list[str]:
    # transformers ignores the sampling values of a file that says do_sample: false, so they are
    # leftovers there. Where it says nothing they are the author's: engines such as vLLM apply them.
    greedy = generation.get("do_sample") is False
    lines, ignored = [], []
    for key, (parameter, written, when_sampling) in _PARAMETERS.items():
        value = generation.get(key)
        if value is None or parameter in chosen:
            continue
        if greedy and when_sampling:
            ignored.append(key)
        elif (text := written(value)) is not None:
            lines.append(f"PARAMETER {parameter} {text}")
        else:
            lines.append(f"# {key} is left out: {value!a} is not a value for it.")
    if ignored:
        lines.append(f"# do_sample is false there, so its {', '.join(ignored)} had no effect.")
    return [f"# From {source}.", *lines] if lines else []


def _chosen_lines(chosen: Chosen) -> list[str]:
    lines = [f"PARAMETER {name} {value}" for name, value in chosen.others().items()]
    if lines:
        lines.insert(0, "# Chosen by whoever had this file written.")
    if chosen.system:
        lines += _text_lines("SYSTEM", chosen.system)
    return lines


def _license_lines(content: bytes) -> list[str]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Old license texts with a Latin-1 copyright sign; this decoding has no errors.
        text = content.decode("latin-1")
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    return _text_lines("LICENSE", text) if text else []


def _text_lines(instruction: str, text: str) -> list[str]:
    if is_representable(text):
        return [f"{instruction} {quoted(text)}"]
    return [
        "# Characters that a Modelfile cannot hold are replaced in this text.",
        f"{instruction} {quoted(rewritten(text))}",
    ]
