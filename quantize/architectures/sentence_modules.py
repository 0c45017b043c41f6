"""Modules that sentence-transformers puts behind a model: modules.json lists them in order.

llama.cpp pools. For what follows it has a place in EmbeddingGemma alone: two projections without
bias, dense_2 and dense_3. Source: llama.cpp, llm_graph_context::build_dense_out, and its converter
with --sentence-transformers-dense-modules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from quantize.architectures.family import TensorRule
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import u32
from quantize.errors import CheckpointError

_FILE = "modules.json"

# Modules that llama.cpp itself does the work of.
_IN_LLAMA_CPP = ("Transformer", "Pooling", "Normalize")
_NO_ACTIVATION = "Identity"
# llama.cpp counts them from 2, as the folders of EmbeddingGemma do.
_FIRST, _MOST = 2, 2


@dataclass(frozen=True, slots=True)
class Module:
    """One entry of modules.json: its folder, the last part of its class, its own config.json."""

    folder: str
    kind: str
    config: Mapping[str, Any]


def modules_of(hp: Hparams) -> list[Module]:
    """All modules, in order. Raises CheckpointError for a file that lists none."""
    listed = hp.read_json(_FILE)
    if listed is None:
        return []
    if not isinstance(listed, list) or not all(map(_is_module, listed)):
        raise CheckpointError(
            "bad-modules",
            "it is not a list of modules",
            where=_FILE,
            reason="each entry has to be an object with the texts `type` and `path`",
            hint="download the file again; without it the model is taken for one without modules",
        )
    return [_module(hp, entry["path"], entry["type"]) for entry in listed]


def _is_module(entry: Any) -> bool:
    return isinstance(entry, Mapping) and all(
        isinstance(entry.get(key), str) for key in ("type", "path")
    )


def _module(hp: Hparams, folder: str, kind: str) -> Module:
    config = hp.read_json(f"{folder}/config.json") if folder else None
    return Module(folder, kind.rpartition(".")[2], config if isinstance(config, Mapping) else {})


def _projections(hp: Hparams) -> list[Module]:
    """The Dense modules, if EmbeddingGemma in llama.cpp does what they do; else none.

    There are two at most, each multiplies by its weight and nothing else, the first takes what the
    model gives, and the last gives as much.
    """
    dense = [module for module in modules_of(hp) if module.kind == "Dense"]
    sizes = [_size(hp, module) for module in dense]
    first, last = [hp.n_embd, *(out for _, out in sizes)], [*(size for size, _ in sizes), hp.n_embd]
    fits = len(dense) <= _MOST and all(_multiplies_only(hp, module) for module in dense)
    return dense if fits and first == last else []


def _size(hp: Hparams, module: Module) -> tuple[int, int]:
    """What it takes and gives; (0, 0) without a weight."""
    shape = hp.shapes.get(f"{module.folder}.linear.weight", ())
    return (shape[1], shape[0]) if len(shape) == len(("rows", "cols")) else (0, 0)


def _multiplies_only(hp: Hparams, module: Module) -> bool:
    activation = str(module.config.get("activation_function", ""))
    has_bias = f"{module.folder}.linear.bias" in hp.shapes
    return activation.endswith(_NO_ACTIVATION) and not has_bias


def embedding_gemma_rules(hp: Hparams) -> Iterator[TensorRule]:
    for number, module in enumerate(_projections(hp), _FIRST):
        yield TensorRule(f"{module.folder}.linear.weight", f"dense_{number}.weight")


def _feature(number: int, end: int) -> Callable[[Hparams], int | None]:
    def value(hp: Hparams) -> int | None:
        sizes = dict(enumerate((_size(hp, module) for module in _projections(hp)), _FIRST))
        return sizes[number][end] if number in sizes else None

    return value


EMBEDDING_GEMMA_KEYS = tuple(
    u32(f"dense_{number}_feat_{name}", _feature(number, end))
    for number in range(_FIRST, _FIRST + _MOST)
    for end, name in enumerate(("in", "out"))
)


def notes_on_modules(hp: Hparams, written: Iterable[str]) -> list[str]:
    """A line for each module that the file does not hold; `written`: the source tensors it does."""
    folders = {name.partition(".")[0] for name in written}
    return [
        f"{module.folder}: a module {module.kind} follows the model, which llama.cpp has no place "
        "for; the vectors are those before it"
        for module in modules_of(hp)
        if module.kind not in _IN_LLAMA_CPP and module.folder not in folders
    ]
