"""From a folder with a Modelfile to a model in Ollama, and what Ollama then says of it."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantize.errors import NetworkError, UsageError
from quantize.ollama.modelfile.facts import Facts, read_facts
from quantize.ollama.modelfile.parameters import DEPRECATED, typed
from quantize.ollama.modelfile.reading import Modelfile, read_modelfile
from quantize.ollama.server.client import Client, Json, digest_of
from quantize.ollama.server.serving import expected_capabilities, expected_templates
from quantize.progress import Progress
from quantize.recipes import FTYPES

# [[[SCHEME://]HOST/]NAMESPACE/]MODEL[:TAG], as Ollama's types/model/name.go takes it.
_HOST = r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}"
_NAMESPACE = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}"
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"
_NAME = re.compile(rf"((([^/]*://)?{_HOST}/)?{_NAMESPACE}/)?{_PART}(:{_PART})?")
# What a Modelfile does not decide: parts of a model other than the text.
_COMPARED = {"completion", "embedding", "tools", "thinking"}
_TYPE_NAMES = {one.id: one.name for one in FTYPES.values()}


@dataclass(frozen=True, slots=True)
class SettingDifference:
    """A setting that Ollama reports differently from the Modelfile."""

    what: str
    meant: str
    reported: str


@dataclass(frozen=True, slots=True)
class Created:
    """A model in Ollama. What a server did not report is empty or None."""

    name: str
    server: str
    capabilities: tuple[str, ...]
    context_length: int | None
    quantization: str
    differences: tuple[SettingDifference, ...]


@dataclass(frozen=True, slots=True)
class ModelfileSources:
    """What a Modelfile is made of: its own words, and the files that it names."""

    modelfile: Modelfile
    files: tuple[Path, ...]
    adapters: tuple[Path, ...]
    drafts: tuple[Path, ...]
    base: str | None


def create_line(name: str, modelfile: Path) -> str:
    """The command that does the same with Ollama's own program."""
    return f"ollama create {name} -f {shlex.quote(str(modelfile))}"


def create(
    name: str, place: Path, progress: Progress, digests: Mapping[Path, str] | None = None
) -> Created:
    """Make `name` in Ollama from a Modelfile, or from the one in a folder.

    `digests` are sha256 of files that are known already. Raises UsageError for a name or Modelfile
    that cannot be, NetworkError for a server that is not there, breaks off or refuses,
    VerificationError for files that arrive damaged.
    """
    check_name(name)
    path = place / "Modelfile" if place.is_dir() else place
    sources = read_sources(path)
    client = Client()
    try:
        client.ping()
    except NetworkError as error:
        raise _with_line(error, create_line(name, path)) from error
    request = request_of(name, sources)
    request["files"] = _upload(client, sources.files, progress, digests or {})
    request["adapters"] = _upload(client, sources.adapters, progress, digests or {})
    request["draft_files"] = _upload(client, sources.drafts, progress, digests or {})
    client.create({key: value for key, value in request.items() if value}, progress.note)
    try:
        return _created(client, name, sources)
    except NetworkError as error:
        raise NetworkError(
            "ollama-not-compared",
            f"{name} is made, but the server does not say what became of it",
            where=str(client.host),
            reason=error.reason or error.message,
            hint=f"look at it: ollama show {name}",
        ) from error


def check_name(name: str) -> None:
    """Raise UsageError("bad-model-name") for what Ollama takes for no name."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            "bad-model-name",
            f"{name!r} is not a name of a model in Ollama",
            hint="letters, digits, and _.- after the first: my-model or my-model:q4",
        )


def read_sources(path: Path) -> ModelfileSources:
    """A Modelfile and the files it names. Raises UsageError("no-such-model-file")."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            "no-modelfile",
            "there is no Modelfile",
            where=str(path),
            reason=error.strerror,
            hint="give the folder that `quantize convert` wrote, or a Modelfile",
        ) from error
    found = read_modelfile(data, str(path))
    files: list[Path] = []
    base = None
    for value in found.values("from"):
        target = (path.parent / Path(value).expanduser()).resolve()
        if target.is_file():
            files.append(target)
        elif target.is_dir():
            files += _models_in(path, target, value)
        elif value.startswith((".", "/", "~")) or value.endswith(".gguf"):
            raise _no_file(path, value)
        else:
            base = value
    # Of adapters the last one counts, drafts add up.
    adapters = _named(path, found.values("adapter")[-1:])
    return ModelfileSources(
        found, tuple(files), adapters, _named(path, found.values("draft")), base
    )


def _named(path: Path, values: Iterable[str]) -> tuple[Path, ...]:
    found = tuple((path.parent / Path(value).expanduser()).resolve() for value in values)
    for one in found:
        if not one.is_file():
            raise _no_file(path, one.name)
    return found


def _models_in(path: Path, folder: Path, value: str) -> list[Path]:
    """The GGUF files of a folder that FROM names, as Ollama takes them."""
    found = sorted(folder.glob("*.gguf"))
    if not found or any(folder.glob("*.json")):
        raise UsageError(
            "no-such-model-file",
            f"FROM {value} names a folder that Ollama cannot read",
            where=str(path),
            reason="it has .json files, which are taken for GGUF files"
            if found
            else "it has no GGUF file",
            hint="name the file: FROM ./model.gguf",
        )
    return found


def _no_file(path: Path, value: str) -> UsageError:
    return UsageError(
        "no-such-model-file",
        f"the Modelfile names {value}, which is not a file",
        where=str(path),
        hint="name a GGUF file by its path from the Modelfile's folder: FROM ./model.gguf",
    )


def request_of(name: str, sources: ModelfileSources) -> Json:
    """The body of /api/create, but for the files. What is empty is not sent."""
    modelfile = sources.modelfile
    return {
        "model": name,
        "from": None if sources.files else sources.base,
        "template": modelfile.last("template"),
        "system": modelfile.last("system"),
        "license": list(modelfile.values("license")),
        "parameters": _parameters(modelfile),
        "messages": [
            {"role": command.name, "content": command.value}
            for command in modelfile.commands
            if command.word == "message"
        ],
        "renderer": modelfile.last("renderer"),
        "parser": modelfile.last("parser"),
        "requires": modelfile.last("requires"),
    }


def _parameters(modelfile: Modelfile) -> Json:
    """With JSON's types: the server does not check them, and would fail at every request."""
    found: Json = {}
    for name, texts in modelfile.parameters().items():
        if name in DEPRECATED:
            continue
        try:
            found[name] = list(texts) if name == "stop" else typed(name, texts[-1])
        except (KeyError, ValueError) as error:
            raise UsageError(
                "bad-parameter",
                f"PARAMETER {name} {texts[-1]} is none of Ollama's",
                reason=str(error) if isinstance(error, ValueError) else None,
                hint="`quantize doctor FILE.gguf Modelfile` looks at all of it",
            ) from error
    return found


def _upload(
    client: Client, paths: tuple[Path, ...], progress: Progress, known: Mapping[Path, str]
) -> dict[str, str]:
    found = {}
    for path in paths:
        sha256 = known.get(path)
        digest = f"sha256:{sha256}" if sha256 else digest_of(path, progress)
        if not client.has_blob(digest):
            progress.start("upload", path.stat().st_size)
            try:
                client.upload(path, digest, progress)
            except NetworkError:
                # Another upload of the file may have ended first: the server hangs up then.
                if not client.has_blob(digest):
                    raise
            progress.finish()
        found[path.name] = digest
    return found


def _with_line(error: NetworkError, line: str) -> NetworkError:
    hint = f"start Ollama, then: {line}"
    return NetworkError(
        error.code, error.message, where=error.where, reason=error.reason, hint=hint
    )


def _created(client: Client, name: str, sources: ModelfileSources) -> Created:
    shown = client.show(name)
    files = [read_facts(path) for path in sources.files]
    model = next((facts for facts in files if facts.is_model), None)
    details, info = shown.get("details") or {}, shown.get("model_info") or {}
    context = info.get(f"{model.arch}.context_length") if model else None
    return Created(
        name=name,
        server=str(client.host),
        capabilities=tuple(shown.get("capabilities") or ()),
        context_length=context if isinstance(context, int) else None,
        quantization=str(details.get("quantization_level") or ""),
        differences=tuple(_differences(shown, model, sources)) if model else (),
    )


def _differences(
    shown: Json, model: Facts, sources: ModelfileSources
) -> Iterator[SettingDifference]:
    modelfile = sources.modelfile
    reported = shown.get("capabilities")
    if isinstance(reported, list):
        meant = sorted(expected_capabilities(model, modelfile))
        found = sorted(_COMPARED & set(reported))
        if found != meant:
            yield SettingDifference("capabilities", ", ".join(meant), ", ".join(found))
    templates = expected_templates(model, modelfile)
    template = str(shown.get("template") or "")
    if templates and template not in templates:
        yield SettingDifference("template", templates[0], template)
    context = model.hparam("context_length")
    found_context = (shown.get("model_info") or {}).get(f"{model.arch}.context_length")
    if found_context != context:
        yield SettingDifference("context length", str(context), str(found_context))
    quantization = _TYPE_NAMES.get(model.value("general.file_type"))
    level = (shown.get("details") or {}).get("quantization_level")
    # Ollama has no name for some types, among them F32.
    if quantization and level not in (quantization, "unknown"):
        yield SettingDifference("quantization", quantization, str(level))
    if modelfile.last("system") and shown.get("system") != modelfile.last("system"):
        yield SettingDifference("system", str(modelfile.last("system")), str(shown.get("system")))
    parameters = {name: _listed(value) for name, value in _parameters(modelfile).items()}
    said = shown_parameters(str(shown.get("parameters") or ""))
    for name in sorted(parameters.keys() | said.keys()):
        if parameters.get(name) != said.get(name):
            yield SettingDifference(
                f"parameter {name}", str(parameters.get(name, "")), str(said.get(name, ""))
            )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def shown_parameters(text: str) -> dict[str, list[Any]]:
    """The `parameters` of /api/show: a line for each value, a name and the value as Go writes it.

    Go's numbers and its escapes in strings are Python's too.
    """
    found: dict[str, list[Any]] = {}
    for line in text.splitlines():
        name, _, value = line.strip().partition(" ")
        if name:
            found.setdefault(name, []).append(_go_value(value.strip()))
    return found


def _go_value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text
