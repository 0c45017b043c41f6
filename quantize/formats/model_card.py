"""general.*: what a GGUF file says about the model's origin, from its card, config and name.

The keys, their order and types are those of llama.cpp's converter (gguf-py/gguf/metadata.py); what
names and cards mean is found by the gguf package itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantize.formats.kv import KV, array, f32, i32, string, u32

# Key below general.sampling, value type, names in generation_config.json: the first one counts.
_SAMPLING = (
    ("sequence", "STRING", ("sequence",)),
    ("top_k", "INT32", ("top_k",)),
    ("top_p", "FLOAT32", ("top_p",)),
    ("min_p", "FLOAT32", ("min_p",)),
    ("xtc_probability", "FLOAT32", ("xtc_probability",)),
    ("xtc_threshold", "FLOAT32", ("xtc_threshold",)),
    ("temp", "FLOAT32", ("temperature",)),
    ("penalty_last_n", "INT32", ("penalty_last_n",)),
    ("penalty_repeat", "FLOAT32", ("penalty_repeat", "repetition_penalty")),
    ("mirostat", "INT32", ("mirostat",)),
    ("mirostat_tau", "FLOAT32", ("mirostat_tau",)),
    ("mirostat_eta", "FLOAT32", ("mirostat_eta",)),
)

# Key below general -> field of gguf.Metadata.
_TEXTS = {
    "name": "name",
    "author": "author",
    "version": "version",
    "organization": "organization",
    "finetune": "finetune",
    "basename": "basename",
    "description": "description",
    "quantized_by": "quantized_by",
    "size_label": "size_label",
    "license": "license",
    "license.name": "license_name",
    "license.link": "license_link",
    "url": "url",
    "doi": "doi",
    "uuid": "uuid",
    "repo_url": "repo_url",
    "source.url": "source_url",
    "source.doi": "source_doi",
    "source.uuid": "source_uuid",
    "source.repo_url": "source_repo_url",
}

_ORIGINS = {"base_model": "base_models", "dataset": "datasets"}
_ORIGIN_PARTS = (
    "name", "author", "version", "organization", "description", "url", "doi", "uuid", "repo_url",
)  # fmt: skip
_LISTS = ("tags", "languages")


@dataclass(frozen=True, slots=True)
class ParameterCounts:
    """Elements of all tensors; of those outside stacks of experts; of one expert; experts."""

    total: int
    shared: int
    per_expert: int
    expert_count: int


def general_kvs(
    card: bytes | None,
    config: Mapping[str, Any],
    generation_config: object,
    arch: str,
    name: str,
    counts: ParameterCounts,
    name_override: str | None = None,
) -> list[KV]:
    """All general.* key-values but file_type and quantization_version, in the converter's order.

    `card` is README.md, `config` and `generation_config` are parsed JSON, `name` is the name of
    the checkpoint's folder or repository. A card that cannot be read says nothing.
    """
    found = _understood(_front_matter(card or b""), config, name, counts)
    if name_override is not None:
        found["name"] = name_override
    return [
        string("general.architecture", arch),
        string("general.type", "model"),
        *_sampling(generation_config),
        *_texts(found),
        *_origins(found),
        *_lists(found),
    ]


# Cards with the results of hundreds of benchmarks have some hundred kB and ten thousand values.
_LARGEST_CARD = 4_000_000
_MOST_VALUES = 500_000
_DEEPEST = 50


def _front_matter(card: bytes) -> dict[str, Any]:
    """The YAML between the first two lines of three dashes."""
    import yaml  # type: ignore[import-untyped]  # PyYAML has no types of its own

    lines = card.decode(errors="replace").splitlines()
    if not lines or lines[0] != "---":
        return {}
    end = lines.index("---", 1) if "---" in lines[1:] else len(lines)
    text = "\n".join(lines[1:end]) + "\n"
    # As the converter does: Norwegian is not a negation, and some published cards hold tabs.
    text = text.replace("- no\n", '- "no"\n').replace("\t", "  ")
    if len(text) > _LARGEST_CARD:
        return {}
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        parsed = yaml.load(text, loader)  # noqa: S506 - both are safe loaders
    except (yaml.YAMLError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError):
        return {}
    return parsed if isinstance(parsed, dict) and _is_small(parsed) else {}


def _is_small(parsed: object) -> bool:
    """Whether it is no more than it looks like: anchors can name one list a billion times."""
    waiting, seen = [(parsed, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        seen += 1
        if seen > _MOST_VALUES or depth > _DEEPEST:
            return False
        if isinstance(value, dict):
            waiting += [(one, depth + 1) for pair in value.items() for one in pair]
        elif isinstance(value, list | tuple | set):
            waiting += [(one, depth + 1) for one in value]
    return True


def _understood(
    card: dict[str, Any], config: Mapping[str, Any], name: str, counts: ParameterCounts
) -> dict[str, Any]:
    """What the gguf package makes of card, config and name, by the fields of its Metadata."""
    import gguf

    named = config.get("_name_or_path")
    found = gguf.Metadata.apply_metadata_heuristic(
        gguf.Metadata(),
        card,
        {"_name_or_path": named} if isinstance(named, str) else {},
        Path(name),
        counts.total,
    )
    if found.name is None:
        found.name = name
    if found.size_label is None and counts.total > 0:
        found.size_label = gguf.size_label(
            counts.total, counts.shared, counts.per_expert, counts.expert_count
        )
    return vars(found)


def _sampling(generation_config: object) -> Iterator[KV]:
    if not isinstance(generation_config, Mapping):
        return
    for key, kind, names in _SAMPLING:
        value = next((generation_config[n] for n in names if n in generation_config), None)
        full = f"general.sampling.{key}"
        if kind == "STRING":
            if isinstance(value, str) and value:
                yield string(full, value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f32(full, value) if kind == "FLOAT32" else i32(full, int(value))


def _texts(found: Mapping[str, Any]) -> Iterator[KV]:
    for key, field in _TEXTS.items():
        text = _text(found[field])
        if text:
            yield string(f"general.{key}", text)


def _origins(found: Mapping[str, Any]) -> Iterator[KV]:
    for key, field in _ORIGINS.items():
        origins = found[field]
        if origins is None:
            continue
        yield u32(f"general.{key}.count", len(origins))
        for i, origin in enumerate(origins):
            for part in _ORIGIN_PARTS:
                text = _text(origin.get(part))
                if text:
                    yield string(f"general.{key}.{i}.{part}", text)


def _lists(found: Mapping[str, Any]) -> Iterator[KV]:
    for field in _LISTS:
        texts = [text for value in found[field] or () if (text := _text(value))]
        if texts:
            yield array(f"general.{field}", "STRING", texts)


def _text(value: object) -> str:
    """YAML also has numbers, dates and lists where a text is meant."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return str(value)
