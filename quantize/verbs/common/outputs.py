"""Where files are about to be written, compared with what is read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from quantize.errors import UsageError
from quantize.execution.journal import journal_path
from quantize.options import Options
from quantize.storage.sink import partial_path
from quantize.verbs.common.preparing import Prepared


def check_outputs(prepared: Prepared, options: Options) -> None:
    """Raise UsageError where a file to write is one that is read, under whatever spelling."""
    read = {_identity(path): path for path in _inputs(prepared, options)}
    read.pop(None, None)
    for plan in prepared.plans:
        for name in plan.file_names:
            final = options.folder / name
            for path in (final, partial_path(final), journal_path(final)):
                key = _identity(path)
                if key in read:
                    raise UsageError(
                        "output-is-source",
                        f"{path.name} would replace a file that is read",
                        where=str(read[key]),
                        hint="give another folder with --output, or another --name",
                    )


def _inputs(prepared: Prepared, options: Options) -> Iterator[Path]:
    for stamp in prepared.opened.stamps:
        yield from (stamp.folder / name for name, _ in stamp.looks)
    yield from (Path(file) for file in options.recipe)
    if options.imatrix is not None:
        yield Path(options.imatrix)


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file it is; None where there is none. Spelling and links make no difference."""
    with contextlib.suppress(OSError):
        status = path.stat()
        return status.st_dev, status.st_ino
    return None
