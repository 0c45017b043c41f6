"""Whether a GGUF file and its Modelfile will be a first-class model in Ollama."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from quantize.errors import unreadable
from quantize.ollama.doctor.checks import CHECKS
from quantize.ollama.doctor.checks.base import Level, Pair
from quantize.ollama.modelfile.facts import Facts, read_facts
from quantize.ollama.modelfile.reading import Modelfile, read_modelfile
from quantize.ollama.server.serving import uses_jinja
from quantize.ollama.templates.comparison import TemplateComparison
from quantize.ollama.templates.confined import compare_confined, translate_confined
from quantize.ollama.templates.translate import Translation


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check says; where all is fine there is no remedy, and mostly no message."""

    level: Level
    check: str
    message: str = ""
    remedy: str = ""


def diagnose(path: Path, modelfile: Path | None) -> tuple[Finding, ...]:
    """One finding for each check that finds nothing, and one for each problem of the others.

    Raises what reading the two files raises: CheckpointError, UnsupportedError, DiskError,
    UsageError("bad-modelfile").
    """
    file = read_facts(path)
    source = file.source
    said = None if modelfile is None else _read(modelfile)
    translation = None if source is None or file.is_embedder else translate_confined(source)
    pair = Pair(
        file,
        said,
        (path if modelfile is None else modelfile).parent,
        translation,
        None if said is None else _compare(file, said, translation),
    )
    found = []
    for name, check in CHECKS.items():
        problems = [Finding(p.level, name, p.message, p.remedy) for p in check(pair)]
        found += problems or [Finding("fine", name)]
    return tuple(found)


def _compare(
    file: Facts, modelfile: Modelfile, translation: Translation | None
) -> TemplateComparison | None:
    """The Modelfile's TEMPLATE compared with the file's chat template, if it replaces that."""
    template = modelfile.last("template")
    if template is None:
        return None
    if translation is not None and template == translation.template:
        return TemplateComparison("equal", str(translation.level))
    is_used = not modelfile.last("renderer") and not uses_jinja(file, modelfile)
    return compare_confined(file.source if is_used and translation else None, template)


def _read(path: Path) -> Modelfile:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(str(path), error) from error
    return read_modelfile(data, str(path))
