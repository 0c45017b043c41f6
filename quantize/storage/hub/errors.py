"""What went wrong on the way to the Hub: what huggingface_hub raises, as our errors."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from quantize.errors import AuthError, CheckpointError, NetworkError, QuantizeError, UsageError
from quantize.storage.hub.guard import guard, strange_answer
from quantize.storage.sink import disk_error

# Statuses that another try may not meet.
PASSING = frozenset({408, 429, 500, 502, 503, 504})


def http_library() -> Any:
    """httpx, or whatever huggingface_hub uses in its place: its exceptions have httpx's names."""
    from huggingface_hub.errors import HfHubHTTPError

    return importlib.import_module(HfHubHTTPError.__bases__[0].__module__.partition(".")[0])


def hub_failures() -> tuple[type[Exception], ...]:
    """What a call of huggingface_hub may raise for trouble that is not a bug."""
    from huggingface_hub.errors import HFValidationError

    return (OSError, HFValidationError, cast(type[Exception], http_library().HTTPError))


@contextlib.contextmanager
def asking(repo: str, revision: str | None, token: str | None) -> Iterator[None]:
    """Calls of huggingface_hub, whose failures become errors for a person."""
    guard()
    try:
        yield
    except hub_failures() as error:
        raise explained(error, repo, revision, token) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        # It takes answers apart without looking: a login page is no JSON, other JSON has no keys.
        raise strange_answer(repo, f"{type(error).__name__}: {error}"[:200]) from error


def is_transient(error: Exception) -> bool:
    """Whether another try may go better."""
    from huggingface_hub import errors

    error = _root(error)
    if isinstance(error, errors.HfHubHTTPError):
        return error.response.status_code in PASSING
    return isinstance(error, http_library().TransportError)


def explained(
    error: Exception, repo: str, revision: str | None, token: str | None
) -> QuantizeError:
    """The error for a person. Never holds the token."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and is_offline():
        return offline(repo)
    error = _root(error)
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


def offline(repo: str) -> NetworkError:
    return NetworkError(
        "offline",
        "not in the cache, and HF_HUB_OFFLINE forbids to fetch it",
        where=repo,
        hint="unset HF_HUB_OFFLINE, or give a folder",
    )


def changed(repo: str, name: str, reason: str) -> CheckpointError:
    """A file is not what the commit says. Nothing made of it can be used."""
    return CheckpointError(
        "file-changed",
        "the file is not the one that the commit names",
        where=f"{repo}: {name}",
        reason=reason,
        hint="start again; if it stays so, ask whoever runs the Hub or the mirror",
    )


def is_offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _root(error: Exception) -> Exception:
    """The client looks into its cache after any trouble; what went wrong is the cause."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        return error.__cause__
    return error


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
    if isinstance(error, errors.HFValidationError):
        return UsageError(
            "bad-repository-name",
            "no name that a repository can have",
            where=repo,
            hint="write organization/name; if a folder is meant, check its path",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        # The Hub does not tell strangers which: they need a token either way to find out.
        return AuthError(
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
    return refused(status, repo, token) if status in {401, 403} else trouble(status, repo)


def refused(status: int, repo: str, token: str | None) -> AuthError:
    return AuthError(
        "token-refused",
        f"the Hub refused access (HTTP {status})",
        where=repo,
        reason=_where_tokens_are(token),
        hint="run `hf auth login` with a token that may do this with the repository",
    )


def trouble(status: int, repo: str) -> NetworkError:
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


def _cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)
