"""Under every command: what nobody foresaw is one error with an exit code, and may be reported."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from quantize.errors import DiskError, InternalError, QuantizeError
from quantize.storage.sink import disk_error

# Set to anything: a bug shows Python's traceback above its line.
TRACEBACK = "QUANTIZE_TRACEBACK"
_PACKAGE = "quantize-gguf"


def caught(error: Exception) -> QuantizeError:
    """The error to show in place of one that no room has words for."""
    if isinstance(error, MemoryError):
        return DiskError(
            "out-of-memory",
            "the system has no memory left",
            reason=_where(error),
            hint="close other programs, or give a smaller --max-memory",
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
        # Files that are written have their names: this is what is printed.
        return disk_error(Path("standard output"), error)
    if isinstance(error, OSError) and error.errno is not None:
        return DiskError(
            "system-error",
            "the system refused what was asked of it",
            where=None if error.filename is None else os.fsdecode(error.filename),
            reason=error.strerror or errno.errorcode.get(error.errno, str(error)),
            hint="check the path, its permissions and the limits of the system (ulimit -a)",
        )
    if os.environ.get(TRACEBACK):
        import traceback

        traceback.print_exception(error)
    return InternalError(
        "bug",
        "this is a mistake in quantize",
        where=_where(error),
        reason=f"{type(error).__name__}: {error}"[:300],
        hint=f"please report it{_address()}, with what {TRACEBACK}=1 and the same command print",
    )


def _where(error: Exception) -> str:
    """File and line in the package, as far down as the error went."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "quantize" in Path(frame.filename).parts] or frames
    last = ours[-1]
    parts = Path(last.filename).parts
    start = len(parts) - 1 - parts[::-1].index("quantize") if "quantize" in parts else -1
    return f"{'/'.join(parts[start:])}:{last.lineno}"


def _address() -> str:
    # A tenth of the time that --help takes: only a mistake needs it.
    from importlib import metadata

    try:
        urls = metadata.metadata(_PACKAGE).get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        return ""
    found = dict(url.split(", ", 1) for url in urls if ", " in url)
    return f" at {found['Issues']}" if "Issues" in found else ""


def keep_standard_files() -> None:
    """Put nothing where a closed standard input, output or error would be.

    A file that is opened later would get its number, and what is printed would go into it.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor < 3:
        descriptor = os.dup(descriptor)
    os.close(descriptor)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


def flush_output() -> OSError | None:
    """Write what is left of both outputs; what stopped that, as a full disk or a closed pipe."""
    failed = None
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            failed = failed or error
            # The interpreter would try again at its end, and fail there with words of its own.
            with Path(os.devnull).open("w", encoding="utf-8") as nothing:
                os.dup2(nothing.fileno(), stream.fileno())
    return failed
