"""A Hugging Face checkpoint as a model to write: its family, its key-values, its tensors."""

from __future__ import annotations

import contextlib
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from quantize.architectures import ARCHITECTURES
from quantize.architectures.family import Family, VocabOptions
from quantize.architectures.hparams import Hparams, lift_text_part
from quantize.architectures.keys import key_values
from quantize.architectures.mapping import (
    Mapped,
    announced_predictors,
    map_tensors,
    other_modalities,
    tool_marks,
)
from quantize.architectures.needed import check_needed
from quantize.architectures.pooling import notes_on_pooling, with_pooling
from quantize.architectures.sentence_modules import notes_on_modules
from quantize.checkpoints.checkpoint import Checkpoint
from quantize.checkpoints.described import DescribedWeights
from quantize.errors import CheckpointError, QuantizeError, UnsupportedError
from quantize.formats.kv import KeyValues
from quantize.formats.model_card import ParameterCounts, general_kvs
from quantize.formats.needs import missing
from quantize.planning.layout import file_order
from quantize.planning.model import Model, OutputTensor
from quantize.planning.tied import check_head
from quantize.registry import names_like
from quantize.tensors import as_rows, block_of
from quantize.transforms import RoundToF16, Transform, chain
from quantize.units import listed
from quantize.vocab.build import VocabHints, build
from quantize.vocab.notes import notes_on_tokenizer


def model_of(
    checkpoint: Checkpoint,
    *,
    model_class: str | None = None,
    pre: str | None = None,
    name: str | None = None,
    keep_quantized: bool = False,
    pooling: str | None = None,
    strict_parity: bool = False,
) -> Model:
    """Everything about the output but the types of its tensors.

    `model_class` is a class name of config.json's `architectures`, in place of the checkpoint's
    own; `pre` overrides the pre-tokenizer, `name` the model's name, `pooling` what modules.json
    says. `keep_quantized`: weights whose stored values some ggml type holds exactly shall be of
    that type. `strict_parity`: the file is llama.cpp's converter's where that is wrong, too. Reads
    JSON files only, and of the weights the single numbers that a family writes as key-values.
    """
    with _making_sense("config.json", "a model of its architecture"):
        family = family_of(checkpoint, model_class)
        if strict_parity:
            family = family.without_ours()
        hp = hparams_of(checkpoint, family)
        mapped = map_tensors(family, hp)
        check_head(checkpoint, _declared(checkpoint), [tensor.name for tensor in mapped])
        generated = list(family.generated(hp))
        early = key_values(family.early, family.arch, hp)
        keys = with_pooling(key_values(family.keys, family.arch, hp), family.arch, pooling)
        check_needed(family.arch, (*family.early, *family.keys), (*early, *keys))
        notes = _notes(family, hp, mapped)
        notes += notes_on_pooling(keys, family.arch, [tensor.name for tensor in mapped])
    outputs = [_output(checkpoint, tensor, keep_quantized=keep_quantized) for tensor in mapped]
    outputs += [
        OutputTensor(made.name, made.values.shape, values=made.values.astype("<f4").tobytes())
        for made in generated
    ]
    outputs.sort(key=lambda output: file_order(output.name))
    _check_duplicates(outputs)
    with _making_sense("generation_config.json", "a model and its sampling"):
        general = general_kvs(
            checkpoint.read("README.md"),
            checkpoint.config,
            checkpoint.read_json("generation_config.json"),
            family.arch,
            checkpoint.name,
            _parameter_counts(outputs),
            name,
        )
    with _making_sense("tokenizer.json", "a tokenizer that llama.cpp has"):
        hints = _hints(family, hp, pre, strict_parity=strict_parity)
        vocabulary = build(checkpoint, hp.get("vocab_size"), hints)
        if not strict_parity:
            notes += notes_on_tokenizer(checkpoint, vocabulary, hp.get("vocab_size"), hints)
    kvs = (
        general[0],
        *early,
        *general[1:],
        *keys,
        *vocabulary,
    )
    merged = KeyValues.merged(kvs)
    lost = missing(merged, {output.name: output.shape for output in outputs})
    refused = [one.name for one in lost if one.effect == "refused"]
    if refused:
        notes += (f"llama.cpp does not load a {family.arch} without {listed(refused)}",)
    return Model(name or checkpoint.name, family.arch, merged, outputs, notes=notes)


def _notes(family: Family, hp: Hparams, mapped: Sequence[Mapped]) -> tuple[str, ...]:
    """What a person should know of the weights that were found."""
    notes = [
        f"{mark} is taken off the names of the tensors"
        for mark in sorted(set().union(*map(tool_marks, hp.shapes)))
    ]
    notes += notes_on_modules(hp, [name for tensor in mapped for name in tensor.sources])
    if ours := [tensor.name for tensor in mapped if family.is_ours(tensor.name)]:
        notes.append(
            f"llama.cpp's converter would leave out {', '.join(ours)} (docs/deviations.md)"
        )
    if others := other_modalities(family, hp, mapped):
        notes.append(
            f"the file takes text alone: what sees, hears or speaks is left out ({len(others)} "
            f"tensors, such as {others[0]}); llama.cpp's convert_hf_to_gguf.py --mmproj makes a "
            "file of it for many models"
        )
    written = {block_of(tensor.name) for tensor in mapped}
    if absent := sorted(announced_predictors(family, hp) - written):
        blocks = ", ".join(map(str, absent))
        notes.append(
            f"the weights for multi-token prediction (block {blocks}), which config.json "
            "announces, are not in the checkpoint; the file is written without them"
        )
    return tuple(notes)


# What a rule or a row may raise on numbers that no model has, such as zero heads.
_STUMBLES = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@contextlib.contextmanager
def _making_sense(file: str, what: str) -> Iterator[None]:
    """A file that makes no sense is a bad checkpoint, whatever it made go wrong."""
    try:
        yield
    except _STUMBLES as error:
        raise CheckpointError(
            "bad-config",
            f"{file} and config.json do not describe {what}"
            if file != "config.json"
            else f"{file} does not describe {what}",
            where=file,
            reason=f"{type(error).__name__}: {error}",
            hint="compare it with the one on the model's page, or download it again",
        ) from error


def family_of(checkpoint: DescribedWeights, model_class: str | None) -> Family:
    """The family of a checkpoint. Raises UnsupportedError for one that is not known."""
    names = [model_class] if model_class else _declared(checkpoint)
    for name in names:
        if name in ARCHITECTURES:
            return ARCHITECTURES[name].for_config(lift_text_part(checkpoint.config))
    wanted = names[0] if names else str(lift_text_part(checkpoint.config).get("model_type", ""))
    fits = [] if model_class else _fitting(checkpoint)
    reason = names_like(wanted, ARCHITECTURES)
    if fits:
        reason = f"its tensors and hparams fit {', '.join(fits)}"
    likely = fits or ARCHITECTURES.nearest(wanted) or ["NAME"]
    known = f"{wanted!r} is not an architecture that can be converted"
    raise UnsupportedError(
        "unknown-architecture",
        known if names else "the checkpoint names no architecture",
        where="--arch" if model_class else "config.json: architectures",
        reason=reason,
        hint=f"--arch {likely[0]} if the model is one of that kind; "
        "`quantize architectures` lists them all",
    )


def hparams_of(checkpoint: DescribedWeights, family: Family) -> Hparams:
    """config.json with the class defaults of `family` laid under it."""
    config = lift_text_part(checkpoint.config)
    shapes = {name: weight.shape for name, weight in checkpoint.weights.items()}
    values = partial(_values, checkpoint)
    names = partial(_names, checkpoint)
    return Hparams(family.filled(config), shapes, checkpoint.read_json, values, names)


def _names(checkpoint: DescribedWeights) -> str:
    card = checkpoint.read("README.md") or b""
    return f"{checkpoint.name}\n{card.decode('utf-8', 'replace')}".lower()


def _values(checkpoint: DescribedWeights, name: str) -> NDArray[np.float32]:
    return checkpoint.decode_rows(name, 0, as_rows(checkpoint.weights[name].shape)[0])


def _declared(checkpoint: DescribedWeights) -> list[str]:
    """Names from config.json. Where the text part of a multimodal model has its own, they count."""
    lifted = lift_text_part(checkpoint.config)
    declared = lifted.get("architectures") or checkpoint.config.get("architectures")
    return (
        [name for name in declared if isinstance(name, str)] if isinstance(declared, list) else []
    )


def _fitting(checkpoint: DescribedWeights) -> list[str]:
    """One architecture name of each family whose rules take every tensor of the checkpoint.

    Those that are called like config.json's model_type come first.
    """
    model_type = str(lift_text_part(checkpoint.config).get("model_type"))
    found: dict[str, str] = {}
    for name in sorted(ARCHITECTURES, key=lambda name: _unlikeness(name, model_type)):
        family = ARCHITECTURES[name].for_config(lift_text_part(checkpoint.config))
        if family.arch in found:
            continue
        try:
            hp = hparams_of(checkpoint, family)
            map_tensors(family, hp)
            key_values(family.keys, family.arch, hp)
        except (QuantizeError, *_STUMBLES):
            # A family that was not made for these hparams may stumble over them in any way.
            continue
        found[family.arch] = name
    return list(found.values())


def _unlikeness(name: str, model_type: str) -> int:
    """0: the class of a model_type (Qwen2ForCausalLM of qwen2), 1: it begins alike, 2: neither."""
    wanted = re.sub(r"[^a-z0-9]", "", model_type.casefold())
    begins, rest = name.casefold().startswith(wanted), name.casefold().removeprefix(wanted)
    return 0 if begins and rest.startswith(("for", "model")) else 1 if begins else 2


def _hints(family: Family, hp: Hparams, pre: str | None, *, strict_parity: bool) -> VocabHints:
    options = VocabOptions(arch_name=family.arch)
    options.update(family.vocab_options)
    token_types = hp.get("type_vocab_size")
    return VocabHints(
        loaders=family.vocab,
        pre=pre,
        token_types=token_types,
        strict_parity=strict_parity,
        **options,
    )


def _in_source_precision(checkpoint: Checkpoint, tensor: Mapped) -> Transform:
    """llama.cpp's converter computes in float32, but in float16 where that is stored."""
    dtypes = {checkpoint.weights[name].dtype for name in tensor.sources}
    if dtypes == {"F16"} and not (
        tensor.transform.moves_rows_only or tensor.transform.needs_whole_tensor
    ):
        return chain(tensor.transform, RoundToF16())
    return tensor.transform


def _output(checkpoint: Checkpoint, tensor: Mapped, *, keep_quantized: bool) -> OutputTensor:
    weights = [checkpoint.weights[name] for name in tensor.sources]
    grids = {
        weight.exact_type if keep_quantized or weight.always_kept else None for weight in weights
    }
    grid = grids.pop() if len(grids) == 1 and tensor.transform.moves_rows_only else None
    return OutputTensor(
        tensor.name,
        tensor.shape,
        tensor.sources,
        _in_source_precision(checkpoint, tensor),
        exact_type=grid,
        stored=grid or "F32",
        kept=grid is not None,
        fixed_nbytes=max(weight.fixed_nbytes for weight in weights),
    )


def _check_duplicates(outputs: Sequence[OutputTensor]) -> None:
    for before, after in itertools.pairwise(outputs):
        if before.name == after.name:
            raise CheckpointError(
                "doubly-mapped-tensors",
                f"{after.name} would be written twice",
                where=", ".join((*before.sources, *after.sources)),
            )


def _parameter_counts(outputs: Sequence[OutputTensor]) -> ParameterCounts:
    """What the size label is made from, counted as llama.cpp's GGUF writer does."""
    total = shared = per_expert = expert_sum = stacks = 0
    for output in outputs:
        size = math.prod(output.shape)
        total += size
        if "_exps." in output.name and len(output.shape) >= 3:
            n_expert = output.shape[-2 if ".bias" in output.name else -3]
            per_expert += size // n_expert
            expert_sum += n_expert
            stacks += 1
        else:
            shared += size
    return ParameterCounts(total, shared, per_expert, expert_sum // stacks if stacks else 0)
