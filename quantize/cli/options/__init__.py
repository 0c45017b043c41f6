"""Arguments and flags that belong to one command or to its printing.

Options of what is done are in quantize/options.
"""

from __future__ import annotations

from quantize.cli.options.comparing import (
    FailAbove,
    Html,
    MeasuredSample,
    Other,
    Reference,
)
from quantize.cli.options.converting import (
    Context,
    DryRun,
    Fits,
    Ollama,
    Push,
)
from quantize.cli.options.evaluating import (
    BaseFile,
    CalibrationContext,
    ChunkContext,
    Chunks,
    ImatrixOutput,
    Text,
    Texts,
    Threads,
)
from quantize.cli.options.ollama import (
    Action,
    ModelfileOutput,
    OllamaAction,
    OllamaModel,
)
from quantize.cli.options.printed import (
    All,
    Json,
    Quiet,
)
from quantize.cli.options.sources import (
    GGUF,
    AnySource,
    Files,
    FromSource,
    GGUFPath,
    ImatrixFile,
    ImatrixModel,
    ModelfilePath,
    ModelfilePlace,
    Repo,
    Sample,
    Source,
)

__all__ = [
    "GGUF",
    "Action",
    "All",
    "AnySource",
    "BaseFile",
    "CalibrationContext",
    "ChunkContext",
    "Chunks",
    "Context",
    "DryRun",
    "FailAbove",
    "Files",
    "Fits",
    "FromSource",
    "GGUFPath",
    "Html",
    "ImatrixFile",
    "ImatrixModel",
    "ImatrixOutput",
    "Json",
    "MeasuredSample",
    "ModelfileOutput",
    "ModelfilePath",
    "ModelfilePlace",
    "Ollama",
    "OllamaAction",
    "OllamaModel",
    "Other",
    "Push",
    "Quiet",
    "Reference",
    "Repo",
    "Sample",
    "Source",
    "Text",
    "Texts",
    "Threads",
]
