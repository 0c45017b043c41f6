"""From what a person typed after --lora to a source with the adapters merged in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from quantize.checkpoints.adapters import settings
from quantize.checkpoints.adapters.merged import MergedCheckpoint
from quantize.checkpoints.adapters.peft import Adapter, read_adapter
from quantize.errors import CheckpointError, UsageError
from quantize.formats.kv import KV, KeyValues, string, u32
from quantize.planning.model import Model
from quantize.sources.opening import Opened, OpenedModel, folder_name
from quantize.sources.stamps import Stamp, stamp_of
from quantize.storage.hub.downloads import fetch_snapshot
from quantize.storage.hub.repository import parse_hub_id
from quantize.storage.local import LocalFolder

_HUB = "https://huggingface.co"
_ORIGIN = "general.base_model."
# What repositories of quantized copies put behind the name of the model.
_COPY = re.compile(r"(-unsloth)?[-_.](bnb|gptq|awq|fp8|[48]-?bit|int[48]|quantized|gguf)\b.*")


@dataclass(frozen=True, slots=True)
class OpenedAdapter:
    """An adapter and where it came from; `repo` and `commit` only when that was the Hub."""

    adapter: Adapter
    location: str
    identity: str
    repo: str | None = None
    commit: str | None = None
    stamps: tuple[Stamp, ...] = ()


def open_adapter(text: str, token: str | None = None) -> OpenedAdapter:
    """Open `FOLDER[=SCALE]` or `org/name[@revision][=SCALE]`. Raises UsageError."""
    text, factor = _split(text)
    path = Path(text).expanduser()
    if text and path.is_dir():
        adapter = read_adapter(LocalFolder(path), folder_name(path), factor)
        stamp = stamp_of(path, {settings.FILE, *(tensor.file for tensor in adapter.tensors)})
        return OpenedAdapter(adapter, str(path), f"{stamp.identity}*{factor}", stamps=(stamp,))
    repository = parse_hub_id(text)
    if repository is None:
        raise UsageError(
            "no-such-adapter",
            f"{text!r} is neither a folder nor a repository of the Hub",
            hint="give the folder that adapter_config.json is in, or org/name",
        )
    snapshot = fetch_snapshot(*repository, token=token)
    repo = repository[0]
    adapter = read_adapter(LocalFolder(snapshot.path), repo.rpartition("/")[2], factor)
    return OpenedAdapter(adapter, repo, f"{repo}@{snapshot.commit}*{factor}", repo, snapshot.commit)


def merge_into(opened: OpenedModel, adapters: Sequence[OpenedAdapter]) -> OpenedModel:
    """The opened base with the adapters merged. Raises UsageError, CheckpointError."""
    if opened.source.kind != "checkpoint":
        raise UsageError(
            "adapter-on-gguf",
            "an adapter cannot be merged into a GGUF file",
            where=opened.location,
            reason="its tensors have other names and orders than those the adapter was trained on",
            hint="give the base's checkpoint, or make a GGUF adapter with --adapter-only",
        )
    for one in adapters:
        if opened.repo and parse_hub_id(one.adapter.settings.base) and _is_other(opened, one):
            raise CheckpointError(
                "other-base",
                f"it was trained on {one.adapter.settings.base}",
                where=one.location,
                reason=f"the base given is {opened.repo}",
                hint=f"quantize convert {one.adapter.settings.base} --lora {one.location}",
            )
    merged = MergedCheckpoint(opened.source, [one.adapter for one in adapters])
    merged.name = "-".join([opened.source.name, *(one.adapter.name for one in adapters)])
    identity = " ".join([opened.identity, *(one.identity for one in adapters)])
    stamps = (*opened.stamps, *(stamp for one in adapters for stamp in one.stamps))
    return replace(opened, source=merged, identity=identity, stamps=stamps)


def notes_of(opened: Opened, adapters: Sequence[OpenedAdapter]) -> Iterator[str]:
    """What a person should know of a merge, a line each."""
    for one in adapters:
        if one.adapter.settings.base and _is_other(opened, one):
            base = one.adapter.settings.base
            yield f"{one.adapter.name} was trained on {base}; it is merged into {opened.location}"


def name_origins(model: Model, opened: Opened, adapters: Sequence[OpenedAdapter]) -> Model:
    """The model with general.base_model.* that name base and adapters, with their commits."""
    if not adapters:
        return model
    base = opened.repo or Path(opened.location).name
    entries: list[KV] = [u32(f"{_ORIGIN}count", 1 + len(adapters))]
    entries += _origin(0, base, opened.repo, opened.commit)
    for place, one in enumerate(adapters, 1):
        entries += _origin(place, one.adapter.name, one.repo, one.commit)
        text = f"LoRA adapter, merged with scale {one.adapter.factor:g}"
        entries.append(string(f"{_ORIGIN}{place}.description", text))
    kept = [kv for kv in model.kvs if not kv.key.startswith(_ORIGIN)]
    at = max(i for i, kv in enumerate(kept) if kv.key.startswith("general.")) + 1
    return replace(model, kvs=KeyValues((*kept[:at], *entries, *kept[at:])))


def _origin(place: int, name: str, repo: str | None, commit: str | None) -> Iterator[KV]:
    yield string(f"{_ORIGIN}{place}.name", name.rpartition("/")[2])
    if commit:
        yield string(f"{_ORIGIN}{place}.version", commit)
    if repo:
        yield string(f"{_ORIGIN}{place}.organization", repo.partition("/")[0])
        yield string(f"{_ORIGIN}{place}.repo_url", f"{_HUB}/{repo}")


def _split(text: str) -> tuple[str, float]:
    """`TEXT=SCALE` as both; a folder with a sign of equality in its name is taken as it is."""
    name, sign, number = text.rpartition("=")
    if not sign or Path(text).expanduser().is_dir():
        return text, 1.0
    try:
        return name, float(number)
    except ValueError as error:
        raise UsageError(
            "bad-scale",
            f"{number!r} is not a number",
            where=f"--lora {text}",
            hint=f"--lora {name}=0.5",
        ) from error


def _is_other(opened: Opened, one: OpenedAdapter) -> bool:
    known = {_model(opened.repo or Path(opened.location).resolve().name)}
    if opened.source.kind == "checkpoint":
        known.add(_model(str(opened.source.config.get("_name_or_path") or "")))
    return _model(one.adapter.settings.base) not in known


def _model(name: str) -> str:
    """The model's own name, whoever published which copy of it."""
    return _COPY.sub("", name.rstrip("/").rpartition("/")[2].lower())
