"""Arguments and options of the commands, each defined once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantize.errors import DiskError

if TYPE_CHECKING:
    from quantize.ollama.modelfile import Chosen

_MODEL = "The model"
_HUB = "The Hub"
_RUN = "The run"
_OLLAMA = "Ollama"
_PRINTED = "What is printed"


class Action(StrEnum):
    CREATE = "create"


class KernelSet(StrEnum):
    AUTO = "auto"
    NUMPY = "numpy"
    NUMBA = "numba"


Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A Hugging Face folder, a Hub id (ORG/NAME or ORG/NAME@REVISION), "
        "or a GGUF file in F32, F16 or BF16.",
        show_default=False,
    ),
]
AnySource = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A GGUF file, a Hugging Face folder, or a Hub id (ORG/NAME or ORG/NAME@REVISION).",
        show_default=False,
    ),
]
GGUF = Annotated[
    str,
    typer.Argument(metavar="FILE", help="A GGUF file.", show_default=False),
]
FromSource = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="SOURCE",
        help="What it was made from: a folder, a Hub id or a GGUF file.",
        show_default=False,
    ),
]
Sample = Annotated[
    int | None,
    typer.Option(
        "--sample",
        min=1,
        metavar="N",
        help="Make only N tensors again, always the same ones. All by default.",
        show_default=False,
    ),
]
Files = Annotated[
    list[str],
    typer.Argument(
        metavar="FILES...",
        help="GGUF files of one folder, or the folder itself.",
        show_default=False,
    ),
]
Repo = Annotated[
    str,
    typer.Argument(metavar="USER/NAME", help="The repository.", show_default=False),
]
Push = Annotated[
    str | None,
    typer.Option(
        "--push",
        metavar="USER/NAME",
        help="Publish the files in this repository when they are done, see `quantize push`.",
        show_default=False,
        rich_help_panel=_HUB,
    ),
]
Private = Annotated[
    bool,
    typer.Option(
        "--private",
        help="If the repository is made now, hide it from others.",
        rich_help_panel=_HUB,
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Replace other files of the same name in the repository.",
        rich_help_panel=_HUB,
    ),
]
Types = Annotated[
    list[str],
    typer.Option(
        "--type",
        "-t",
        metavar="TYPE",
        help="What to write, see `quantize types`. Several give a file each, from one read. "
        "auto: Q4_K_M, or what loses nothing of weights that are quantized already.",
    ),
]
KeepGrid = Annotated[
    bool,
    typer.Option(
        "--keep-grid",
        help="Move quantized weights as they are into a type that holds them exactly.",
        rich_help_panel=_MODEL,
    ),
]
Lora = Annotated[
    list[str],
    typer.Option(
        "--lora",
        metavar="ADAPTER[=SCALE]",
        help="Merge a PEFT adapter first: a folder or a Hub id. Several are merged in turn.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
AdapterOnly = Annotated[
    bool,
    typer.Option(
        "--adapter-only",
        help="SOURCE is a PEFT adapter: write a GGUF adapter, to be loaded beside its base.",
        rich_help_panel=_MODEL,
    ),
]
Base = Annotated[
    str | None,
    typer.Option(
        "--base",
        metavar="BASE",
        help="With --adapter-only: the base, if it is not where the adapter says.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
PlannedTypes = Annotated[
    list[str],
    typer.Option(
        "--type",
        "-t",
        metavar="TYPE",
        help="In detail: tensors, types and why. Without it, all types in a table.",
        show_default=False,
    ),
]
Fits = Annotated[
    str | None,
    typer.Option(
        "--fits",
        metavar="SIZE",
        help="Name the best type that fits into so much memory, with its context.",
        show_default=False,
    ),
]
Context = Annotated[
    int | None,
    typer.Option(
        "--context",
        min=1,
        metavar="TOKENS",
        help="The context that memory is needed for. 4096 by default, or the model's own if less.",
        show_default=False,
    ),
]
OutputFolder = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="DIR", help="Where the files go."),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Write nothing, print what `quantize plan` prints."),
]
Name = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Its name, in place of the source's own.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
Arch = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Treat it as this architecture, see `quantize architectures`.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
Pre = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="llama.cpp's name of its pre-tokenizer, if that is not recognized.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
Stream = Annotated[
    bool,
    typer.Option(
        "--stream",
        help="Read weights over HTTP as they are needed, and keep none of them on the disk.",
        rich_help_panel=_HUB,
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        help="A token, in place of HF_TOKEN and of the one that `hf auth login` left.",
        show_default=False,
        rich_help_panel=_HUB,
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        metavar="N",
        help="Workers. Each core gets one by default.",
        show_default=False,
        rich_help_panel=_RUN,
    ),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="What all workers together may take: 600MB, 4G, 2.5GiB.",
        show_default=False,
        rich_help_panel=_RUN,
    ),
]
Kernels = Annotated[
    KernelSet,
    typer.Option(
        metavar="|".join(KernelSet),
        help="Which implementation computes. The bytes are the same.",
        rich_help_panel=_RUN,
    ),
]
Fresh = Annotated[
    bool,
    typer.Option(
        "--fresh",
        help="Do not continue what an interrupted run left behind.",
        rich_help_panel=_RUN,
    ),
]
GGUFPath = Annotated[
    Path, typer.Argument(metavar="FILE.gguf", help="A GGUF file.", show_default=False)
]
ModelfilePath = Annotated[
    Path | None,
    typer.Argument(metavar="[MODELFILE]", help="Its Modelfile.", show_default=False),
]
ModelfilePlace = Annotated[
    Path,
    typer.Argument(
        metavar="DIR", help="A folder with a Modelfile, or a Modelfile.", show_default=False
    ),
]
OllamaAction = Annotated[
    Action, typer.Argument(metavar="create", help="What to do.", show_default=False)
]
OllamaModel = Annotated[
    str, typer.Argument(metavar="NAME", help="The model's name in Ollama.", show_default=False)
]
ModelfileOutput = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH",
        help="Where it goes, `Modelfile` beside FILE.gguf by default; - prints it.",
        show_default=False,
    ),
]
Ollama = Annotated[
    str | None,
    typer.Option(
        "--ollama",
        metavar="NAME",
        help="Make a model in Ollama of it, at the server of OLLAMA_HOST.",
        show_default=False,
        rich_help_panel=_OLLAMA,
    ),
]
System = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="SYSTEM of the Modelfile: the text that every chat begins with.",
        show_default=False,
        rich_help_panel=_OLLAMA,
    ),
]
NumCtx = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="num_ctx of the Modelfile: tokens of a conversation that are kept.",
        show_default=False,
        rich_help_panel=_OLLAMA,
    ),
]
Parameter = Annotated[
    list[str],
    typer.Option(
        "--parameter",
        metavar="NAME=VALUE",
        help="A PARAMETER of the Modelfile, in place of the model's own; a stop is added.",
        show_default=False,
        rich_help_panel=_OLLAMA,
    ),
]
License = Annotated[
    Path | None,
    typer.Option(
        "--license",
        metavar="FILE",
        help="LICENSE of the Modelfile, in place of the model's own.",
        show_default=False,
        rich_help_panel=_OLLAMA,
    ),
]
All = Annotated[
    bool,
    typer.Option("--all", help="A line for every tensor.", rich_help_panel=_PRINTED),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Nothing but errors.", rich_help_panel=_PRINTED),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="One JSON object a line, see docs/cli.md.", rich_help_panel=_PRINTED
    ),
]


def chosen(
    system: str | None, num_ctx: int | None, parameters: list[str], license_file: Path | None
) -> Chosen:
    """What these options say of the Modelfile. Raises UsageError, DiskError."""
    from quantize.ollama.modelfile import Chosen
    from quantize.ollama.parameters import parse_parameter

    wanted = tuple(map(parse_parameter, parameters))
    wanted += () if num_ctx is None else (("num_ctx", str(num_ctx)),)
    try:
        text = None if license_file is None else license_file.read_bytes()
    except OSError as error:
        raise DiskError(
            "unreadable",
            "cannot be read",
            where=str(license_file),
            reason=error.strerror or str(error),
        ) from error
    return Chosen(system, wanted, text)
