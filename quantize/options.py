"""What a person may choose for a conversion."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from quantize.execution import Settings
from quantize.ollama.modelfile import NOTHING_CHOSEN, Chosen
from quantize.planning.automatic import AUTOMATIC


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`arch`, `pre` and `name` override what the source says.

    The type "auto" is chosen by the source. `keep_grid`: weights that are quantized already and
    that a ggml type holds exactly become that type, whatever the others become. `lora`: adapters to
    merge, FOLDER or Hub id, each with "=SCALE" behind it if it is not to be taken as it is.
    `stream`: read the weights of a repository over HTTP and keep none of them.
    `adapter_only`: the source is an adapter, to become a GGUF adapter; `base` is where its base's
    config.json is, if not where the adapter says. `chosen` is for the Modelfile.
    """

    types: tuple[str, ...] = (AUTOMATIC,)
    keep_grid: bool = False
    lora: tuple[str, ...] = ()
    adapter_only: bool = False
    base: str | None = None
    output: Path = Path()
    arch: str | None = None
    pre: str | None = None
    name: str | None = None
    token: str | None = field(default=None, repr=False)
    stream: bool = False
    jobs: int | None = None
    max_memory: int | None = None
    kernels: str = "auto"
    fresh: bool = False
    chosen: Chosen = NOTHING_CHOSEN


def settings_of(options: Options) -> Settings:
    return Settings(
        jobs=options.jobs,
        max_memory=options.max_memory,
        kernels=options.kernels,
        fresh=options.fresh,
    )
