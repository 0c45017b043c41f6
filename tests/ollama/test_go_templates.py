"""Our Go templates: the interpreter against Go's engine, the writer, trimming, dates."""

from __future__ import annotations

import string
from collections.abc import Callable
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantize.ollama.quoting import is_representable
from quantize.ollama.templates.conversations import Conversation, Message, go_data
from quantize.ollama.templates.decisions import Leaf, choose, decide
from quantize.ollama.templates.go_interpreter import GoTemplate
from quantize.ollama.templates.go_syntax import GoTemplateError
from quantize.ollama.templates.go_trim import trim_template, with_exact_trims
from quantize.ollama.templates.go_writer import NOW, Writer
from quantize.ollama.templates.proof import TOOLS, normalized
from quantize.ollama.templates.slots import NO_TRIM, Trim, WhiteSpace
from tests.support.go_engine import DAY, Engine, on, talk

CHAT = Conversation(
    (Message("system", "S <&> \u2028é"), Message("user", "Hi 🌍"), Message("assistant", "")),
    tools=TOOLS,
    think=False,
)
SNIPPETS = [
    "plain }} text { and %",
    "a  {{- .System -}}  b",
    "a \n {{ .System }} \n b",
    '{{ "quoted \\" \\\\ \\n \\u00e9 \\U0001f30d }}" }}|{{ 12 }}|{{ -3 }}',
    "{{ range .Messages }}[{{ .Role }}:{{ .Content }}]{{ end }}",
    "{{ range $i, $m := .Messages }}{{ $i }}{{ $m.Role }}{{ .Content }};{{ end }}",
    "{{ range .Messages }}{{ range .ToolCalls }}x{{ else }}none{{ end }}{{ end }}",
    "{{ with .System }}<{{ . }}>{{ end }}{{ with .Response }}x{{ else }}empty{{ end }}",
    "{{ if .Think }}on{{ else if .IsThinkSet }}off{{ else }}unset{{ end }}",
    '{{ $x := "a" }}{{ range .Messages }}{{ $x }}{{ $x = .Role }}{{ end }}{{ $x }}',
    '{{ $x := "a" }}{{ if .System }}{{ $x := "b" }}{{ $x }}{{ end }}{{ $x }}',
    "{{ len .System }} {{ slice .System 0 2 }} {{ slice .System 1 }} {{ len .Messages }}",
    "{{ range $i, $_ := .Messages }}{{ len (slice $.Messages $i) }},{{ end }}",
    "{{ (index .Messages 1).Content }}{{ (index (slice .Messages 1) 1).Role }}",
    '{{ eq .System "x" "y" }}{{ ne 1 2 }}{{ lt 1 2 }}{{ gt 1 2 }}{{ ge 2 2 }}{{ not .System }}',
    '{{ and .System .Response }}|{{ or .Response .System }}|{{ and 1 2 }}|{{ or "" 0 }}',
    '{{ if and (ge (len .Response) 3) (eq (slice .Response 0 3) "abc") }}x{{ else }}y{{ end }}',
    '{{ define "t" }}({{ . }}){{ end }}{{ template "t" .System }}',
    '{{ define "t" }}({{ . }}){{ end }}{{ template "t" slice .System 1 }}',
    "{{ currentDate }} {{ yesterdayDate }}",
    "{{ .Tools }}{{ json .Tools }}{{ range .Tools }}{{ . }}{{ .Function.Name }}{{ end }}",
    "{{ json .System }}{{ json (index .Messages 1).Content }}",
    "{{ .Think }}{{ .IsThinkSet }}{{ .ThinkLevel }}",
    "a {{- /* a }} comment */ -}} b{{/* another */}}",
    "{{ if .Response }}a{{ else if .System }}{{ .System }}{{ else }}b{{ end }}",
    '{{ `raw \\n {{ "` }}{{ le 1 1 }}{{ le 2 1 }}',
    "{{ true }}{{ if eq .Think false }}a{{ else }}b{{ end }}{{ $x := false }}{{ $x }}{{ not nil }}",
    "{{ if and true (not false) }}c{{ end }}{{ or nil .System }}",
    "{{ .System | len }}{{ (.System | len) }}{{ .Messages | len | eq 3 }}",
    "{{ range .Messages }}{{ if eq .Role `user` }}{{ continue }}{{ end }}{{ .Role }},{{ end }}",
    "{{ range .Messages }}{{ .Role }}{{ if eq .Role `user` }}{{ break }}{{ end }},{{ end }}",
    "{{ $x := 0 }}{{ range .Messages }}{{ $x = len .Role }}{{ break }}{{ end }}{{ $x }}",
]


def test_the_interpreter_writes_what_gos_engine_writes(go_engine: Engine) -> None:
    for snippet in SNIPPETS:
        [prompt] = go_engine.render(snippet, on(DAY, [CHAT]))
        own = GoTemplate(snippet).render(go_data(CHAT), DAY)
        assert normalized(own, CHAT) == normalized(prompt, CHAT), snippet


@pytest.mark.parametrize(
    "wrong",
    [
        "{{ .Unknown }}",
        "{{ range .Messages }}{{ .Unknown }}{{ end }}",
        "{{ unknown .System }}",
        "{{ $x }}",
        "{{ $x = 1 }}",
        "{{ if .System }}",
        "{{ end }}",
        "{{ }}",
        "{{ .System",
        "{{ (len .System }}",
        "{{ slice .System 900 }}",
        "{{ index .Messages 9 }}",
        '{{ eq .Messages "x" }}',
        "{{ eq 1 .System }}",
        '{{ template "none" . }}',
        '{{ define "deep" }}{{ template "deep" . }}{{ end }}{{ template "deep" . }}',
        "{{ break }}",
        "{{ nil }}",
        "{{ if nil }}a{{ end }}",
        "{{ eq .Think 1 }}",
        "{{ range .System }}x{{ end }}",
        "{{ if .System }}a{{ else }}b",
        "{{ if .System }}a{{ else range .Messages }}b{{ end }}",
        "{{ .System | .Role }}",
    ],
)
def test_what_is_outside_the_subset_or_fails_is_refused(wrong: str) -> None:
    with pytest.raises(GoTemplateError):
        GoTemplate(wrong).render(go_data(CHAT), DAY)


TRICKY = st.text(
    st.sampled_from("{}%-\"'`\\ \n\t\r\u00a0\u200d\u3000\x00\x7fab\U000e0001🌍"), max_size=40
)


@given(TRICKY, TRICKY)
def test_written_text_is_the_text_itself(one: str, other: str) -> None:
    writer = Writer()
    writer.text(one)
    writer.line("if .System")
    writer.text(other)
    writer.code("end")
    template = writer.source()
    assert is_representable(template)
    assert GoTemplate(template).render(go_data(CHAT), DAY) == one + other


def test_gos_engine_reads_written_text_the_same_way(go_engine: Engine) -> None:
    texts = ["{{ x }} {", '"""\n"""', "a \n", "\u00a0\x00\x7f\U000e0001é🌍", "\\n \\", "}} {{{ {{"]
    for text in texts:
        writer = Writer()
        writer.text(text)
        writer.line("if .System")
        writer.text(text)
        writer.code("end")
        assert go_engine.render(writer.source(), on(DAY, [CHAT])) == [text * 2]


SPACES = [chr(code) for code in range(0x10000) if chr(code).isspace()]


@pytest.mark.parametrize("spaces", [None, " \n\t\r"], ids=["exact", "short"])
def test_trimming_is_pythons(spaces: str | None, go_engine: Engine) -> None:
    """All white space in the exact form, that of ASCII in the short one."""
    texts = ["", "a", *SPACES, "".join(SPACES) + "a b" + "".join(SPACES), " é ", "\u2003日\u3000"]
    texts += ["\n\n a \n\n", "\n", "\n\n", " \n", "日本", "\t\r\n a\u00a0\t"]
    outcomes: dict[Trim, Callable[[str], str]] = {
        Trim(WhiteSpace.TRIMMED, WhiteSpace.TRIMMED): lambda text: text.strip(spaces),
        Trim(WhiteSpace.TRIMMED, WhiteSpace.KEPT): lambda text: text.lstrip(spaces),
        Trim(WhiteSpace.KEPT, WhiteSpace.TRIMMED): lambda text: text.rstrip(spaces),
        Trim(WhiteSpace.NEWLINES, WhiteSpace.NEWLINES): lambda text: text.strip("\n"),
        Trim(WhiteSpace.NEWLINES, WhiteSpace.KEPT): lambda text: text.lstrip("\n"),
        Trim(WhiteSpace.NEWLINES, WhiteSpace.TRIMMED): lambda text: text.lstrip("\n").rstrip(
            spaces
        ),
    }
    for outcome, trimmed in outcomes.items():
        found = trim_template(outcome)
        assert found is not None
        name, define = found
        assert len(define.splitlines()) <= 3
        define = define if spaces else with_exact_trims(define)
        template = (
            f'{define}{{{{ range .Messages }}}}<{{{{ template "{name}" .Content }}}}>{{{{ end }}}}'
        )
        chats = [talk(text) for text in texts]
        wanted = [f"<{trimmed(text)}>" for text in texts]
        assert go_engine.render(template, on(DAY, chats)) == wanted
        assert [GoTemplate(template).render(go_data(chat), DAY) for chat in chats] == wanted
    assert trim_template(NO_TRIM) is None


@pytest.mark.parametrize(
    "form",
    ["%Y-%m-%d", "%d %b %Y", "%d %B %Y", "%B %d, %Y"],
    ids=lambda form: form.replace("%", ""),
)
def test_dates_are_computed_in_go(form: str, go_engine: Engine) -> None:
    writer = Writer()
    writer.text(f"It is {NOW.strftime(form)}.\n")
    writer.line("if .System")
    writer.code("end")
    days = [datetime(2026, month, 2 * month + 1) for month in range(1, 13)]  # noqa: DTZ001
    chats = [(talk("Hi"), day) for day in days]
    wanted = [f"It is {day.strftime(form)}.\n" for day in days]
    assert go_engine.render(writer.source(), chats) == wanted
    template = GoTemplate(writer.source())
    assert [template.render(go_data(chat), day) for chat, day in chats] == wanted


ROWS = st.lists(
    st.tuples(
        st.fixed_dictionaries(
            {
                "previous": st.sampled_from(["", "user", "text"]),
                "tools": st.sampled_from(["yes", "no"]),
                "last": st.sampled_from(["yes", "no"]),
            }
        ),
        st.sampled_from(string.ascii_lowercase[:3]),
    ),
    min_size=1,
    max_size=8,
)


@given(ROWS)
def test_a_decision_tree_explains_every_row_or_there_is_none(
    rows: list[tuple[dict[str, str], str]],
) -> None:
    tree = decide(rows)
    by_features = {frozenset(features.items()): set[str]() for features, _ in rows}
    for features, text in rows:
        by_features[frozenset(features.items())].add(text)
    if any(len(texts) > 1 for texts in by_features.values()):
        assert tree is None
    else:
        assert tree is not None
        assert all(choose(tree, features) == text for features, text in rows)


def test_a_decision_asks_for_nothing_that_does_not_matter() -> None:
    rows = [({"previous": p, "tools": t}, "x") for p in ("", "user") for t in ("yes", "no")]
    assert decide(rows) == Leaf("x")
