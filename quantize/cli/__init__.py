"""The command line: parse, call api, render. The only package that prints or exits."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import Annotated

import typer

from quantize import __version__
from quantize.cli.help import Command, Program
from quantize.cli.net import flush_output, keep_standard_files
from quantize.cli.output import failed_outside, finish
from quantize.errors import EXIT_INTERRUPTED
from quantize.registry import Registry

COMMANDS: Registry[Callable[..., None]] = Registry(
    "command",
    "quantize.cli.commands",
    {
        "convert": "convert:convert",
        "plan": "plan:plan",
        "inspect": "inspect:inspect",
        "imatrix": "imatrix:imatrix",
        "verify": "verify:verify",
        "compare": "compare:compare",
        "perplexity": "perplexity:perplexity",
        "push": "push:push",
        "modelfile": "modelfile:modelfile",
        "ollama": "ollama:ollama",
        "doctor": "doctor:doctor",
        "types": "types:types",
        "architectures": "architectures:architectures",
    },
)


def build_app() -> typer.Typer:
    """The program with all its commands. Errors are shown by `output.session`, not by Typer."""
    app = typer.Typer(
        cls=Program,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_program)
    for name in COMMANDS:
        app.command(name, cls=Command)(COMMANDS[name])
    return app


def main() -> None:
    """Run the command of sys.argv. Ends in SystemExit."""
    keep_standard_files()
    # A vocabulary is a million objects that stay: looking for garbage among them takes a while.
    gc.set_threshold(100_000, 50, 50)
    # Planning holds the interpreter lock while another thread computes the source's digests: at
    # the usual 5 ms for each turn that one would wait for most of the time.
    sys.setswitchinterval(0.0005)
    for stream in (sys.stdout, sys.stderr):
        # A model's name may hold what a terminal's encoding lacks: no reason to fail.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        build_app()(prog_name="quantize")
    except (KeyboardInterrupt, SystemExit) as end:
        # An interrupt outside of a command: while options are read, or when it has ended.
        if isinstance(end, SystemExit) and end.code != EXIT_INTERRUPTED:
            raise SystemExit(finish(end.code)) from None
        # Not sys.exit: where the interrupt came while a module was imported, Python would end by
        # the signal in spite of it, and the exit code would be another one.
        flush_output()
        os._exit(EXIT_INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - no person meets a traceback
        raise SystemExit(failed_outside(error)) from None
    finally:
        # What is left goes with the process. Looking once more for garbage among all modules, as an
        # interpreter does at its end, would take a third of a second.
        gc.freeze()


def _print_version(wanted: bool) -> None:  # noqa: FBT001 (Typer calls it so)
    if wanted:
        typer.echo(f"quantize {__version__}")
        raise typer.Exit


def _program(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Which one is this."
        ),
    ] = False,
) -> None:
    """Hugging Face checkpoints to quantized GGUF files, with llama.cpp's bytes."""
