"""Examples and exit codes at the end of --help, in panels like Typer's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from typer.core import TyperCommand, TyperGroup

from quantize import errors


class Example(NamedTuple):
    line: str
    what: str


EXAMPLES: Mapping[str, Sequence[Example]] = {
    "convert": (
        Example("quantize convert ./Qwen3-0.6B", "a folder"),
        Example("quantize convert Qwen/Qwen3-0.6B -t Q4_K_M -t Q8_0", "from the Hub"),
        Example("quantize convert Qwen/Qwen3-0.6B --stream", "keeping no weights"),
        Example("quantize convert model-BF16.gguf -t Q4_K_S", "a GGUF file"),
        Example("quantize convert ./Qwen3-0.6B -t IQ2_M --imatrix m.gguf", "few bits"),
        Example("quantize convert ./Qwen3-0.6B --recipe mine.toml", "your own mix"),
        Example("quantize convert ./Qwen3-0.6B --target-size 450MB", "the best of a size"),
        Example("quantize convert ./Qwen3-0.6B --dry-run", "look first"),
        Example("quantize convert ./Qwen3-0.6B --ollama qwen3", "into Ollama"),
    ),
    "plan": (
        Example("quantize plan Qwen/Qwen3-0.6B --fits 1GB", "what fits into 1 GB"),
        Example("quantize plan ./Qwen3-0.6B -t Q4_K_M -t Q8_0", "by type and reason"),
        Example("quantize plan ./Qwen3-0.6B --all", "every tensor"),
        Example("quantize plan ./Qwen3-0.6B --json", "for a program"),
    ),
    "inspect": (
        Example("quantize inspect model-Q4_K_M.gguf", "a GGUF file"),
        Example("quantize inspect ./Qwen3-0.6B", "a checkpoint"),
    ),
    "imatrix": (
        Example("quantize imatrix imatrix.gguf", "what matters most"),
        Example("quantize imatrix imatrix.dat --all", "every tensor"),
        Example("quantize imatrix make model-F16.gguf --text a.txt", "make one"),
    ),
    "modelfile": (
        Example("quantize modelfile model-Q4_K_M.gguf", "next to it"),
        Example("quantize modelfile model.gguf -o - --num-ctx 8192", "to look at"),
    ),
    "ollama": (Example("quantize ollama create my-model ./out", "what convert wrote"),),
    "doctor": (
        Example("quantize doctor model-Q4_K_M.gguf", "the file alone"),
        Example("quantize doctor model-Q4_K_M.gguf Modelfile", "with its Modelfile"),
    ),
    "verify": (
        Example("quantize verify model.gguf", "by its manifest"),
        Example("quantize verify model.gguf --source ./Qwen3-0.6B", "made again"),
        Example("quantize verify model.gguf --source ./Qwen3-0.6B --sample 5", "partly"),
    ),
    "compare": (
        Example("quantize compare ./Qwen3-0.6B model-Q4_K_M.gguf", "what it lost"),
        Example("quantize compare a.gguf b.gguf --all --html c.html", "and a picture"),
        Example("quantize compare a.gguf b.gguf --fail-above 10", "for a script"),
    ),
    "perplexity": (
        Example("quantize perplexity a-Q4_K_M.gguf --text wiki.txt", "alone"),
        Example("quantize perplexity a.gguf --text t.txt --base f16.gguf", "what it lost"),
    ),
    "push": (
        Example("quantize push ./out user/Qwen3-0.6B-GGUF", "all files of a folder"),
        Example("quantize push model-Q4_K_M.gguf user/name --private", "one file"),
    ),
    "types": (Example("quantize types", "a table"),),
    "architectures": (Example("quantize architectures", "a table"),),
}

EXIT_CODES: Mapping[int, str] = {
    errors.EXIT_OK: "fine",
    errors.EXIT_USAGE: "an option or argument that makes no sense",
    errors.EXIT_UNSUPPORTED: "an architecture, tokenizer, type or encoding that is not known",
    errors.EXIT_CHECKPOINT: "a source that contradicts itself or holds bad values",
    errors.EXIT_AUTH: "the Hub wants a token, or another one",
    errors.EXIT_NETWORK: "the Hub or Ollama cannot be reached, or breaks off",
    errors.EXIT_DISK: "no room, no permission, no such folder",
    errors.EXIT_VERIFICATION: "a file or model is not what it should be",
    errors.EXIT_INTERNAL: "a mistake in quantize",
    errors.EXIT_INTERRUPTED: "interrupted",
    errors.EXIT_CLOSED_PIPE: "nobody reads the output any more",
}


class Command(TyperCommand):
    """A command whose help ends with its examples."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super().format_help(ctx, formatter)
        _print_panel("Examples", EXAMPLES[str(self.name)], ("", "dim"))


class Program(TyperGroup):
    """The program, whose help ends with its exit codes."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super().format_help(ctx, formatter)
        rows = [(str(code), meaning) for code, meaning in EXIT_CODES.items()]
        _print_panel("Exit codes", rows, ("bold cyan", ""))


def _print_panel(title: str, rows: Sequence[tuple[str, str]], styles: tuple[str, str]) -> None:
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    for style in styles:
        table.add_column(style=style, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(Panel(table, title=title, title_align="left", border_style="dim"))
