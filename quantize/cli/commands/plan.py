"""The command `plan`."""

from __future__ import annotations

from quantize.cli import options as opt
from quantize.cli.output import session
from quantize.units import parse_size


def plan(  # noqa: PLR0913 (one for each option)
    source: opt.Source,
    *,
    types: opt.PlannedTypes = [],  # noqa: B006 (Typer copies it)
    fits: opt.Fits = None,
    context: opt.Context = None,
    recipes: opt.Recipes = [],  # noqa: B006 (as above)
    target_size: opt.TargetSize = None,
    bits: opt.Bits = None,
    tensor_type: opt.TensorTypes = [],  # noqa: B006 (as above)
    tensor_type_file: opt.TensorTypeFiles = [],  # noqa: B006 (as above)
    output_tensor_type: opt.OutputTensorType = None,
    token_embedding_type: opt.TokenEmbeddingType = None,
    leave_output_tensor: opt.LeaveOutputTensor = False,
    pure: opt.Pure = False,
    allow_requantize: opt.AllowRequantize = False,
    imatrix: opt.Imatrix = None,
    exclude_weights: opt.ExcludeWeights = [],  # noqa: B006 (as above)
    include_weights: opt.IncludeWeights = [],  # noqa: B006 (as above)
    override_kv: opt.OverrideKv = [],  # noqa: B006 (as above)
    prune_layers: opt.PruneLayers = None,
    split_max_size: opt.SplitMaxSize = None,
    keep_split: opt.KeepSplit = False,
    keep_quantized: opt.KeepGrid = False,
    lora: opt.Lora = [],  # noqa: B006 (as above)
    adapter_only: opt.AdapterOnly = False,
    base: opt.Base = None,
    name: opt.Name = None,
    arch: opt.Arch = None,
    pre: opt.Pre = None,
    token: opt.Token = None,
    jobs: opt.Jobs = None,
    max_memory: opt.MaxMemory = None,
    every: opt.All = False,
    json: opt.Json = False,
) -> None:
    """Say what `convert` would write: all types beside each other, or those of --type in detail.

    Headers and small files are read, no weights. No more than that is fetched from the Hub.
    """
    with session(json=json) as out:
        from quantize import api
        from quantize.cli.views.overview import overview_events, overview_view
        from quantize.cli.views.plan import plan_events, plan_view

        options = opt.request(
            types=types,
            recipes=recipes,
            target_size=target_size,
            bits=bits,
            steering=opt.steered(
                tensor_types=tensor_type,
                tensor_type_files=tensor_type_file,
                output_tensor_type=output_tensor_type,
                token_embedding_type=token_embedding_type,
                leave_output_tensor=leave_output_tensor,
                pure=pure,
                allow_requantize=allow_requantize,
            ),
            edits=opt.edited(override_kv, prune_layers, exclude_weights, include_weights),
            split=opt.split(split_max_size, keep=keep_split),
            imatrix=imatrix,
            keep_quantized=keep_quantized,
            lora=lora,
            adapter_only=adapter_only,
            base=base,
            name=name,
            arch=arch,
            pre=pre,
            token=token,
            jobs=jobs,
            max_memory=max_memory,
        )
        if not (types or recipes or options.budget or every or adapter_only):
            limit = None if fits is None else parse_size(fits)
            found = api.overview(source, options, context=context, limit=limit)
            out.show(overview_view(*found), overview_events(*found))
            return
        with out.progress() as progress:
            planned = api.plan(source, options, progress)
        out.show(plan_view(planned, every=every), plan_events(planned))
