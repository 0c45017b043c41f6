"""What a person says about single tensors, over what the mix of the file type says.

The options and their meaning are llama-quantize's (tools/quantize/quantize.cpp, parse_tensor_type
and parse_ggml_type; what they decide: src/llama-quant.cpp, llama_tensor_get_type).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from quantize.errors import UsageError
from quantize.options.types import SteeringOptions
from quantize.recipes.layers import Layers
from quantize.recipes.patterns import compiled
from quantize.registry import names_like
from quantize.storage.small_files import content
from quantize.tensors import BLOCK, GGML_TYPES

# Types of numbers that are not weights, in which nothing can be quantized.
_NO_WEIGHTS = {"I8", "I16", "I32", "I64", "F64"}
TENSOR_TYPES = tuple(name for name in GGML_TYPES if name not in _NO_WEIGHTS)


@dataclass(frozen=True, slots=True)
class TypeRule:
    """Tensors that get `type`: those that all of the conditions are true of.

    `tensors` are whole names. `said` is what `plan` gives as the reason. An `optional` rule may
    find nothing.
    """

    type: str
    said: str
    pattern: str | None = None
    categories: tuple[str, ...] = ()
    layers: Layers | None = None
    tensors: tuple[str, ...] = ()
    optional: bool = False

    def names(self, name: str, category: str, n_layers: int) -> bool:
        """Whether the tensor called `name` is one of them."""
        if self.tensors and name not in self.tensors:
            return False
        if self.pattern is not None and not compiled(self.pattern).search(name):
            return False
        if self.categories and category not in self.categories:
            return False
        block = BLOCK.match(name)
        return self.layers is None or (
            block is not None and self.layers.hold(int(block[1]), n_layers)
        )


@dataclass(frozen=True, slots=True)
class Steering:
    """The first of `rules` that names a tensor decides, in file types that are quantized.

    `output_type` is that of output.weight, `embedding_type` that of the token embeddings.
    `leave_output`: output.weight stays as it is in the source. `pure`: no mix. `allow_requantize`:
    what is quantized in the source may become another type.
    """

    rules: tuple[TypeRule, ...] = ()
    output_type: str | None = None
    embedding_type: str | None = None
    leave_output: bool = False
    pure: bool = False
    allow_requantize: bool = False

    def over(self, other: Steering) -> Steering:
        """Merge the two; this one wins. Optional rules go last."""
        return Steering(
            rules=tuple(sorted(self.rules + other.rules, key=lambda rule: rule.optional)),
            output_type=self.output_type or other.output_type,
            embedding_type=self.embedding_type or other.embedding_type,
            leave_output=self.leave_output or other.leave_output,
            pure=self.pure or other.pure,
            allow_requantize=self.allow_requantize or other.allow_requantize,
        )


UNSTEERED = Steering()


def tensor_type(name: str, where: str) -> str:
    """The ggml type called `name`, in any case. Raises UsageError that says `where`."""
    wanted = name.strip().upper()
    if wanted in TENSOR_TYPES:
        return wanted
    raise UsageError(
        "unknown-tensor-type",
        f"{name!r} is not a type of a tensor",
        where=where,
        reason=names_like(wanted, TENSOR_TYPES),
        hint=f"one of {', '.join(TENSOR_TYPES)}",
    )


def parse_rule(text: str, where: str = "--tensor-type") -> TypeRule:
    """REGEX=TYPE. The pattern is what comes before the first =. Raises UsageError."""
    pattern, equals, type_name = text.partition("=")
    if not (pattern and equals and type_name):
        raise UsageError(
            "bad-tensor-type",
            f"{text!r} is not REGEX=TYPE",
            where=where,
            hint="such as attn_v=Q8_0: all tensors in whose name attn_v is found",
        )
    compiled(pattern)
    return TypeRule(tensor_type(type_name, where), f"{where} {text}", pattern)


def parse_rules(content: str, where: str) -> tuple[TypeRule, ...]:
    """The rules of a file, REGEX=TYPE with spaces or line ends between. Raises UsageError."""
    return tuple(parse_rule(text, where) for text in content.split())


def steering(
    tensor_types: Iterable[str] = (),
    *,
    output_type: str | None = None,
    embedding_type: str | None = None,
    leave_output: bool = False,
    pure: bool = False,
    allow_requantize: bool = False,
) -> Steering:
    """A Steering from the values of its options as a person writes them. Raises UsageError."""
    return Steering(
        tuple(map(parse_rule, tensor_types)),
        None if output_type is None else tensor_type(output_type, "--output-tensor-type"),
        None if embedding_type is None else tensor_type(embedding_type, "--token-embedding-type"),
        leave_output,
        pure,
        allow_requantize,
    )


def steering_of(options: SteeringOptions) -> Steering:
    """What these options say. Raises UsageError, and DiskError for a file of rules."""
    own = steering(
        options.tensor_type,
        output_type=options.output_tensor_type,
        embedding_type=options.token_embedding_type,
        leave_output=options.leave_output_tensor,
        pure=options.pure,
        allow_requantize=options.allow_requantize,
    )
    files = map(Path, options.tensor_type_file)
    listed = [rule for file in files for rule in parse_rules(_text(file), str(file))]
    return own.over(Steering(tuple(listed)))


def _text(file: Path) -> str:
    try:
        return content(file).decode()
    except UnicodeDecodeError as error:
        raise UsageError(
            "bad-tensor-type",
            "the file is not text",
            where=str(file),
            reason=str(error),
            hint="REGEX=TYPE, with spaces or line ends between",
        ) from error
