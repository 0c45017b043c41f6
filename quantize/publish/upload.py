"""Files into a repository of the Hub, by huggingface_hub."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantize import __version__
from quantize.errors import NetworkError, QuantizeError, UsageError
from quantize.progress import Progress
from quantize.storage.hub.errors import explained, hub_failures, is_offline, offline
from quantize.storage.hub.guard import LIBRARY, checked_commit, guard, strange_answer
from quantize.storage.hub.repository import quiet
from quantize.storage.hub.retry import with_retries
from quantize.storage.local import sha256_of
from quantize.units import format_bytes

_MESSAGE = "Add quantized files"


@dataclass(frozen=True, slots=True)
class Pushed:
    """Where the files are now. `unchanged` were there before, byte for byte."""

    repo: str
    commit: str
    url: str
    uploaded: tuple[str, ...]
    unchanged: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Upload:
    """A file on the way to the Hub: from the disk, or a text."""

    name: str
    content: Path | bytes

    @property
    def size(self) -> int:
        content = self.content
        return len(content) if isinstance(content, bytes) else content.stat().st_size


class Target:
    """A repository to write to. Raises AuthError, NetworkError, UsageError."""

    def __init__(self, repo: str, token: str | None) -> None:
        from huggingface_hub import HfApi

        if is_offline():
            raise offline(repo)
        quiet()
        guard()
        self.repo = repo
        self._token = token
        self._api = HfApi(token=token, library_name=LIBRARY, library_version=__version__)

    def create(self, *, private: bool) -> None:
        """Make the repository unless it is there. An early test, too, whether the token may."""
        self._ask(lambda: self._api.create_repo(self.repo, private=private, exist_ok=True))

    def push(self, files: Sequence[Upload], progress: Progress, *, force: bool) -> Pushed:
        """Upload what is not there, in one commit.

        What was uploaded before an interruption is not sent again: large files are stored by their
        digests. Raises UsageError where another file of that name is there, unless `force`.
        """
        commit, there = self._listed()
        unchanged = [file for file in files if _is_same(file, there.get(file.name))]
        missing = [file for file in files if file not in unchanged]
        replaced = [file.name for file in missing if file.name in there]
        if replaced and not force:
            raise UsageError(
                "would-overwrite",
                f"other files of that name are there: {', '.join(replaced)}",
                where=self.repo,
                hint="--force replaces them; the old ones stay in the repository's history",
            )
        if missing:
            commit = self._commit(missing, commit, progress)
        return Pushed(
            self.repo,
            commit,
            f"{self._api.endpoint}/{self.repo}/tree/{commit}",
            tuple(file.name for file in missing),
            tuple(file.name for file in unchanged),
        )

    def _listed(self) -> tuple[str, Mapping[str, Any]]:
        """The newest commit, and its files by path."""
        from huggingface_hub.hf_api import RepoFile

        def ask() -> tuple[str, Mapping[str, Any]]:
            commit = checked_commit(self.repo, self._api.model_info(self.repo).sha)
            tree = self._api.list_repo_tree(self.repo, revision=commit, recursive=True)
            return commit, {one.path: one for one in tree if isinstance(one, RepoFile)}

        found: tuple[str, Mapping[str, Any]] = self._ask(ask)
        return found

    def _commit(self, files: Sequence[Upload], parent: str, progress: Progress) -> str:
        from huggingface_hub import CommitOperationAdd

        progress.start("push", sum(file.size for file in files))
        operations = []
        for file in files:
            operation = CommitOperationAdd(
                file.name, str(file.content) if isinstance(file.content, Path) else file.content
            )
            self._ask(lambda one=operation: self._api.preupload_lfs_files(self.repo, [one]))
            operations.append(operation)
            progress.advance(file.size, file.name)
            if file.size > _WORTH_A_LINE:
                progress.note(f"{file.name} is there ({format_bytes(file.size)})")
        # Not tried again by itself: an answer that is lost may have been a success.
        done = self._ask(
            lambda: self._api.create_commit(
                self.repo, operations, commit_message=_MESSAGE, parent_commit=parent
            ),
            tries=1,
        )
        progress.finish()
        return checked_commit(self.repo, done.oid)

    def _ask(self, action: Any, tries: int = 7) -> Any:
        try:
            return with_retries(action, tries)
        except hub_failures() as error:
            raise explained(error, self.repo, None, self._token) from error
        except (RuntimeError, ValueError) as error:
            raise self._failed(error) from error
        except (LookupError, TypeError, AttributeError) as error:
            raise strange_answer(self.repo, f"{type(error).__name__}: {error}"[:200]) from error

    def _failed(self, error: Exception) -> QuantizeError:
        """Uploads wrap their trouble once more."""
        cause = error.__cause__
        if isinstance(cause, hub_failures()):
            return explained(cause, self.repo, None, self._token)
        return NetworkError(
            "upload-failed",
            "the Hub did not take a file",
            where=self.repo,
            reason=str(cause or error).partition("\n")[0],
            hint="the same command continues; what is uploaded is not sent again",
        )


_WORTH_A_LINE = 10 << 20


def _is_same(file: Upload, there: Any) -> bool:
    """Whether the file is there already, by the digest that the Hub lists."""
    if there is None:
        return False
    if there.lfs is None:
        data = file.content if isinstance(file.content, bytes) else file.content.read_bytes()
        git = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False)
        return bool(there.blob_id == git.hexdigest())
    if isinstance(file.content, bytes):
        return bool(there.lfs.sha256 == hashlib.sha256(file.content).hexdigest())
    return bool(there.lfs.size == file.size and there.lfs.sha256 == sha256_of(file.content))
