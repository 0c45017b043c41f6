"""Translation in a process of its own, with bounds on time and memory.

A chat template is a program by a stranger. Jinja's sandbox keeps it from the machine, but not from
looping for ever or filling the memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from quantize.ollama.templates.comparison import TemplateComparison, compare
from quantize.ollama.templates.probes import Level
from quantize.ollama.templates.translate import ChatTemplate, Translation, translate

# An honest template takes a second or two; a machine may be busy.
MAX_SECONDS = 30.0
MAX_MEMORY = 2**30

_CHILD = f"from {__name__} import answer; answer()"


class _GivenUpError(Exception):
    """Too much time or memory; the text says which."""


def translate_confined(
    source: ChatTemplate, seconds: float = MAX_SECONDS, *, is_exact: bool = False
) -> Translation:
    """As `translate`; a template that needs too much time or memory has no translation."""
    request = {"source": asdict(source), "exact": is_exact}
    try:
        template, level, reason, glues = _ask(request, seconds)
    except _GivenUpError as error:
        return Translation(None, None, str(error), is_given_up=True)
    return Translation(
        template,
        None if level is None else Level(*level),
        reason,
        tuple((before, after, text) for before, after, text in glues),
    )


def compare_confined(
    source: ChatTemplate | None, template: str, seconds: float = MAX_SECONDS
) -> TemplateComparison:
    """As `compare`; unknown where it needs too much time or memory."""
    request = {"source": source and asdict(source), "template": template}
    try:
        found = _ask(request, seconds)
    except _GivenUpError as error:
        return TemplateComparison("unknown", str(error))
    return TemplateComparison(**found)


def _ask(request: dict[str, Any], seconds: float) -> Any:
    """What the child answers."""
    return json.loads(_answered(json.dumps(request), seconds))


# Starting the child takes longer than most of its answers, and files of several types have one
# template. What was given up is asked again: a busy machine may have been the cause.
@lru_cache(maxsize=64)
def _answered(request: str, seconds: float) -> str:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONIOENCODING": "utf-8",
    }
    try:
        # -P: nothing is imported from the working directory.
        child = subprocess.run(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-P", "-c", _CHILD],
            input=request,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _GivenUpError(f"it is not rendered within {seconds:g} seconds") from None
    if child.returncode != 0:
        raise _GivenUpError("rendering it needs too much memory")
    return child.stdout


def answer() -> None:
    """In the child: a request as JSON on standard input, what was found on standard output."""
    _limit_memory()
    request = json.load(sys.stdin)
    source = request["source"] and ChatTemplate(**request["source"])
    if "template" in request:
        json.dump(asdict(compare(source, request["template"])), sys.stdout)
        return
    found = translate(source, is_exact=request["exact"])
    level = found.level and (found.level.tools, found.level.thinking)
    json.dump([found.template, level, found.reason, found.glues], sys.stdout)


def _limit_memory() -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    except (ImportError, ValueError, OSError):
        # Windows has no such limit and macOS may refuse it; the time is bounded everywhere.
        return
