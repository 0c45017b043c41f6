"""A family: what one GGUF architecture takes from a checkpoint, as data.

Source names are written without the wrapper that a model class puts around them ("model.",
"transformer.", "language_model.model."): `prefixes` lists the wrappers, and the first that fits a
name is removed.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from quantize.architectures.config_classes import class_fields
from quantize.architectures.hparams import Hparams
from quantize.architectures.keys import Key
from quantize.formats.kv import KV
from quantize.transforms import IDENTITY, Stack, Transform

PREFIXES = (
    "model.language_model.model.", "model.language_model.", "language_model.model.",
    "language_model.", "model.text_model.", "text_model.", "model.model.", "model.", "transformer.",
)  # fmt: skip

# What tools put in front of every name that they save: torch.compile, data parallel training, PEFT.
TOOL_PREFIXES = ("_orig_mod.", "module.", "base_model.model.")
# And in the middle of names, where single blocks were compiled, sharded or checkpointed.
TOOL_WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")

# What no GGUF of any family holds (globs on names without their wrapper): buffers, heads, and the
# modules of sentence-transformers that llama.cpp has no place for.
UNUSED = (
    "*.rotary_emb.inv_freq", "*.attention.masked_bias", "*.attention.bias",
    "[0-9]_Dense.linear.*",
)  # fmt: skip

# What sees, hears and speaks in a multimodal checkpoint, where a family takes the text part.
OTHER_MODALITIES = (
    "visual.*", "*vision_*", "*vision.*", "*audio_*", "*audio.*", "*projector.*", "connector.*",
    "talker.*", "token2wav.*",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorRule:
    """One GGUF tensor name and the source tensors it is made of.

    `source` is a template or several: "{bid}" stands for each block of `blocks` (None: all),
    "{eid}" for each expert in turn, whose tensors all go into the one target. `optional` sources
    may be missing; then there is no such target.
    """

    source: str | tuple[str, ...]
    target: str
    transform: Transform = IDENTITY
    optional: bool = False
    blocks: Sequence[int] | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,) if isinstance(self.source, str) else self.source


@dataclass(frozen=True, slots=True)
class Generated:
    """A tensor that the checkpoint does not hold: its float32 values, from the hparams."""

    name: str
    values: NDArray[np.float32]


# An explicit null means what the class works out; for others (sliding_window) it means "none".
_NULL_IS_DEFAULT = ("num_key_value_heads", "head_dim")


def _no_tensors(hp: Hparams) -> Iterable[Generated]:
    return ()


def _no_defaults(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return {}


def _no_variant(config: Mapping[str, Any]) -> None:
    return None


class VocabOptions(TypedDict, total=False):
    """Fixed facts about a family's tokenizers; quantize.vocab.VocabHints says what they mean."""

    arch_name: str
    before: tuple[KV, ...]
    after: tuple[KV, ...]
    by_size: Mapping[int, tuple[KV, ...]]
    special: Mapping[str, str | int]
    space_prefix: Literal["first", "last"] | None
    pad_multiple: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Everything that is particular to one architecture.

    `arch`: llama.cpp's name. `keys`: hparams to key-values, `early` ones before general.*
    (llama.cpp writes them while it makes tensors). `rules`: source tensors to GGUF tensors.
    `unused`: globs of source names that are known and left out; a function where they depend on the
    hparams. `defaults`: what the model's config class fills in when config.json is silent, where
    config_classes.json does not know the class, or the class works it out. `vocab`:
    the tokenizer models to try, in order, and `vocab_options` further fixed facts about the
    tokenizer (see vocab.VocabHints). `ours_only`: globs of GGUF tensors, and of keys without the
    architecture, that llama.cpp reads and its converter leaves out, so that a part of the model is
    lost (docs/deviations.md). `variant` gives another family for some configs, where llama.cpp has
    several architectures for one name of config.json.
    """

    arch: str
    keys: tuple[Key, ...]
    rules: Callable[[Hparams], Iterable[TensorRule]]
    early: tuple[Key, ...] = ()
    unused: tuple[str, ...] | Callable[[Hparams], tuple[str, ...]] = ()
    prefixes: tuple[str, ...] = PREFIXES
    defaults: Callable[[Mapping[str, Any]], Mapping[str, Any]] = _no_defaults
    generated: Callable[[Hparams], Iterable[Generated]] = _no_tensors
    vocab: tuple[str, ...] = ("bpe",)
    vocab_options: VocabOptions = field(default_factory=VocabOptions)
    ours_only: tuple[str, ...] = ()
    variant: Callable[[Mapping[str, Any]], Family | None] = _no_variant

    def for_config(self, config: Mapping[str, Any]) -> Family:
        """The family of this config.json, after `lift_text_part`."""
        return self.variant({**class_fields(config), **config}) or self

    def without_ours(self) -> Family:
        """The family as llama.cpp's converter has it: without what is in `ours_only`."""
        keys = tuple(row for row in self.keys if not self.is_ours(row.name))
        return replace(self, keys=keys, rules=self._rules_of_llama_cpp)

    def _rules_of_llama_cpp(self, hp: Hparams) -> Iterable[TensorRule]:
        return [rule for rule in self.rules(hp) if not self.is_ours(rule.target)]

    def is_ours(self, name: str) -> bool:
        """Whether a GGUF tensor, or a key without the architecture, is one of `ours_only`."""
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.ours_only)

    def filled(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """config.json, after `lift_text_part`, with what its class has where it says nothing."""
        said = {
            key: value
            for key, value in config.items()
            if value is not None or key not in _NULL_IS_DEFAULT
        }
        known = {**class_fields(config), **said}
        return {**self.defaults(known), **known}


def tensor(
    source: str, target: str, transform: Transform = IDENTITY, *, optional: bool = False
) -> tuple[TensorRule, ...]:
    """A weight that is required (unless `optional`) and its bias where the checkpoint has one."""
    return (
        TensorRule(f"{source}.weight", f"{target}.weight", transform, optional),
        TensorRule(f"{source}.bias", f"{target}.bias", transform, optional=True),
    )


def experts(source: str, target: str, blocks: Sequence[int] | None = None) -> TensorRule:
    """The weight of every expert, "{eid}" in `source`, stacked into one tensor."""
    return TensorRule(f"{source}.weight", f"{target}.weight", Stack(), blocks=blocks)


def biased(source: str, target: str, transform: Transform = IDENTITY) -> tuple[TensorRule, ...]:
    """A weight and its bias, both required; `transform` is the weight's."""
    return (
        TensorRule(f"{source}.weight", f"{target}.weight", transform),
        TensorRule(f"{source}.bias", f"{target}.bias"),
    )


def on_blocks(blocks: Sequence[int], rules: Iterable[TensorRule]) -> tuple[TensorRule, ...]:
    """The rules, for these blocks only."""
    return tuple(replace(rule, blocks=blocks) for rule in rules)


def class_defaults(**values: Any) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """What a config class fills in: `values`, and as many key-value heads as heads.

    A value may be a function of the config; None fills in nothing.
    """
    values = {"num_key_value_heads": lambda config: config.get("num_attention_heads"), **values}

    def fill_in(config: Mapping[str, Any]) -> Mapping[str, Any]:
        filled = {key: v(config) if callable(v) else v for key, v in values.items()}
        return {key: value for key, value in filled.items() if value is not None}

    return fill_in
