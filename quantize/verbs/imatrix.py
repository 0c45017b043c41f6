"""What an importance matrix says, and one that is made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quantize.errors import UsageError
from quantize.formats.imatrix_files import read_imatrix
from quantize.formats.imatrix_summary import Summary, summarize
from quantize.options import Options
from quantize.progress import NullProgress, Progress
from quantize.storage.sink import make_folder
from quantize.verbs.common.calibrating import CONTEXT, IMATRIX, as_gguf, read_text, write_imatrix
from quantize.verbs.convert import convert


def imatrix(file: Path) -> Summary:
    """What an importance matrix says of the columns of a model's tensors."""
    return summarize(read_imatrix(file))


def make_imatrix(
    model: str,
    text: Sequence[Path],
    output: Path = Path(IMATRIX),
    progress: Progress | None = None,
    *,
    context: int = CONTEXT,
    chunks: int | None = None,
    jobs: int | None = None,
    token: str | None = None,
) -> Summary:
    """Write the importance matrix of a GGUF file, or of any source, with texts in UTF-8.

    llama.cpp computes. The texts are cut into chunks of `context` tokens, of which the first
    `chunks` are used; `jobs` is how many threads there are. Of a source that is no GGUF file, one
    in F16 is made first, in a folder beside the output, which goes afterwards.

    Raises UsageError for a text that is too short and where llama.cpp is not installed;
    DiskError, UnsupportedError, CheckpointError.
    """
    if context < 1:
        raise UsageError("bad-context", f"a context of {context} tokens cannot be read")
    progress = progress or NullProgress()
    read = read_text(text, context, chunks)
    make_folder(output.parent)
    options = Options(token=token)
    with as_gguf(model, options, output.parent, convert, progress) as file:
        write_imatrix(file, read, output, progress, jobs=jobs)
    return imatrix(output)
