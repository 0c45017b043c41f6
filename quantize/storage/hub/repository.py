"""Repositories of the Hugging Face Hub: their names, and what is in them at one commit."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import unquote, urlsplit

from quantize import __version__
from quantize.errors import NetworkError
from quantize.storage.hub.errors import asking, is_offline, offline
from quantize.storage.hub.guard import LIBRARY, check_file, check_revision, checked_commit
from quantize.storage.hub.retry import with_retries

# What a conversion may read. A star also matches slashes.
_WANTED = (
    "*.json",
    "*.jinja",
    "*.safetensors",
    "*.tiktoken",
    "tokenizer.model*",
    "vocab.txt",
    "merges.txt",
    "rwkv_vocab*.txt",
    "README.md",
    "LICENSE*",
    "1_Pooling/*",
)
# The same weights again for other programs, and what training left behind.
_UNWANTED = (
    "original/*",
    "onnx/*",
    "openvino/*",
    "coreml/*",
    "runs/*",
    "checkpoint-*/*",
)

_HUB_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>\S+))?")
_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
_PAGES = ("tree", "blob", "resolve", "commit")
_NO_MODELS = ("api", "collections", "datasets", "docs", "papers", "spaces")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """`sha256` is the Hub's own digest, of LFS files only; `etag` is what the Hub's answers say."""

    size: int
    etag: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at one commit (40 hex digits), with those of its files that may be read.

    `token` is what was given by hand; None leaves the choice to huggingface_hub.
    """

    repo: str
    commit: str
    files: Mapping[str, RemoteFile]
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A repository's files at one commit, as far as they are in the Hub's cache."""

    path: Path
    commit: str


def parse_hub_id(text: str) -> tuple[str, str | None] | None:
    """`org/name`, `org/name@revision` or a URL of the Hub as (repository, revision).

    None if it is none of them.
    """
    if text.startswith(("https://", "http://")):
        return _parse_url(text)
    match = _HUB_ID.fullmatch(text)
    if match is None or match["repo"].endswith(".gguf"):
        return None
    return match["repo"], match["revision"]


def _parse_url(text: str) -> tuple[str, str | None] | None:
    from huggingface_hub import constants

    url, own = urlsplit(text), urlsplit(constants.ENDPOINT)
    if url.netloc not in (*_HOSTS, own.netloc):
        return None
    org, name, *rest = [*filter(None, url.path.split("/")), "", ""][:5]
    found = _HUB_ID.fullmatch(f"{org}/{name}")
    if found is None or found["revision"] or org in _NO_MODELS:
        return None
    revision = unquote(rest[1]) if len(rest) > 1 and rest[0] in _PAGES else None
    return found["repo"], revision or None


def pin(repo: str, revision: str | None, token: str | None = None) -> Repository:
    """Which commit `revision` (None: main) is now, and its files.

    Without `token`, the one that `hf auth login` or HF_TOKEN left is used. Raises AuthError,
    UsageError for what does not exist, NetworkError.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    check_revision(repo, revision or "main")
    if is_offline():
        raise offline(repo)
    quiet()
    api = HfApi(token=token, library_name=LIBRARY, library_version=__version__)

    def ask() -> Repository:
        commit = checked_commit(repo, api.model_info(repo, revision=revision or "main").sha)
        files = {}
        for entry in api.list_repo_tree(repo, revision=commit, recursive=True):
            if isinstance(entry, RepoFile) and _is_wanted(entry.path):
                sha256 = entry.lfs.sha256 if entry.lfs else None
                check_file(repo, entry.path, entry.size, entry.blob_id, sha256)
                files[entry.path] = RemoteFile(entry.size, sha256 or entry.blob_id, sha256)
        return Repository(repo, commit, _without_copies(files), token)

    with asking(repo, revision, token):
        found = with_retries(ask, tries=5)
    _remember(repo, revision or "main", found.commit)
    return found


def _remember(repo: str, revision: str, commit: str) -> None:
    """Let the cache know what a branch is, as its layout has it: offline, nobody else does."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    if revision == commit:
        return
    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model")
    ref = folder / "refs" / revision
    # The first download reports a cache that cannot be written.
    with contextlib.suppress(OSError):
        if not ref.is_file() or ref.read_text("utf-8") != commit:
            ref.parent.mkdir(parents=True, exist_ok=True)
            ref.write_text(commit, "utf-8")


def cached_snapshot(repo: str, revision: str | None) -> Snapshot:
    """What earlier runs left in the cache. Raises NetworkError where that is nothing."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        path = snapshot_download(
            repo,
            revision=revision,
            local_files_only=True,
            allow_patterns=list(_WANTED),
            ignore_patterns=list(_UNWANTED),
        )
    except LocalEntryNotFoundError as error:
        raise offline(repo) from error
    return Snapshot(Path(path), Path(path).name)


def pin_or_cached(
    repo: str, revision: str | None, token: str | None = None
) -> Repository | Snapshot:
    """The repository on the Hub; what the cache has of it where the Hub cannot be asked."""
    try:
        return pin(repo, revision, token)
    except NetworkError as trouble:
        try:
            return cached_snapshot(repo, revision)
        except NetworkError:
            raise trouble from trouble.__cause__


def quiet() -> None:
    """Keep huggingface_hub from printing bars and warnings between our own lines."""
    from huggingface_hub.utils import (  # type: ignore[attr-defined] # re-exported, in its own way
        disable_progress_bars,
    )

    disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)


def _without_copies(files: dict[str, RemoteFile]) -> dict[str, RemoteFile]:
    """Without the weights in Mistral's own format, where they are there in transformers', too."""
    copies = {name for name in files if name.startswith("consolidated")}
    weights = {name for name in files if name.endswith(".safetensors") and "/" not in name}
    return {name: file for name, file in files.items() if name not in copies or weights <= copies}


def _is_wanted(path: str) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in _WANTED) and not any(
        fnmatchcase(path, pattern) for pattern in _UNWANTED
    )
