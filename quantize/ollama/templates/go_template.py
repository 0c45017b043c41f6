r"""A prompt grammar, written as a Go template in Ollama's messages style.

ChatML, from prompt to template. A prompt of two messages:

    <|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n

Its grammar, as probing finds it:

    before   system <|im_start|>system\n    user <|im_start|>user\n
             text, end <|im_start|>assistant\n
    after    <|im_end|>\n for all of them
    trim     nothing
    shown    always
    places   each message in its own turn

And the template of it (a line break before an action is not text, one after it is):

    {{ range $i, $_ := .Messages }}
    {{- $last := eq (len (slice $.Messages $i)) 1 }}<|im_start|>{{ .Role }}
    {{ .Content }}{{ if or (ne .Role "assistant") (not $last) }}<|im_end|>
    {{ end }}
    {{- if and $last (ne .Role "assistant") }}<|im_start|>assistant
    {{ end }}
    {{- end }}

A last message of the assistant is the beginning of an answer, which nothing closes. Turns that
differ in more than the name of the role have a branch for each role.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from quantize.ollama.templates.alike import Turn, turn_of_all
from quantize.ollama.templates.decisions import (
    Leaf,
    common_suffix,
    leaves_of,
    mapped,
    tests_of,
)
from quantize.ollama.templates.features import FIRST_IS_SYSTEM, Test, go_condition
from quantize.ollama.templates.go_conditions import (
    Condition,
    Never,
    When,
    all_of,
    when,
)
from quantize.ollama.templates.go_trees import TreeWriter
from quantize.ollama.templates.go_trim import trim_template
from quantize.ollama.templates.go_writer import Writer
from quantize.ollama.templates.grammar import END, Grammar, Pattern
from quantize.ollama.templates.slots import Form, Part, Trim

_ROLES = (("system", "system"), ("user", "user"), ("assistant", "assistant"), ("tool", "result"))

# Kind of node, part and form -> Go.
_PARTS: Mapping[tuple[str, Part, Form], str] = {
    ("calls", "name", "raw"): ".Function.Name",
    ("calls", "arguments", "json"): "json .Function.Arguments",
    ("calls", "id", "raw"): ".ID",
    ("tools", "", "json"): "json .",
    ("tools", "function", "json"): "json .Function",
    ("tools", "parameters", "json"): "json .Function.Parameters",
    ("tools", "name", "raw"): ".Function.Name",
    ("tools", "description", "raw"): ".Function.Description",
    ("result", "name", "raw"): ".ToolName",
    ("result", "id", "raw"): ".ToolCallID",
    ("result", "content", "json"): "json .Content",
}
_FIRST_USER = '(or (eq $i 0) (and (eq $i 1) (eq (index $.Messages 0).Role "system")))'
# The tag that opens reasoning, at the end of the text before it.
OPENING = re.compile(r"(<[^<>\s]+>|\[[^\[\]\s]+\])\s*\Z")


def go_template(
    grammar: Grammar, skipped: frozenset[str] = frozenset(), *, first_system_only: bool = False
) -> str:
    """Source of the template. A message of a `skipped` kind counts only if it has a text.

    `first_system_only`: system texts after the first message are left out.
    """
    return _Emitter(grammar, skipped, first_system_only).source()


class _Emitter:
    def __init__(
        self,
        grammar: Grammar,
        skipped: frozenset[str],
        first_system_only: bool,  # noqa: FBT001 (as `go_template` has it)
    ) -> None:
        self._grammar = grammar
        self._skipped = skipped
        self._first_system_only = first_system_only
        self._writer = Writer()
        # Where an empty system text counts, it takes the message to see that there is one.
        self._has_system = "$.System" if "system" in skipped else FIRST_IS_SYSTEM
        self._tests = {
            test
            for tests in (
                *map(tests_of, grammar.before.values()),
                *map(tests_of, grammar.trim.values()),
                *map(tests_of, grammar.shown.values()),
            )
            for test in tests
        }
        # The first node is that of the first message, unless that one is left out of the prompt.
        self._first_is_zero = (
            "tools" not in grammar.before
            and not skipped
            and grammar.places.system == "turn"
            and all(isinstance(tree, Leaf) for tree in grammar.shown.values())
            and grammar.shown.get("system", Leaf(value=True)) == Leaf(value=True)
        )
        # A begun answer is left open, and there is no generation prompt after it.
        self._prompts = grammar.before[END] != Leaf("")
        self._ends = self._prompts or bool(grammar.after.get("text"))
        self._trees = TreeWriter(self._writer, self._condition)
        values = {value for name, value in self._tests if name == "previous"}
        self._tracks = bool(values - {""}) or ("" in values and not self._first_is_zero)

    def source(self) -> str:
        writer, grammar = self._writer, self._grammar
        if self._tracks:
            writer.line('$previous := ""')
        names = {name for name, _ in self._tests}
        if names & {"final user", "after final user"} or "final user" in grammar.places:
            writer.line("$final := -1")
            writer.line("range $i, $_ := .Messages")
            writer.code('if eq .Role "user"')
            writer.code("$final = $i")
            writer.code("end")
            writer.code("end")
        self._trees.text(grammar.start)
        if grammar.places.tools == "start":
            self._tools("$.Tools")
        writer.line("range $i, $_ := .Messages")
        if names & {"last", "next"} or self._ends:
            writer.line("$last := eq (len (slice $.Messages $i)) 1")
        if "next" in names:
            writer.line('$next := ""')
            writer.code("if not $last")
            writer.code("$next = (index (slice $.Messages $i) 1).Role")
            writer.code("end")
        turn = None
        if not (self._skipped or self._tracks or self._first_system_only):
            turn = turn_of_all(grammar)
        if turn is None:
            self._turns()
        else:
            self._alike(turn)
        if self._prompts:
            writer.line('if and $last (ne .Role "assistant")')
            self._trees.text(grammar.before[END])
            writer.code("end")
        writer.line("end")
        return writer.source()

    def _turns(self) -> None:
        """What is written for a message, by its role."""
        writer = self._writer
        self._before_users()
        word = "if"
        for role, kind in _ROLES:
            if body := self._role(kind):
                writer.line(f'{word} eq .Role "{role}"')
                body()
                word = "else if"
        if word != "if":
            writer.line("end")

    def _alike(self, turn: Turn) -> None:
        """The same for a message of any role."""
        self._writer.text(turn.before)
        self._writer.code(".Role")
        self._writer.text(turn.between)
        self._content("user", ".Content")
        if turn.after:
            self._writer.code('if or (ne .Role "assistant") (not $last)')
            self._writer.text(turn.after)
            self._writer.code("end")

    def _before_users(self) -> None:
        """What is moved to before the first or the final user's text."""
        final = "eq $i $final"
        if self._grammar.places.tools == "first user":
            self._tools(f'and $.Tools (eq .Role "user") {_FIRST_USER}')
        elif self._grammar.places.tools == "final user":
            self._tools(f"and $.Tools ({final})")
        if self._grammar.places.system == "final user" and "system" in self._grammar.before:
            shown = self._shown("system")
            conditions = [
                when(self._has_system),
                when(final),
                *([shown] if isinstance(shown, When) else []),
            ]
            self._if(all_of(conditions), lambda: self._node("system", "$.System"))

    def _role(self, kind: str) -> Callable[[], None] | None:
        if kind == "assistant":
            return self._assistant
        moved = kind == "system" and self._grammar.places.system == "final user"
        if moved or kind not in self._grammar.before:
            return None
        conditions = [when(".Content" if kind in self._skipped else "")]
        if kind == "system" and self._first_system_only:
            conditions.append(when("eq $i 0"))
        return lambda: self._guarded(kind, all_of(conditions))

    def _assistant(self) -> None:
        if "thinking" in self._grammar.before:
            self._guarded("thinking", when(".Thinking"))
        if "text" in self._grammar.before:
            has_calls = "calls" in self._grammar.before
            keeps = "or .Content (not .ToolCalls)" if has_calls else ""
            self._guarded("text", when(".Content" if "text" in self._skipped else keeps))
        if "calls" in self._grammar.before:
            self._calls()

    def _guarded(self, kind: str, condition: Condition) -> None:
        """A node that is there under a condition, and shown where the grammar shows it."""
        value = ".Thinking" if kind == "thinking" else ".Content"
        shown = all_of([condition, self._shown(kind)])
        self._if(shown, lambda: self._node(kind, value))

    def _if(self, condition: Condition, body: Callable[[], None]) -> None:
        """The body where the condition holds; the `if` begins a line of its own."""
        if isinstance(condition, Never):
            return
        if isinstance(condition, When):
            self._writer.line(f"if {condition.go}")
        body()
        if isinstance(condition, When):
            self._writer.code("end")

    def _node(self, kind: str, value: str) -> None:
        if kind == "thinking":
            self._thinking(value)
        else:
            self._trees.text(self._grammar.before[kind])
            pattern = self._grammar.patterns[kind]
            for number, (part, form) in enumerate(pattern.parts):
                if number:
                    self._writer.text(pattern.inner[number - 1])
                if (part, form) == ("content", "raw"):
                    if kind == "user" and "system" not in self._grammar.shown:
                        self._refused_system()
                    self._content(kind, value)
                else:
                    self._writer.code(_PARTS[kind, part, form])
            self._after(kind)
        self._track(kind)

    def _after(self, kind: str) -> None:
        """What closes a node; the beginning of an answer is not closed."""
        text = self._grammar.after.get(kind, "")
        if text and kind == "text":
            self._writer.code("if not $last")
            self._writer.text(text)
            self._writer.code("end")
        else:
            self._writer.text(text)

    def _refused_system(self) -> None:
        """The Jinja raises an exception for a system text; llama.cpp then does this, too."""
        self._writer.code(f"if and $.System {_FIRST_USER}")
        self._writer.code("$.System")
        self._writer.text("\n\n")
        self._writer.code("end")

    def _content(self, kind: str, value: str) -> None:
        def write(trim: Trim) -> None:
            template = trim_template(trim)
            if template is None:
                self._writer.code(value)
            else:
                self._writer.define(*template)
                self._writer.code(f'template "{template[0]}" {value}')

        self._trees.choice(self._grammar.trim[kind], write)

    def _thinking(self, value: str) -> None:
        """Ollama takes the first and last text around .Thinking for the tags of reasoning."""
        before = self._grammar.before["thinking"]
        opening = OPENING.search(common_suffix(before))
        tag = opening[0] if opening else ""
        self._trees.text(mapped(before, lambda text: text.removesuffix(tag)))
        self._writer.code(f"if {value}")
        self._writer.text(tag)
        self._content("thinking", value)
        self._writer.text(self._grammar.after["thinking"])
        self._writer.code("end")

    def _calls(self) -> None:
        """Ollama takes the first text inside `if .ToolCalls`, up to a brace, for the tag."""
        before = self._grammar.before["calls"]
        common = common_suffix(before)
        header = _header(common, leaves_of(self._grammar.before[END]))
        tag = common.removeprefix(header)
        rest = mapped(before, lambda text: text.removesuffix(tag))
        if rest != Leaf(""):
            self._writer.line("with .ToolCalls")
            self._trees.text(rest)
            self._writer.code("end")
        self._writer.line("if .ToolCalls")
        self._writer.text(tag)
        self._elements("calls", ".ToolCalls")
        self._writer.text(self._grammar.after.get("calls", ""))
        self._track("calls")
        self._writer.code("end")

    def _tools(self, condition: str) -> None:
        if "tools" not in self._grammar.patterns:
            return
        shown = self._shown("tools")
        if isinstance(shown, When):
            condition = f"and ({condition}) ({shown.go})"
        self._writer.line(f"if {condition}")
        self._trees.text(self._grammar.before["tools"])
        self._elements("tools", "$.Tools")
        self._writer.text(self._grammar.after.get("tools", ""))
        self._track("tools")
        self._writer.code("end")

    def _elements(self, kind: str, value: str) -> None:
        pattern: Pattern = self._grammar.patterns[kind]
        if pattern.separator:
            self._writer.code(f"range $number, $_ := {value}")
            self._writer.code("if $number")
            self._writer.text(pattern.separator)
            self._writer.code("end")
        else:
            self._writer.code(f"range {value}")
        for number, (part, form) in enumerate(pattern.parts):
            if number:
                self._writer.text(pattern.inner[number - 1])
            self._writer.code(_PARTS[kind, part, form])
        self._writer.code("end")

    def _track(self, kind: str) -> None:
        if self._tracks:
            self._writer.code(f'$previous = "{kind}"')

    def _condition(self, test: Test) -> Condition:
        if test == ("previous", "") and self._first_is_zero:
            return When("eq $i 0")
        return When(self._has_system if test.feature == "system" else go_condition(test))

    def _shown(self, kind: str) -> Condition:
        """Where the grammar shows nodes of a kind."""
        return self._trees.where(self._grammar.shown[kind])


def _header(text: str, generation_prompts: list[str]) -> str:
    """The start of `text` with which a generation prompt ends: a model's answer comes after it."""
    return max(
        (
            text[:size]
            for prompt in generation_prompts
            for size in range(len(text) + 1)
            if prompt.endswith(text[:size])
        ),
        key=len,
    )
