"""All options of a conversion, in groups: a file for each room that they belong to.

A new option is one field in one of these files. It is then a flag of `convert` and `plan`, a row of
docs/cli.md, and an argument of `quantize.Options`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from quantize.options.declare import option
from quantize.options.edits import EditOptions
from quantize.options.files import OutputOptions, SplitOptions
from quantize.options.hub import HubOptions, TokenOptions
from quantize.options.imatrix import ImatrixOptions
from quantize.options.model import ModelOptions
from quantize.options.modelfile import ModelfileOptions
from quantize.options.refine import RefineOptions
from quantize.options.run import KernelOptions, RunOptions, WorkerOptions
from quantize.options.types import SteeringOptions, TypeOptions


@dataclass(frozen=True, kw_only=True)
class PlanOptions(
    RunOptions,
    HubOptions,
    ModelOptions,
    SplitOptions,
    EditOptions,
    RefineOptions,
    ImatrixOptions,
    SteeringOptions,
    TypeOptions,
):
    """What decides the files of a conversion. Bases come in the reverse order of `--help`."""


@dataclass(frozen=True, kw_only=True)
class Options(ModelfileOptions, PlanOptions, OutputOptions, TypeOptions):
    """All options of a conversion."""


@dataclass(frozen=True, kw_only=True)
class CompareOptions(WorkerOptions, TokenOptions):
    """How two models are measured against each other."""


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(KernelOptions, TokenOptions):
    """What a file was made with, if its manifest does not say it, and how it is made again."""

    lora: Sequence[str] = option(
        (),
        "--lora",
        kind=list[str],
        metavar="ADAPTER[=SCALE]",
        help="What was merged into it. By default what the manifest names, if that is on the Hub.",
    )
    base: str | None = option(
        None,
        "--base",
        metavar="BASE",
        help="Of a GGUF adapter: the base, if it is not where the adapter says.",
    )
    imatrix: str | PathLike[str] | None = option(
        None,
        "--imatrix",
        kind=Path,
        metavar="FILE",
        help="With --source: the importance matrix that it was made with.",
    )
