"""What the options of `convert` and `plan` ask for, in the api's words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from quantize.cli.options.files import content
from quantize.errors import UsageError
from quantize.units import parse_size

if TYPE_CHECKING:
    from quantize.planning.edits import Edits
    from quantize.planning.parts import Split
    from quantize.recipes import Steering
    from quantize.verbs.common.options import Options


def request(  # noqa: PLR0913 (one for each option)
    *,
    types: list[str],
    recipes: list[Path],
    steering: Steering,
    target_size: str | None,
    bits: float | None,
    edits: Edits,
    split: Split,
    imatrix: Path | None,
    keep_quantized: bool,
    lora: list[str],
    adapter_only: bool,
    base: str | None,
    name: str | None,
    arch: str | None,
    pre: str | None,
    token: str | None,
    jobs: int | None,
    max_memory: str | None,
) -> Options:
    """Raises UsageError, UnsupportedError and DiskError for what makes no sense."""
    from quantize.recipes.budget import budget_of
    from quantize.recipes.recipe_file import parse_recipe
    from quantize.verbs.common.options import Options

    read = [parse_recipe(content(file), str(file)) for file in recipes]
    return Options(
        types=(*types, *read) or ("auto",),
        steering=steering,
        budget=budget_of(target_size, bits),
        edits=edits,
        split=split,
        imatrix=imatrix,
        keep_quantized=keep_quantized,
        lora=tuple(lora),
        adapter_only=adapter_only,
        base=base,
        name=name,
        arch=arch,
        pre=pre,
        token=token,
        jobs=jobs,
        max_memory=None if max_memory is None else parse_size(max_memory),
    )


def steered(
    *,
    tensor_types: list[str],
    tensor_type_files: list[Path],
    output_tensor_type: str | None,
    token_embedding_type: str | None,
    leave_output_tensor: bool,
    pure: bool,
    allow_requantize: bool,
) -> Steering:
    """The same of the options that steer single tensors."""
    from quantize.recipes.steering import Steering, parse_rules, steering

    listed = [rule for file in tensor_type_files for rule in parse_rules(_text(file), str(file))]
    return steering(
        tensor_types,
        output_type=output_tensor_type,
        embedding_type=token_embedding_type,
        leave_output=leave_output_tensor,
        pure=pure,
        allow_requantize=allow_requantize,
    ).over(Steering(tuple(listed)))


def _text(file: Path) -> str:
    try:
        return content(file).decode()
    except UnicodeDecodeError as error:
        raise UsageError(
            "bad-tensor-type",
            "the file is no text",
            where=str(file),
            reason=str(error),
            hint="REGEX=TYPE, with spaces or line ends between",
        ) from error
