"""Write the pages of docs/ that come from the code they describe; with --check, only compare.

cli.md: the commands' own declarations, and the events of --json. errors.md: the exit codes, and
every error that the package raises, found in its syntax trees. sources.md: the registry of source
encodings, and the adapters that are refused. architectures.md: the registry of architectures.
architecture.md: its table of floors, from tests/support/floors.py.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from quantize import errors
from quantize.architectures import ARCHITECTURES
from quantize.checkpoints.adapters.settings import OTHER_ARITHMETIC
from quantize.checkpoints.encodings import ENCODINGS
from quantize.cli import build_app
from quantize.cli.events import base as events
from quantize.cli.help import EXAMPLES, EXIT_CODES

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "quantize"
sys.path.insert(0, str(ROOT))
from tests.support.floors import FLOORS  # noqa: E402 (the tests are no package that is installed)

FLOORS_BEGIN, FLOORS_END = "<!-- floors -->", "<!-- end of floors -->"

CLI_HEAD = """\
# The command line

Written by `python scripts/write_docs.py` from the commands themselves.

Results go to stdout, everything else to stderr. On a terminal a conversion shows a progress bar;
elsewhere a line at each tenth of the work, without colors. `NO_COLOR=1` switches colors off.
Exit codes and errors: [errors.md](errors.md).
"""

EVENTS_HEAD = """\
## What --json prints

One JSON object a line on stdout, told apart by `event`. Fields may be added in later versions;
those listed here keep their names and meanings.
"""

ERRORS_HEAD = """\
# Errors

Written by `python scripts/write_docs.py` from the code that raises them.

An error says what is wrong, where, why, and what to try next:

    error[unknown-type]: 'Q4_K_X' is not a file type
      why  names like it: Q4_K_S, Q4_K_M, Q4_K
      try  `quantize types` lists them all

The name in brackets is stable: scripts may rely on it (`--json` has it as `code`), and on
the exit code.

## Exit codes

| code | meaning | class |
|---|---|---|
"""

REFERENCES_HEAD = """
## References

`...` stands for what differs from case to case.

| reference | code | message |
|---|---|---|
"""


SOURCES_HEAD = """\
# Sources

Written by `python scripts/write_docs.py` from the registry of source encodings.

A source is a Hugging Face folder, a repository of the Hub, or a GGUF file in F32, F16 or BF16; in
other types with `--allow-requantize` only ([recipes.md](recipes.md)). The weights of a checkpoint
may be quantized already, as `quantization_config` in its config.json says (or quantize_config.json,
or hf_quant_config.json). They are decoded row by row while they are converted, so that takes no
more memory than plain weights do. What is written cannot be better than they are.

## Encodings

Without `--type`, the type that loses nothing measurable is written.

| quant_method | what is read | without --type |
|---|---|---|
"""

GRIDS = """
## Grids

Some stored values are exactly those of a ggml type: symmetric integers of 4 or 8 bits in groups of
32, 64 or more columns with F16 or BF16 scales are Q4_0 or Q8_0, MLX's codes of 2 to 5 bits with F16
or BF16 scales and biases Q4_1 or Q5_1, and MXFP4 is MXFP4. Without `--type`, and with
`--keep-quantized`, such weights are moved into that type without loss, and `plan` says so. gpt-oss
keeps its MXFP4 in any case, as with llama.cpp.

## Mistral's own format

A folder with params.json and consolidated.safetensors (and tekken.json, or tokenizer.model with or
without a version behind its name) is read as llama.cpp's converter does with --mistral-format:
dense models, Mixtral's experts and Ministral 3. Mistral Large 3 is not. Where config.json and
model*.safetensors are there too, they are taken.

## Embedding models

modules.json of sentence-transformers says how vectors are pooled; where no file does, `--pooling`
is asked for. Of the modules behind the pooling llama.cpp has a place for EmbeddingGemma's two
projections (2_Dense and 3_Dense, without bias or activation), which are written as its converter
writes them with --sentence-transformers-dense-modules. Others are named in a note.

"""

ADAPTERS = """\
## Adapters

`quantize convert BASE --lora ADAPTER[=SCALE]` merges PEFT's LoRA adapters row by row, on any of the
encodings above: plain and RSLoRA, DoRA, rank_pattern and alpha_pattern, embeddings, whole modules
(modules_to_save) with more tokens and the adapter's own tokenizer, trainable tokens, transposed
weights (fan_in_fan_out), and several adapters in turn. The sums are float64, rounded once.

`quantize convert ADAPTER --adapter-only` writes a GGUF adapter to be loaded with a base: factors
only, and as F32, F16 or BF16.

Refused, because they would be merged wrongly, are other methods than LoRA, adapters that were
initialized from a base that was changed for them (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA), and these
settings:

| in adapter_config.json | |
|---|---|
"""


def sources_page() -> str:
    parts = [SOURCES_HEAD]
    for method in ENCODINGS:
        encoding = ENCODINGS[method]({})
        name = f"`{method}`" if method else "(none)"
        parts.append(f"| {name} | {_cell(encoding.accepts)} | {encoding.nearest or 'Q4_K_M'} |\n")
    parts += [GRIDS, ADAPTERS]
    parts += [f"| `{key}` | {what} |\n" for key, what in OTHER_ARITHMETIC.items()]
    return "".join(parts)


ARCHITECTURES_HEAD = """\
# Architectures

Written by `python scripts/write_docs.py` from the registry.

A name is what config.json has under "architectures". Each stands for a checkpoint that the tests
convert and compare with llama.cpp's own file of it: every key-value, and the SHA-256 of every
tensor. Of a multimodal checkpoint the text part is converted. Another name, such as that of a
fine-tune's own class, can be converted as one of these with `--arch NAME`. To add one:
[adding-a-family.md](adding-a-family.md).

## More than the class name

| what | decides | test |
|---|---|---|
| folder, `_name_or_path` or heading of the card: Qwen3-Reranker | \
pooling, classifier and prompt of a reranker | tests/architectures/test_reranker.py |
| modules.json of sentence-transformers | pooling and dense layers of embedding models | \
tests/architectures/test_sentence_modules.py |
| `moe_every_n_layers` of NomicBertModel | nomic-bert or nomic-bert-moe | cousin nomic-bert-moe |
| `num_experts_per_tok` of NemotronHForCausalLM | nemotron_h or nemotron_h_moe | \
cousin nemotron-h-moe |
| `layer_types` of GraniteMoeHybridForCausalLM | granite or granitehybrid | cousin granite4-dense |
| number of tokens of Llama's layout: 32016, 49152 | \
end of an infill (CodeLlama), missing BOS (small Granite) | tests/vocab |
| tokenizer.model, tokenizer.json or both | which of them the vocabulary is made from | \
tests/vocab/test_token_parity.py |
| what tokenizer.json's pipeline does to a text | the pre-tokenizer (`tokenizer.ggml.pre`) | \
tests/vocab/test_pre.py |

llama.cpp's converter also looks for the name THUDM/chatglm3-6b, whose tokenizer has no \
tokenizer.json
and is not read here.

## Names

| name | GGUF architecture | family |
|---|---|---|
"""


def architectures_page() -> str:
    rows = []
    for name in sorted(ARCHITECTURES, key=str.casefold):
        module = ARCHITECTURES.table[name].partition(":")[0].rpartition(".")[2]
        link = f"[{module}.py](../quantize/architectures/families/{module}.py)"
        rows.append(f"| {name} | {ARCHITECTURES[name].arch} | {link} |\n")
    return "".join([ARCHITECTURES_HEAD, *rows, f"\n{len(rows)} names.\n"])


def cli_page() -> str:
    program: Any = typer.main.get_command(build_app())
    parts = [CLI_HEAD]
    for name, command in program.commands.items():
        parts += [f"\n## quantize {name}\n\n{_paragraphs(command.help)}\n"]
        arguments = [param for param in command.params if param.param_type_name == "argument"]
        usage = "".join(f" {argument.metavar}" for argument in arguments)
        parts += [f"\n    quantize {name} [OPTIONS]{usage}\n"]
        parts += ["\n| | |\n|---|---|\n"]
        parts += [_parameter_row(param) for param in command.params if param.help]
        parts += ["\n"]
        parts += [f"    {line:<60} # {what}\n" for line, what in EXAMPLES[name]]
    parts += ["\n", EVENTS_HEAD]
    for kind in (*get_args(events.Event), events.PlannedTensorEntry):
        parts += _event_section(kind)
    return "".join(parts)


def _paragraphs(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())


def _parameter_row(param: Any) -> str:
    names = [f"`{name}`" for name in param.opts] if param.param_type_name == "option" else []
    names[-1:] = [f"{names[-1]} `{param.metavar}`"] if names and param.metavar else names[-1:]
    default = _default_text(param.default)
    shown = ", ".join(names or [f"`{param.metavar}`"])
    return f"| {_cell(shown)} | {_cell(param.help)}{default} |\n"


def _default_text(default: Any) -> str:
    if isinstance(default, Enum):
        default = default.value
    if isinstance(default, list | tuple):
        default = ", ".join(map(str, default))
    return f" Default: `{default}`." if isinstance(default, str | Path) and str(default) else ""


def _event_section(kind: Any) -> Iterator[str]:
    hints = get_type_hints(kind, include_extras=True)
    name = get_args(hints["event"])[0] if "event" in hints else "Entries of a plan's tensors"
    yield f"\n### {name}\n\n{kind.__doc__}\n\n| field | type | |\n|---|---|---|\n"
    for field, hint in hints.items():
        kept, note = get_args(hint) if get_origin(hint) is Annotated else (hint, "")
        yield f"| `{field}` | {_type_text(kept)} | {_cell(note)} |\n"


def _type_text(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return f'"{get_args(hint)[0]}"'
    if hint is Any:
        return "any"
    text = hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
    return (
        "list of the entries below" if events.PlannedTensorEntry.__name__ in text else _cell(text)
    )


def errors_page() -> str:
    classes = {kind.exit_code: kind.__name__ for kind in errors.QuantizeError.__subclasses__()}
    parts = [ERRORS_HEAD]
    parts += [
        f"| {code} | {meaning} | {f'`{classes[code]}`' if code in classes else ''} |\n"
        for code, meaning in EXIT_CODES.items()
    ]
    parts += [REFERENCES_HEAD]
    codes = {name: code for code, name in classes.items()}
    texts: dict[tuple[str, int], list[str]] = {}
    for ref, kind, text in sorted({one for path in PACKAGE.rglob("*.py") for one in _raised(path)}):
        texts.setdefault((ref, codes[kind]), []).append(text)
    parts += [
        f"| `{ref}` | {code} | {_cell('<br>'.join(lines))} |\n"
        for (ref, code), lines in texts.items()
    ]
    return "".join(parts)


def _raised(path: Path) -> Iterator[tuple[str, str, str]]:
    """(reference, class, message) of each error that is made in a file."""
    kinds = {kind.__name__ for kind in errors.QuantizeError.__subclasses__()}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds:
            reference, message = node.args[:2]
            if isinstance(reference, ast.Constant):
                yield str(reference.value), node.func.id, _message(message)


def _message(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(v.value) if isinstance(v, ast.Constant) else "..." for v in node.values)
    return "..."


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def architecture_page() -> str:
    """The page as it is, with the table of floors from what the structure test holds."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    before, _, rest = page.partition(FLOORS_BEGIN)
    table = "".join(_floors())
    return f"{before}{FLOORS_BEGIN}\n{table}{FLOORS_END}{rest.partition(FLOORS_END)[2]}"


def _floors() -> Iterator[str]:
    """From the top down: a row for each room, with the first sentence of its docstring."""
    yield "| floor | room | what is in it |\n|---|---|---|\n"
    for number, rooms in reversed(list(enumerate(FLOORS, 1))):
        for room in sorted(rooms):
            path = PACKAGE / room.replace(".", "/")
            file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
            yield f"| {number} | `{room}` | {_cell(text.partition('. ')[0].splitlines()[0])} |\n"


def _content(path: Path) -> str | None:
    return path.read_text("utf-8") if path.is_file() else None


def main() -> int:
    docs = ROOT / "docs"
    pages = {
        docs / "architecture.md": architecture_page(),
        docs / "architectures.md": architectures_page(),
        docs / "cli.md": cli_page(),
        docs / "errors.md": errors_page(),
        docs / "sources.md": sources_page(),
    }
    stale = [path for path, text in pages.items() if _content(path) != text]
    for path in stale:
        if "--check" in sys.argv:
            print(f"{path.relative_to(ROOT)} is stale; run: python scripts/write_docs.py")
        else:
            path.write_text(pages[path], encoding="utf-8", newline="\n")
    return int("--check" in sys.argv and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
