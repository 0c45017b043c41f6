"""The errors a person can meet, as one small tree.

    QuantizeError
    ├── UsageError         exit 2    an option or argument that makes no sense
    ├── UnsupportedError   exit 3    an architecture, tokenizer, type or encoding we do not know
    ├── CheckpointError    exit 4    a source that contradicts itself or holds bad values
    ├── AuthError          exit 5    the Hub wants a token, or another one
    ├── NetworkError       exit 6    the Hub or Ollama cannot be reached or breaks off
    ├── DiskError          exit 7    no room, no permission, no such folder
    ├── VerificationError  exit 8    a file is not what its manifest or source says
    └── InternalError      exit 70   a mistake in this program

Every error says what is wrong (`message`), where (`where`: file, tensor or key), why it cannot go
on (`reason`), and the next thing to try (`hint`). `code` is a stable kebab-case name that
scripts may rely on.
"""

from __future__ import annotations

import re
from typing import ClassVar

EXIT_OK = 0
EXIT_USAGE = 2
EXIT_UNSUPPORTED = 3
EXIT_CHECKPOINT = 4
EXIT_AUTH = 5
EXIT_NETWORK = 6
EXIT_DISK = 7
EXIT_VERIFICATION = 8
EXIT_INTERNAL = 70
EXIT_INTERRUPTED = 130
# What a shell reports of a program whose output nobody reads any more.
EXIT_CLOSED_PIPE = 141

_CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class QuantizeError(Exception):
    """Base of the tree. Raise one of its children, never this class itself."""

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        code: str,
        message: str,
        *,
        where: str | None = None,
        reason: str | None = None,
        hint: str | None = None,
    ) -> None:
        if not _CODE.fullmatch(code):
            raise ValueError(f"an error code is kebab-case, not {code!r}")
        super().__init__(code, message, where, reason, hint)
        self.code = code
        self.message = message
        self.where = where
        self.reason = reason
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.where is None else f"{self.where}: {self.message}"

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments are lost by the default; workers send errors between processes.
        return (_rebuild, (type(self), *self.args))


def _rebuild(
    kind: type[QuantizeError],
    code: str,
    message: str,
    where: str | None,
    reason: str | None,
    hint: str | None,
) -> QuantizeError:
    return kind(code, message, where=where, reason=reason, hint=hint)


class UsageError(QuantizeError):
    exit_code = EXIT_USAGE


class UnsupportedError(QuantizeError):
    exit_code = EXIT_UNSUPPORTED


class CheckpointError(QuantizeError):
    exit_code = EXIT_CHECKPOINT


class AuthError(QuantizeError):
    exit_code = EXIT_AUTH


class NetworkError(QuantizeError):
    exit_code = EXIT_NETWORK


class DiskError(QuantizeError):
    exit_code = EXIT_DISK


class VerificationError(QuantizeError):
    exit_code = EXIT_VERIFICATION


class InternalError(QuantizeError):
    exit_code = EXIT_INTERNAL


def unreadable(where: str, error: OSError) -> DiskError:
    """The error for a file of a person's that cannot be read."""
    return DiskError(
        "unreadable",
        "cannot be read",
        where=where,
        reason=error.strerror or str(error),
        hint="check the permissions of the file and of its folder",
    )
