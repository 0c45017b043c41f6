"""Translation in a process of its own, with bounds on time and memory.

A chat template is a program by a stranger. Jinja's sandbox keeps it from the machine, but not from
looping for ever or filling the memory.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from quantize.ollama.templates.comparison import TemplateComparison, compare
from quantize.ollama.templates.probes import Level
from quantize.ollama.templates.translate import ChatTemplate, Translation, translate

# An honest template takes a second or two. This is time of the processor, where a system can bound
# that: one model must get the same TEMPLATE on a busy machine.
MAX_SECONDS = 30
MAX_MEMORY = 2**30
_BOUNDS_CPU = sys.platform != "win32"
_PATIENCE = 20 if _BOUNDS_CPU else 1  # seconds by the clock for each of them

_PR_SET_PDEATHSIG = 1  # of prctl(2)

_CHILD = f"from {__name__} import answer; answer()"


class _GivenUpError(Exception):
    """Too much time or memory; the text says which."""


def translate_confined(
    source: ChatTemplate, seconds: int = MAX_SECONDS, *, is_exact: bool = False
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
    source: ChatTemplate | None, template: str, seconds: int = MAX_SECONDS
) -> TemplateComparison:
    """As `compare`; unknown where it needs too much time or memory."""
    request = {"source": source and asdict(source), "template": template}
    try:
        found = _ask(request, seconds)
    except _GivenUpError as error:
        return TemplateComparison("unknown", str(error))
    return TemplateComparison(**found)


def _ask(request: dict[str, Any], seconds: int) -> Any:
    """What the child answers."""
    return json.loads(_answered(json.dumps(request | {"parent": os.getpid()}), seconds))


# Starting the child takes longer than most of its answers, and files of several types have one
# template.
@lru_cache(maxsize=64)
def _answered(request: str, seconds: int) -> str:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONIOENCODING": "utf-8",
    }
    try:
        # -P: nothing is imported from the working directory.
        child = subprocess.run(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-P", "-c", _CHILD, str(seconds)],
            input=request,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
            timeout=seconds * _PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _too_slow(seconds) from None
    if _BOUNDS_CPU and child.returncode == -signal.SIGXCPU:
        raise _too_slow(seconds)
    if child.returncode != 0:
        raise _GivenUpError("rendering it needs too much memory")
    return child.stdout


def _too_slow(seconds: int) -> _GivenUpError:
    return _GivenUpError(f"it is not rendered within {seconds} seconds")


def answer() -> None:
    """In the child: a request as JSON on standard input, what was found on standard output."""
    _limit(int(sys.argv[1]))
    request = json.load(sys.stdin)
    _end_with(request["parent"])
    source = request["source"] and ChatTemplate(**request["source"])
    if "template" in request:
        json.dump(asdict(compare(source, request["template"])), sys.stdout)
        return
    found = translate(source, is_exact=request["exact"])
    level = found.level and (found.level.tools, found.level.thinking)
    json.dump([found.template, level, found.reason, found.glues], sys.stdout)


def _limit(seconds: int) -> None:
    """Bound this process itself: whoever started it may be gone when it runs without end."""
    if sys.platform == "win32":
        return  # there only the parent's clock ends it
    import resource

    for kind, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_CPU, seconds, seconds + 1),  # at the hard one the signal would be SIGKILL
        (resource.RLIMIT_AS, MAX_MEMORY, MAX_MEMORY),
    ):
        # macOS may refuse a bound on memory.
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (soft, hard))


def _end_with(parent: int) -> None:
    """Be killed when the process that asked is. Only Linux has this; elsewhere the time ends it."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it went before the request took effect
        raise SystemExit(1)
