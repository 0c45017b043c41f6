"""Checks of a Modelfile's other instructions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from quantize.ollama.doctor.checks.base import Pair, Problem, error, warning
from quantize.ollama.modelfile.existing import sampling_of
from quantize.ollama.modelfile.parameters import DEPRECATED, PARAMETERS, typed

# generation_config.json's names of what a GGUF file may hold too -> Ollama's.
_PARAMETERS = {
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "repetition_penalty": "repeat_penalty",
}


def source(pair: Pair) -> Iterator[Problem]:
    """FROM names the file, as a path."""
    if pair.modelfile is None:
        return
    values = pair.modelfile.values("from")
    paths = [pair.folder / Path(value).expanduser() for value in values]
    for value, path in zip(values, paths, strict=True):
        if path.is_dir():
            if any(path.glob("*.json")) and any(path.glob("*.gguf")):
                yield error(
                    f"FROM {value} is a folder with .json files, which are taken for GGUF files",
                    "name the file: FROM ./FILE.gguf",
                )
            elif any(_leaves(path, one) for one in path.iterdir()):
                yield error(
                    f"FROM {value} is a folder with links that leave it: Ollama refuses it",
                    "name the file: FROM ./FILE.gguf",
                )
        elif not path.is_file():
            yield error(
                f"FROM {value} is not a file: Ollama takes it for a name, and tries to pull it",
                "correct the path, and start it with ./",
            )
    files = [path for path in paths if path.is_file()]
    if files and len(files) < len(paths) and not any(path.is_dir() for path in paths):
        yield error("FROM names a file and a model: Ollama ignores the file", "name files alone")
    if files and not any(path.samefile(pair.file.path) for path in files):
        yield warning(f"no FROM line names {pair.file.path.name}", "check the pair")


def adapter(pair: Pair) -> Iterator[Problem]:
    """ADAPTER names a GGUF file, or a folder with adapter_model.safetensors."""
    values = pair.modelfile.values("adapter") if pair.modelfile else ()
    for value in values:
        path = pair.folder / Path(value).expanduser()
        if path.is_dir() and not any(path.glob("adapter*.safetensors")):
            yield error(
                f"ADAPTER {value} is a folder without adapter_model.safetensors",
                "name the file: ADAPTER ./ADAPTER.gguf",
            )
        elif not path.exists():
            yield error(f"ADAPTER {value} is not a file: creating fails", "correct the path")


def _leaves(folder: Path, path: Path) -> bool:
    return path.is_symlink() and not path.resolve().is_relative_to(folder.resolve())


def projector(pair: Pair) -> Iterator[Problem]:
    """A projector file next to the model that no FROM line names."""
    if pair.modelfile is None:
        return
    named = {Path(value).name for value in pair.modelfile.values("from")}
    projectors = sorted(path.name for path in pair.file.path.parent.glob("*mmproj*.gguf"))
    if projectors and not named & {*projectors, "."}:
        yield warning(
            f"{projectors[0]} is next to the model, but no FROM line names it: no pictures",
            f"if it belongs to the model: FROM ./{projectors[0]}",
        )


def parameters(pair: Pair) -> Iterator[Problem]:
    found = pair.modelfile.parameters() if pair.modelfile else {}
    for name, values in found.items():
        if name in DEPRECATED:
            yield warning(f"PARAMETER {name} has no effect any more", "leave it out")
        elif name not in PARAMETERS:
            yield error(f"Ollama has no parameter {name!r}", "leave it out")
        else:
            for value in values:
                try:
                    typed(name, value)
                except ValueError as problem:
                    yield error(f"PARAMETER {name}: {problem}", "correct the value")


def num_ctx(pair: Pair) -> Iterator[Problem]:
    wanted = pair.modelfile.parameters().get("num_ctx") if pair.modelfile else None
    length = pair.file.hparam("context_length")
    if not wanted or not isinstance(length, int) or not wanted[-1].isdecimal():
        return
    if int(wanted[-1]) > length:
        yield warning(
            f"num_ctx {wanted[-1]} is more than the model's context_length of {length}",
            f"Ollama takes {length}",
        )


def stops(pair: Pair) -> Iterator[Problem]:
    """Without a stop of its own, a model may have those of a template that Ollama knows."""
    if pair.modelfile is None or pair.file.is_embedder or not pair.file.is_model:
        return
    found = pair.modelfile.parameters().get("stop", ())
    if not found and pair.file.jinja:
        yield warning(
            "no PARAMETER stop: Ollama may take those of a template that it knows",
            "write one for each token that ends a turn, see `quantize modelfile`",
        )
    if "" in found:
        yield error("PARAMETER stop with an empty text", "leave it out")


def sampling(pair: Pair) -> Iterator[Problem]:
    """Ollama does not read the sampling values inside the file."""
    if pair.modelfile is None or pair.file.is_embedder:
        return
    written = pair.modelfile.parameters()
    lost = [name for name in sampling_of(pair.file.kvs) if _PARAMETERS[name] not in written]
    # With none at all somebody forgot them; some may be left out with reason.
    if lost and not set(_PARAMETERS.values()) & written.keys():
        yield warning(
            f"the sampling values of the file are lost: {', '.join(lost)}",
            "write PARAMETER lines, see `quantize modelfile`",
        )


def texts(pair: Pair) -> Iterator[Problem]:
    dropped = pair.modelfile.dropped if pair.modelfile else ()
    if dropped:
        shown = ", ".join(f"U+{ord(character):04X}" for character in dropped[:8])
        yield warning(
            f"Ollama drops characters of the Modelfile: {shown}",
            'write others; in a TEMPLATE, as a Go string such as {{ "\\u00a0" }}',
        )
