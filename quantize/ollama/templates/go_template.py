"""A prompt grammar, written as a Go template in Ollama's messages style."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from quantize.ollama.templates.decisions import (
    Branch,
    Leaf,
    Test,
    Tree,
    common_prefix,
    common_suffix,
    leaves_of,
    tests_of,
)
from quantize.ollama.templates.go_trim import trim_template
from quantize.ollama.templates.go_writer import Writer
from quantize.ollama.templates.grammar import END, Grammar, Pattern

_ROLES = (("system", "system"), ("user", "user"), ("assistant", "assistant"), ("tool", "result"))

# A test of a place -> Go. What depends on the neighbours is kept in variables.
_CONDITIONS: dict[Test, str] = {
    ("tools", "yes"): "$.Tools",
    ("think", "on"): "$.Think",
    ("think", "off"): "and $.IsThinkSet (not $.Think)",
    ("think", "unset"): "not $.IsThinkSet",
    ("content", "yes"): ".Content",
    # Not plain .ToolCalls: the first `if .ToolCalls` tells Ollama how calls begin.
    ("calls", "yes"): "gt (len .ToolCalls) 0",
    ("last", "yes"): "$last",
    ("final user", "yes"): "eq $i $final",
    ("after final user", "yes"): "gt $i $final",
}
_PARTS = {
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
_WORTH_SHARING = 12
_FIRST_USER = '(or (eq $i 0) (and (eq $i 1) (eq (index $.Messages 0).Role "system")))'
# The tag that opens reasoning, at the end of what stands before it.
OPENING = re.compile(r"(<[^<>\s]+>|\[[^\[\]\s]+\])\s*\Z")


def go_template(grammar: Grammar, skipped: frozenset[str] = frozenset()) -> str:
    """Source of the template. A message of a `skipped` kind counts only if it has a text."""
    return _Emitter(grammar, skipped).source()


class _Emitter:
    def __init__(self, grammar: Grammar, skipped: frozenset[str]) -> None:
        self._grammar = grammar
        self._skipped = skipped
        self._writer = Writer()
        # Where an empty system text counts, it takes the message to see that there is one.
        self._has_system = (
            "$.System" if "system" in skipped else 'eq (index $.Messages 0).Role "system"'
        )
        trees = [*grammar.before.values(), *grammar.trim.values(), *grammar.shown.values()]
        self._tests = {test for tree in trees for test in tests_of(tree)}
        # The first node is that of the first message, unless that one is left out of the prompt.
        self._first_is_zero = (
            "tools" not in grammar.before
            and not skipped
            and grammar.system_place == "turn"
            and all(isinstance(tree, Leaf) for tree in grammar.shown.values())
            and grammar.shown.get("system", Leaf("yes")) == Leaf("yes")
        )
        values = {value for name, value in self._tests if name == "previous"}
        self._tracks = bool(values - {""}) or ("" in values and not self._first_is_zero)

    def source(self) -> str:
        writer, grammar = self._writer, self._grammar
        if self._tracks:
            writer.line('$previous := ""')
        names = {name for name, _ in self._tests}
        if names & {"final user", "after final user"} or "final user" in (
            grammar.system_place,
            grammar.tools_place,
        ):
            writer.line("$final := -1")
            writer.line("range $i, $_ := .Messages")
            writer.code('if eq .Role "user"')
            writer.code("$final = $i")
            writer.code("end")
            writer.code("end")
        if grammar.tools_place == "start":
            self._tools("$.Tools")
        writer.line("range $i, $_ := .Messages")
        if names & {"last", "next"}:
            writer.line("$last := eq (len (slice $.Messages $i)) 1")
        if "next" in names:
            writer.line('$next := ""')
            writer.code("if not $last")
            writer.code("$next = (index (slice $.Messages $i) 1).Role")
            writer.code("end")
        self._before_users()
        word = "if"
        for role, kind in _ROLES:
            if body := self._role(kind):
                writer.line(f'{word} eq .Role "{role}"')
                body()
                word = "else if"
        if word != "if":
            writer.line("end")
        writer.line("end")
        self._choice(grammar.before[END], writer.text)
        return writer.source()

    def _before_users(self) -> None:
        """What is moved to before the first or the final user's text."""
        final = "eq $i $final"
        if self._grammar.tools_place == "first user":
            self._tools(f'and $.Tools (eq .Role "user") {_FIRST_USER}')
        elif self._grammar.tools_place == "final user":
            self._tools(f"and $.Tools ({final})")
        if self._grammar.system_place == "final user" and "system" in self._grammar.before:
            shown = self._boolean(self._grammar.shown["system"])
            conditions = [self._has_system, final, *([shown] if isinstance(shown, str) else [])]
            self._writer.line(f"if {_all(conditions)}")
            self._node("system", "$.System")
            self._writer.code("end")

    def _role(self, kind: str) -> Callable[[], None] | None:
        if kind == "assistant":
            return self._assistant
        moved = kind == "system" and self._grammar.system_place == "final user"
        if moved or kind not in self._grammar.before:
            return None
        return lambda: self._guarded(kind, ".Content" if kind in self._skipped else "")

    def _assistant(self) -> None:
        if "thinking" in self._grammar.before:
            self._guarded("thinking", ".Thinking")
        if "text" in self._grammar.before:
            has_calls = "calls" in self._grammar.before
            keeps = "or .Content (not .ToolCalls)" if has_calls else ""
            self._guarded("text", ".Content" if "text" in self._skipped else keeps)
        if "calls" in self._grammar.before:
            self._calls()

    def _guarded(self, kind: str, condition: str) -> None:
        """A node that is there under a condition, and shown where the grammar shows it."""
        shown = self._boolean(self._grammar.shown[kind])
        if shown is False:
            return
        conditions = [one for one in (condition, "" if shown is True else str(shown)) if one]
        if conditions:
            self._writer.line(f"if {_all(conditions)}")
        self._node(kind, ".Thinking" if kind == "thinking" else ".Content")
        if conditions:
            self._writer.code("end")

    def _node(self, kind: str, value: str) -> None:
        if kind == "thinking":
            self._thinking(value)
        else:
            self._choice(self._grammar.before[kind], self._writer.text)
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
            self._writer.text(self._grammar.after.get(kind, ""))
        self._track(kind)

    def _refused_system(self) -> None:
        """The Jinja raises an exception for a system text; llama.cpp then does this, too."""
        self._writer.code(f"if and $.System {_FIRST_USER}")
        self._writer.code("$.System")
        self._writer.text("\n\n")
        self._writer.code("end")

    def _content(self, kind: str, value: str) -> None:
        def write(outcome: str) -> None:
            template = trim_template(outcome)
            if template is None:
                self._writer.code(value)
            else:
                self._writer.define(*template)
                self._writer.code(f'template "{template[0]}" {value}')

        self._choice(self._grammar.trim[kind], write)

    def _thinking(self, value: str) -> None:
        """Ollama takes the first and last text around .Thinking for the tags of reasoning."""
        before = self._grammar.before["thinking"]
        opening = OPENING.search(common_suffix(before))
        tag = opening[0] if opening else ""
        self._choice(_map(before, lambda text: text.removesuffix(tag)), self._writer.text)
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
        rest = _map(before, lambda text: text.removesuffix(tag))
        if rest != Leaf(""):
            self._writer.line("with .ToolCalls")
            self._choice(rest, self._writer.text)
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
        shown = self._boolean(self._grammar.shown["tools"])
        if isinstance(shown, str):
            condition = f"and ({condition}) ({shown})"
        self._writer.line(f"if {condition}")
        self._choice(self._grammar.before["tools"], self._writer.text)
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

    def _choice(self, tree: Tree, write: Callable[[str], None]) -> None:
        """The text of one leaf, chosen where the template runs."""
        if isinstance(tree, Leaf):
            write(tree.text)
            return
        prefix, suffix = _shared(tree, write == self._writer.text)
        if prefix:
            write(prefix)
        self._branch(_map(tree, lambda t: t[len(prefix) : len(t) - len(suffix)]), "if", write)
        if suffix:
            write(suffix)

    def _branch(self, tree: Tree, word: str, write: Callable[[str], None]) -> None:
        while isinstance(tree, Branch):
            test, yes, no = tree.test, tree.yes, tree.no
            condition = self._condition(test)
            if yes == Leaf(""):
                condition, yes, no = f"not ({condition})", no, yes
                if isinstance(yes, Branch) and yes.no == no:
                    condition = _all([condition, self._condition(yes.test)])
                    yes = yes.yes
            self._writer.code(f"{word} {condition}")
            self._choice(yes, write)
            tree, word = no, "else if"
        if tree != Leaf(""):
            self._writer.code("else")
            write(tree.text)
        self._writer.code("end")

    def _condition(self, test: Test) -> str:
        name, value = test
        if test == ("previous", "") and self._first_is_zero:
            return "eq $i 0"
        if name == "system":
            return self._has_system
        if name in ("previous", "next"):
            return f'eq ${name} "{value}"'
        return _CONDITIONS[test]

    def _boolean(self, tree: Tree) -> bool | str:
        """A tree of yes and no as one condition; True or False if it is constant."""
        if isinstance(tree, Leaf):
            return tree.text == "yes"
        return _any([_all(path) for path in self._paths(tree, [])])

    def _paths(self, tree: Tree, so_far: list[str]) -> Iterator[list[str]]:
        """The conditions on the way to each yes."""
        if isinstance(tree, Branch):
            condition = self._condition(tree.test)
            yield from self._paths(tree.yes, [*so_far, condition])
            yield from self._paths(tree.no, [*so_far, f"not ({condition})"])
        elif tree.text == "yes":
            yield so_far


def _all(conditions: list[str]) -> str:
    return conditions[0] if len(conditions) == 1 else f"and {_arguments(conditions)}"


def _any(conditions: list[str]) -> str:
    return conditions[0] if len(conditions) == 1 else f"or {_arguments(conditions)}"


def _arguments(conditions: list[str]) -> str:
    return " ".join(f"({one})" if " " in one else one for one in conditions)


def _map(tree: Tree, change: Callable[[str], str]) -> Tree:
    if isinstance(tree, Leaf):
        return Leaf(change(tree.text))
    return replace(tree, yes=_map(tree.yes, change), no=_map(tree.no, change))


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


def _shared(tree: Tree, is_text: bool) -> tuple[str, str]:  # noqa: FBT001
    """What all leaves begin or end with, if that is long or leaves one of them empty."""
    leaves = leaves_of(tree)
    if not is_text:
        return "", ""
    suffix = common_suffix(tree)
    if suffix in leaves or len(suffix) >= _WORTH_SHARING:
        return "", suffix
    prefix = common_prefix(leaves)
    return (prefix, "") if prefix in leaves or len(prefix) >= _WORTH_SHARING else ("", "")
