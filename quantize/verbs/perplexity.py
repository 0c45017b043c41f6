"""How well a GGUF file predicts a text, alone and compared with the file it was made from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quantize.errors import UsageError, unreadable
from quantize.evaluation import likelihood
from quantize.evaluation.engine import LoadedModel, opened
from quantize.evaluation.likelihood import Differences, Estimate, LikelihoodComparison
from quantize.execution.memory import cores
from quantize.progress import NullProgress, Progress

# As llama.cpp's perplexity tool has it.
CONTEXT = 512


@dataclass(frozen=True, slots=True)
class Measured:
    """`tokens` are those that were scored, in `chunks` of `context` tokens each."""

    path: Path
    base: Path | None
    context: int
    chunks: int
    tokens: int
    perplexity: Estimate
    comparison: LikelihoodComparison | None


@dataclass(frozen=True, slots=True)
class _Chunk:
    """`ids` (context,) as the models read them, and what came after each from the middle on."""

    ids: NDArray[np.int32]
    targets: NDArray[np.int32]


def perplexity(
    file: Path,
    text: Path,
    base: Path | None = None,
    progress: Progress | None = None,
    *,
    context: int = CONTEXT,
    chunks: int | None = None,
    jobs: int | None = None,
) -> Measured:
    """Perplexity of a GGUF file on a UTF-8 text, and its divergence from the GGUF file `base`.

    Defined as llama.cpp's perplexity tool does it: the text's tokens are cut into chunks of
    `context`, the first token of each is replaced by BOS if the model wants one, and the tokens of
    its second half are scored but for the first of them. `chunks` bounds how many are used, `jobs`
    is how many threads compute. One chunk is in memory at a time, with the logits of both models.

    Raises UsageError for a text that is too short or is not text, for a base with another
    vocabulary and where llama.cpp is not installed; DiskError, UnsupportedError, CheckpointError.
    """
    if context < 4:
        raise UsageError("bad-context", f"a context of {context} tokens has no half to score")
    for path in (file, base):
        if path is not None and not path.is_file():
            raise UsageError("no-such-source", "no such file", where=str(path))
    content = _content(text)
    progress = progress or NullProgress()
    with ExitStack() as stack:
        threads = jobs or cores()
        model = stack.enter_context(opened(file, context, threads))
        reference = None if base is None else stack.enter_context(opened(base, context, threads))
        ids = model.tokenize(content)
        if reference is not None:
            _check_vocabularies(model, reference, ids, content)
        count = _count(ids, context, chunks, text)
        nll: list[NDArray[np.float64]] = []
        differences: list[Differences] = []
        progress.start("perplexity", len(content) * count * context // len(ids))
        for number, chunk in enumerate(_chunks(ids, context, count, model.bos), 1):
            nll.append(_score(model, reference, chunk, differences))
            done, before = (len(content) * n * context // len(ids) for n in (number, number - 1))
            progress.advance(done - before, f"chunk {number} of {count}")
        progress.finish()
    scored = np.concatenate(nll)
    compared = likelihood.compared(scored, Differences.joined(differences)) if base else None
    return Measured(
        file, base, context, count, len(scored), likelihood.perplexity(scored), compared
    )


def _content(text: Path) -> bytes:
    """As llama.cpp reads a prompt from a file: without the last line's end."""
    try:
        content = text.read_bytes()
    except OSError as error:
        raise unreadable(str(text), error) from error
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            "not-utf-8",
            "the text is not UTF-8",
            where=str(text),
            reason=f"byte {error.start} is {content[error.start]:#04x}",
            hint="give a plain text; iconv turns other encodings into UTF-8",
        ) from error
    return content.removesuffix(b"\n")


def _check_vocabularies(
    model: LoadedModel, base: LoadedModel, ids: NDArray[np.int32], content: bytes
) -> None:
    """Logits are compared place by place, and both models must read the same tokens."""
    sizes = len(model.vocabulary), len(base.vocabulary)
    if sizes[0] != sizes[1]:
        reason = f"it has {sizes[1]} tokens, the file {sizes[0]}"
    elif model.vocabulary != base.vocabulary:
        reason = "the same number of tokens, but others"
    elif model.bos != base.bos or not np.array_equal(ids, base.tokenize(content)):
        reason = "the same tokens, but it cuts the text otherwise"
    else:
        return
    raise UsageError(
        "other-vocabulary",
        "the base has another vocabulary than the file",
        where=str(base.path),
        reason=reason,
        hint="--base is the same model in F16, BF16 or F32",
    )


def _count(ids: NDArray[np.int32], context: int, chunks: int | None, text: Path) -> int:
    if len(ids) < 2 * context:
        raise UsageError(
            "text-too-short",
            f"the text has {len(ids)} tokens, and two chunks of {context} are the least",
            where=str(text),
            hint=f"a longer text, or a --context of at most {len(ids) // 2}",
        )
    most = len(ids) // context
    return most if chunks is None else min(chunks, most)


def _chunks(ids: NDArray[np.int32], context: int, count: int, bos: int | None) -> Iterator[_Chunk]:
    for start in range(0, count * context, context):
        chunk = ids[start : start + context].copy()
        targets = chunk[context // 2 + 1 :].copy()
        if bos is not None:
            chunk[0] = bos
        yield _Chunk(chunk, targets)


def _score(
    model: LoadedModel, base: LoadedModel | None, chunk: _Chunk, differences: list[Differences]
) -> NDArray[np.float64]:
    # Nothing is known of the token after the last one.
    logits = model.logits(chunk.ids, model.context // 2)[:-1]
    if base is None:
        return likelihood.score(logits, chunk.targets)
    expected = base.logits(chunk.ids, base.context // 2)[:-1]
    nll, found = likelihood.score_against(logits, expected, chunk.targets)
    differences.append(found)
    return nll
