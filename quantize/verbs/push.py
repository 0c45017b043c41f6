"""Publish files on the Hub: GGUF files, and what describes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quantize.errors import UsageError, VerificationError
from quantize.planning.importance import recorded_imatrix
from quantize.planning.refinement import recorded_refinement
from quantize.progress import NullProgress, Progress
from quantize.publish.card import CardFacts, CardFile, model_card
from quantize.publish.manifest_check import MANIFEST, Recorded, recorded
from quantize.publish.upload import Pushed, Target, Upload
from quantize.recipes import file_type_of_id
from quantize.storage.hub.repository import parse_hub_id
from quantize.storage.local import sha256_of
from quantize.storage.sink import ASIDE
from quantize.tensors import count
from quantize.verifying.structure import open_gguf

_CARD = "README.md"


def target(repo: str, token: str | None = None, *, private: bool = False) -> Target:
    """The repository, made if it is not there. Raises UsageError, AuthError, NetworkError."""
    if parse_hub_id(repo) != (repo, None):
        raise UsageError(
            "bad-repository-name",
            f"{repo!r} is not a name of a repository",
            hint="write user/name or organization/name",
        )
    found = Target(repo, token)
    found.create(private=private)
    return found


def push(
    paths: Sequence[Path],
    repo: str,
    *,
    token: str | None = None,
    private: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> Pushed:
    """Upload GGUF files of one folder (or all of a folder) with Modelfile, manifest and card.

    Raises UsageError for what cannot be pushed or would overwrite another file, VerificationError
    for a file that is not the one of its manifest, AuthError, NetworkError.
    """
    files = _gguf_files(paths)
    folder = files[0].parent
    records = {file: recorded(file) for file in files}
    # Before anything goes out: a wrong file must not be published.
    rows = [_card_file(file, records[file]) for file in files]
    uploads = [Upload(file.name, file) for file in files]
    modelfiles = sorted(folder.glob("Modelfile*"))
    uploads += [Upload(path.name, path) for path in modelfiles if path.suffix != ASIDE]
    if any(records.values()):
        uploads.append(Upload(MANIFEST, folder / MANIFEST))
    card = model_card(_facts(files[0], repo, records[files[0]]), rows)
    uploads.append(Upload(_CARD, card.encode()))
    where = target(repo, token, private=private)
    return where.push(uploads, progress or NullProgress(), force=force)


def _gguf_files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        files = sorted(path.glob("*.gguf")) if path.is_dir() else [path]
        if not files or not files[0].is_file() or files[0].suffix != ".gguf":
            raise UsageError(
                "nothing-to-push",
                "no GGUF file",
                where=str(path),
                hint="give .gguf files, or the folder that `quantize convert` wrote them to",
            )
        found += [file for file in files if file not in found]
    if len({file.resolve().parent for file in found}) > 1:
        raise UsageError(
            "several-folders",
            "files of several folders",
            where=", ".join(sorted({str(file.parent) for file in found})),
            reason="a repository has one manifest and one Modelfile, as a folder has",
            hint="push one folder at a time",
        )
    return found


def _card_file(file: Path, record: Recorded | None) -> CardFile:
    opened = open_gguf(file)
    tensors = opened.headers[file.name].tensors.values()
    sha256 = sha256_of(file)
    if record is not None and record.output["sha256"] != sha256:
        raise VerificationError(
            "not-as-recorded",
            "not what the manifest records",
            where=file.name,
            reason="the SHA-256 of the file differs",
            hint="`quantize verify` says what is wrong; convert it again",
        )
    file_type = file_type_of_id(opened.kvs.value("general.file_type"))
    named = "GGUF" if file_type is None else file_type.name
    nbytes = sum(tensor.nbytes for tensor in tensors)
    weights = sum(count(tensor.shape) for tensor in tensors)
    return CardFile(
        file.name,
        named if record is None else str(record.output["type"]),
        file.stat().st_size,
        8 * nbytes / max(weights, 1),
        sha256,
        recorded_imatrix(opened.kvs),
        recorded_refinement(opened.kvs),
    )


def _facts(file: Path, repo: str, record: Recorded | None) -> CardFacts:
    kvs = open_gguf(file).kvs
    source = {} if record is None else record.source
    name = str(kvs.value("general.name") or file.stem)
    return CardFacts(name, repo, kvs, source.get("repo"), source.get("commit"))
