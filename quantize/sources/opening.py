"""From what a person typed to an opened source: a folder, a GGUF file, a repository of the Hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

from quantize.checkpoints.adapters.peft import is_adapter
from quantize.checkpoints.checkpoint import Checkpoint, open_checkpoint
from quantize.checkpoints.gguf_file import GGUFFile
from quantize.checkpoints.kinds import AnySource
from quantize.checkpoints.source import RowSource
from quantize.errors import UsageError
from quantize.formats.gguf_split import parts_of, stem_of
from quantize.sources.stamps import Stamp, stamp_of
from quantize.storage.hub.files import HubFiles
from quantize.storage.hub.repository import Snapshot, parse_hub_id, pin_or_cached
from quantize.storage.local import LocalFolder
from quantize.storage.source import ByteSource

# Folder names that say nothing about the model; its parent's name does.
_NAMELESS = re.compile(r"checkpoint|model|weights|hf|snapshot|export|[0-9a-f]{40}|", re.IGNORECASE)


Found_co = TypeVar("Found_co", bound=AnySource, covariant=True)


@dataclass(frozen=True, slots=True)
class OpenedAs(Generic[Found_co]):
    """A source of one kind or another, seen through its headers.

    `repo` and `commit` are None unless it came from the Hub.

    `identity` changes when the source's weights do, as far as that can be known without reading
    them; `stamps` say how their files on the disk looked. `remote` are files of which only headers
    are here so far.
    """

    source: Found_co
    location: str
    identity: str
    repo: str | None = None
    commit: str | None = None
    remote: HubFiles | None = None
    stamps: tuple[Stamp, ...] = ()

    def check_unchanged(self) -> None:
        """Raise CheckpointError if a file of weights was changed since it was opened."""
        for stamp in self.stamps:
            stamp.check()


Opened: TypeAlias = OpenedAs[AnySource]
OpenedModel: TypeAlias = OpenedAs[Checkpoint | GGUFFile]


def open_source(text: str, token: str | None = None) -> OpenedModel:
    """Open a checkpoint folder, a .gguf file, or `org/name[@revision]` or a URL of the Hub.

    What exists on the disk wins over the Hub, of which only small files and the headers of the
    weights are read. Raises UsageError("no-such-source").
    """
    path = Path(text).expanduser()
    if path.is_file():
        return _open_file(path)
    if path.is_dir():
        checkpoint = _checkpoint(LocalFolder(path), folder_name(path), text)
        stamp = stamp_of(path, weight_names(checkpoint))
        return OpenedAs(checkpoint, str(path), stamp.identity, stamps=(stamp,))
    repository = parse_hub_id(text)
    if repository is None:
        raise UsageError(
            "no-such-source",
            f"{text!r} is neither a folder, a .gguf file, nor a repository of the Hub",
            hint="give a folder with config.json and .safetensors files, or org/name",
        )
    return _open_repository(*repository, token)


def _open_repository(repo: str, revision: str | None, token: str | None) -> OpenedAs[Checkpoint]:
    found = pin_or_cached(repo, revision, token)
    name = repo.rpartition("/")[2]
    identity = f"{repo}@{found.commit}"
    if isinstance(found, Snapshot):
        checkpoint = _checkpoint(LocalFolder(found.path), name, repo)
        stamp = stamp_of(found.path, weight_names(checkpoint))
        return OpenedAs(checkpoint, repo, identity, repo, found.commit, stamps=(stamp,))
    remote = HubFiles(found)
    return OpenedAs(_checkpoint(remote, name, repo), repo, identity, repo, found.commit, remote)


def _checkpoint(files: ByteSource, name: str, text: str) -> Checkpoint:
    """The checkpoint in `files`. Raises UsageError for a lone adapter."""
    if is_adapter(files) and "config.json" not in files.files():
        raise UsageError(
            "adapter-alone",
            "an adapter, which is not a model by itself",
            where=text,
            reason="it holds what is added to the weights of the model it was trained on",
            hint=f"quantize convert BASE --lora {text}",
        )
    return open_checkpoint(files, name)


def open_gguf(path: Path) -> GGUFFile:
    """A model in a GGUF file, or in several of which `path` is one.

    Raises UsageError("no-shard") if not all are in its folder.
    """
    folder = LocalFolder(path.parent)
    parts = parts_of(path.name)
    missing = sorted(set(parts).difference(folder.files()))
    if missing:
        raise UsageError(
            "no-shard",
            f"{len(missing)} of the {len(parts)} files of the model are not there",
            where=str(path.with_name(missing[0])),
            reason=f"{path.name} has a part of the tensors only",
            hint="put all of them into one folder",
        )
    return GGUFFile(folder, parts, stem_of(path.name))


def folder_name(path: Path) -> str:
    """The model's own name: the folder's, or a parent's where the folder's says nothing."""
    for folder in (path.resolve(), *path.resolve().parents):
        if not _NAMELESS.fullmatch(folder.name):
            return folder.name
    return "model"


def weight_names(source: RowSource) -> set[str]:
    """The files that hold weights. What else a folder has may change meanwhile: we write there."""
    return {part.file for weight in source.weights.values() for part in weight.parts}


def _open_file(path: Path) -> OpenedAs[GGUFFile]:
    if path.suffix == ".gguf":
        source = open_gguf(path)
        stamp = stamp_of(path.parent, source.names())
        return OpenedAs(source, str(path), stamp.identity, stamps=(stamp,))
    hint = "give the folder that holds it" if path.suffix in (".safetensors", ".json") else None
    raise UsageError(
        "no-such-source",
        f"{path.name} is a file, but not a .gguf file",
        where=str(path),
        hint=hint or "give a folder with config.json and .safetensors files, or a .gguf file",
    )
