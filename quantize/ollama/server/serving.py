"""What Ollama will do with a GGUF file and a Modelfile: whose template counts, what it can do."""

from __future__ import annotations

from collections.abc import Mapping

from quantize.ollama.modelfile.facts import Facts
from quantize.ollama.modelfile.prompt import HARMONY
from quantize.ollama.modelfile.reading import Modelfile
from quantize.ollama.templates import capabilities
from quantize.ollama.templates.capabilities import Capabilities

RENDERERS = frozenset({
    "qwen3-coder", "qwen3-vl-instruct", "qwen3-vl-thinking", "qwen3.5", "qwen3.8", "ornith",
    "cogito", "deepseek3.1", "olmo3", "olmo3.1", "olmo3-think", "olmo3-32b-think",
    "nemotron-3-nano", "nemotron-3.5-nano", "gemma4", "gemma4-small", "gemma4-large",
    "functiongemma", "glm-4.7", "glm-ocr", "lfm2", "lfm2-thinking", "laguna", "poolside-v1",
    "cohere", "glimmer",
})  # fmt: skip
_BOTH, _TOOLS, _THINKING = {"tools", "thinking"}, {"tools"}, {"thinking"}
# Parser -> what it adds.
PARSERS: Mapping[str, set[str]] = {
    "qwen3": _TOOLS,
    "qwen3-thinking": _BOTH,
    "qwen3.5": _BOTH,
    "ornith": _BOTH,
    "qwen3-coder": _TOOLS,
    "qwen3-vl-instruct": _TOOLS,
    "qwen3-vl-thinking": _BOTH,
    "ministral": _TOOLS,
    "passthrough": set(),
    "harmony": _BOTH,
    "cogito": _BOTH,
    "deepseek3": _BOTH,
    "olmo3": _TOOLS,
    "olmo3-think": _THINKING,
    "nemotron-3-nano": _BOTH,
    "nemotron-3.5-nano": _BOTH,
    "functiongemma": _TOOLS,
    "glm-4.7": _BOTH,
    "gemma4": _BOTH,
    "gemma4-no-thinking": _TOOLS,
    "glm-ocr": _TOOLS,
    "lfm2": _TOOLS,
    "lfm2-thinking": _BOTH,
    "laguna": _BOTH,
    "poolside-v1": _BOTH,
    "cohere": _BOTH,
    "glimmer": _BOTH,
}


def uses_jinja(model: Facts, modelfile: Modelfile) -> bool:
    """Whether the chat template inside the file makes the prompts."""
    template = modelfile.last("template")
    if not model.jinja or modelfile.last("renderer") or modelfile.last("parser"):
        return False
    if template is None:
        return True
    go, jinja = capabilities.of_go(template), capabilities.of_jinja(model.jinja)
    return model.arch not in HARMONY and capabilities.prefers_jinja(jinja, go)


def expected_capabilities(model: Facts, modelfile: Modelfile) -> set[str]:
    """What /api/show is to report, of text alone."""
    able = _template_capabilities(model, modelfile)
    # An embedder takes no part in chats, but keeps what its template can do.
    found = {"embedding" if model.is_embedder else "completion"}
    found |= PARSERS.get(modelfile.last("parser") or "", set())
    found |= {"tools"} if able.tools else set()
    found |= {"thinking"} if able.thinking or model.arch in HARMONY else set()
    return found


def _template_capabilities(model: Facts, modelfile: Modelfile) -> Capabilities:
    if uses_jinja(model, modelfile):
        return capabilities.of_jinja(model.jinja)
    return capabilities.of_go(modelfile.last("template") or "")


def expected_templates(model: Facts, modelfile: Modelfile) -> list[str]:
    """Texts that /api/show may print as the template, the likeliest first; none says nothing."""
    if modelfile.last("renderer") or modelfile.last("parser") or model.is_embedder:
        return []
    jinja, template = model.jinja, modelfile.last("template")
    found = [jinja, template] if uses_jinja(model, modelfile) else [template]
    return [text for text in found if text]
