"""Repositories of the Hugging Face Hub, fetched into its own cache."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from quantize.errors import AuthError, NetworkError, QuantizeError, UsageError
from quantize.storage.sink import disk_error

# What a conversion reads. A star also matches slashes.
_WANTED = (
    "*.json",
    "*.jinja",
    "*.safetensors",
    "*.tiktoken",
    "tokenizer.model",
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
    "consolidated*",
    "runs/*",
    "checkpoint-*/*",
)

_HUB_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>\S+))?")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A repository's files at one commit, in the Hub's cache."""

    path: Path
    commit: str


def parse_hub_id(text: str) -> tuple[str, str | None] | None:
    """`org/name` or `org/name@revision` as (repository, revision); None if it is neither."""
    match = _HUB_ID.fullmatch(text)
    if match is None or match["repo"].endswith(".gguf"):
        return None
    return match["repo"], match["revision"]


def fetch_snapshot(repo: str, revision: str | None, token: str | None = None) -> Snapshot:
    """Download what a conversion needs, or find it in the cache when there is no network.

    Without `token`, the one that `hf auth login` or HF_TOKEN left is used. Raises AuthError,
    UsageError for what does not exist, NetworkError, DiskError.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    # Of httpx, by whichever name this huggingface_hub imports it.
    transport_error = cast(type[Exception], HfHubHTTPError.__bases__[0])
    try:
        path = snapshot_download(
            repo,
            revision=revision,
            token=token,
            allow_patterns=list(_WANTED),
            ignore_patterns=list(_UNWANTED),
        )
    except (OSError, HFValidationError, transport_error) as error:
        raise _explained(error, repo, revision, token) from error
    return Snapshot(Path(path), Path(path).name)


def _explained(
    error: Exception, repo: str, revision: str | None, token: str | None
) -> QuantizeError:
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError):
        if _is_offline():
            return NetworkError(
                "offline",
                "not in the cache, and HF_HUB_OFFLINE forbids to fetch it",
                where=repo,
                hint="unset HF_HUB_OFFLINE, or give a folder",
            )
        # The client looks into its cache after any trouble; what went wrong is the cause.
        error = error.__cause__ if isinstance(error.__cause__, Exception) else error
    if isinstance(error, errors.HfHubHTTPError | errors.HFValidationError):
        return _explained_answer(error, repo, revision, token)
    if isinstance(error, OSError) and error.errno is not None:
        return disk_error(_cache(), error)
    return NetworkError(
        "no-connection",
        "the Hub cannot be reached",
        where=repo,
        reason=str(error).partition("\n")[0] or type(error).__name__,
        hint="check the connection and try again; what is complete is kept",
    )


def _explained_answer(
    error: Exception, repo: str, revision: str | None, token: str | None
) -> QuantizeError:
    """What the Hub said. Its errors are subclasses of one another: the first that fits wins."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return AuthError(
            "gated-repository",
            "the authors want you to accept their terms first",
            where=repo,
            reason=_where_tokens_are(token),
            hint=f"accept them at {_page(repo)}, then run `hf auth login`",
        )
    if isinstance(error, errors.RepositoryNotFoundError | errors.HFValidationError):
        return UsageError(
            "no-such-repository",
            "no such repository on the Hub, or a private one",
            where=repo,
            reason=_where_tokens_are(token),
            hint=f"look at {_page(repo)}; if a folder is meant, check its path",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return UsageError(
            "no-such-revision",
            f"no branch, tag or commit {revision!r}",
            where=repo,
            hint=f"see {_page(repo)}/tree/main for those there are",
        )
    status = cast(errors.HfHubHTTPError, error).response.status_code
    if status in {401, 403}:
        return AuthError(
            "token-refused",
            f"the Hub refused access (HTTP {status})",
            where=repo,
            reason=_where_tokens_are(token),
            hint="run `hf auth login` with a token that may read this repository",
        )
    return NetworkError(
        "hub-error",
        f"the Hub answered with HTTP {status}",
        where=repo,
        hint="try again later; what is complete is kept",
    )


def _where_tokens_are(token: str | None) -> str:
    from huggingface_hub import constants, get_token

    if token is not None:
        return "the token given on the command line was sent"
    places = f"HF_TOKEN and {constants.HF_TOKEN_PATH}"
    if get_token() is None:
        return f"no token was sent: none in {places}"
    return f"a token found in {places} was sent"


def _page(repo: str) -> str:
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{repo}"


def _is_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)
