"""Write docs/templates.md: which real chat templates are translated for Ollama, and how far.

    python scripts/write_templates.py [SHARED]

SHARED/chat_templates holds templates of published models; the default is ../shared.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

from quantize.ollama.templates.go_writer import NOW
from quantize.ollama.templates.jinja_render import JinjaTemplate, RenderError
from quantize.ollama.templates.translate import ChatTemplate, Translation, translate

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "docs" / "templates.md"
BOS, EOS = "<s>", "</s>"

HEAD = """\
# Chat templates that become Go templates

<!-- Written by scripts/write_templates.py; `make test-shared` holds it against the templates. -->

A GGUF file holds the model's chat template, which is Jinja; Ollama's own language is Go's
text/template. `quantize convert` writes a TEMPLATE into the Modelfile when it can prove that both
write the same prompts. This is what becomes of {total} templates of published models.

{counts}

How it is done:

1. The Jinja is rendered as transformers renders it, in Jinja's sandbox and in a process of its own
   with bounds on time and memory, on conversations in which every text is a mark.
2. The text between the marks is the prompt's grammar: what opens and closes each turn, default
   system texts, the generation prompt, where tools, calls, results and reasoning go, what is
   trimmed, what is left out. Small decision trees say what it depends on.
3. The grammar is written as a Go template.
4. Both are rendered on other conversations: a system text or none, one to five turns, empty texts
   and long ones, white space at the edges, other scripts, text that looks like template syntax or
   like a turn's end, tools with calls and results, thinking on, off and unset, two dates. Prompts
   are equal to the character; definitions and arguments of tools are equal as JSON values, since
   Ollama writes those in its own order and spacing. If one differs there is no TEMPLATE.
5. Where the last message is the assistant's, it is the beginning of an answer. The prompt ends with
   it, as with transformers' `continue_final_message`, and the model goes on.

Go has no function that trims, so a TEMPLATE defines one where the Jinja trims: three lines for
spaces, tabs and line breaks. `--exact-template` writes a longer one for every kind of white space.

The tests run the same templates on Go's real engine.

Not covered by the proof: messages that Ollama changes before any template sees them (neighbours of
one role are joined), calls of tools without results at the end, texts of nothing but white space,
pictures, and texts that hold the tags of reasoning, which some Jinja cuts out of the history and
Ollama out of the answers. A chat that begins with a greeting of the assistant, without tools, is
translated where that can be proven. So are system texts after the first message, which are left out
otherwise. Where the Jinja refuses a system text, the Go template writes it before the first user's
text, as llama.cpp does.

*System text*: shown, ignored, or refused by the Jinja. *Not more because*: why it is not proven for
tools or thinking, where Ollama would look for them.

| Template | Proven for | System text | Not more because |
|---|---|---|---|
"""


def templates(shared: Path) -> dict[str, str]:
    """Name -> Jinja."""
    folder = shared / "chat_templates"
    found = {}
    for path in sorted(folder.glob("*.jinja")):
        with path.open(encoding="utf-8", newline="") as file:
            found[path.stem] = file.read()
    for entry in json.loads((folder / "ollama_library.json").read_text(encoding="utf-8")):
        name = entry["model"]
        while name in found:
            name += " (other)"
        found[name] = entry["jinja"]
    return found


def row(name: str, jinja: str, found: Translation) -> str:
    level = "-" if found.level is None else str(found.level)
    reason = found.reason.replace("|", "\\|").replace("\n", " ")
    return f"| {name} | {level} | {_system_text(jinja)} | {_shortened(reason)} |"


def _system_text(jinja: str) -> str:
    turns = [{"role": "system", "content": "zqsystem"}, {"role": "user", "content": "Hi"}]
    try:
        prompt = JinjaTemplate(jinja, bos=BOS, eos=EOS).render(turns, now=NOW)
    except RenderError:
        return "refused"
    return "shown" if "zqsystem" in prompt else "ignored"


def _shortened(reasons: str) -> str:
    """Each reason once: an attempt with fewer capabilities often fails as the one before."""
    unique = dict.fromkeys(one.partition(": ")[2] or one for one in reasons.split("; ") if one)
    return "; ".join(one if len(one) < 90 else f"{one[:87]}..." for one in unique)


def text(shared: Path) -> str:
    rows, counts = [], Counter[str]()
    for name, jinja in templates(shared).items():
        found = translate(ChatTemplate(jinja, BOS, EOS))
        counts[str(found.level)] += 1
        rows.append(row(name, jinja, found))
    total, proven = len(rows), len(rows) - counts["None"]
    lines = [f"- **{proven}** are proven for plain chat over several turns,"]
    with_tools = sum(n for level, n in counts.items() if "tools" in level)
    with_thinking = sum(n for level, n in counts.items() if "thinking" in level)
    lines.append(f"- **{with_tools}** of them with tools, **{with_thinking}** with thinking,")
    lines.append(f"- {total - proven} are not: Ollama uses their Jinja.")
    return HEAD.format(total=total, counts="\n".join(lines)) + "\n".join(rows) + "\n"


if __name__ == "__main__":
    shared = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared"
    TARGET.write_text(text(shared), encoding="utf-8")
