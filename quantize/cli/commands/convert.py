"""The command `convert`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from quantize.cli import options as opt
from quantize.cli.output import Printer, session
from quantize.errors import EXIT_VERIFICATION

if TYPE_CHECKING:
    from quantize.api import Converted

_INTERRUPTED = "Nothing incomplete has a final name. Run it again to continue."


def convert(  # noqa: PLR0913 (one for each option)
    source: opt.Source,
    *,
    types: opt.Types = [],  # noqa: B006 (Typer copies it)
    output: opt.OutputFolder = Path(),
    dry_run: opt.DryRun = False,
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
    stream: opt.Stream = False,
    push: opt.Push = None,
    private: opt.Private = False,
    force: opt.Force = False,
    token: opt.Token = None,
    jobs: opt.Jobs = None,
    max_memory: opt.MaxMemory = None,
    kernels: opt.Kernels = opt.KernelSet.AUTO,
    fresh: opt.Fresh = False,
    report: opt.Report = False,
    ollama: opt.Ollama = None,
    system: opt.System = None,
    num_ctx: opt.NumCtx = None,
    parameter: opt.Parameter = [],  # noqa: B006 (as above)
    license_file: opt.License = None,
    every: opt.All = False,
    quiet: opt.Quiet = False,
    json: opt.Json = False,
) -> None:
    """Write quantized GGUF files, with a Modelfile for Ollama and a manifest."""
    with session(json=json, quiet=quiet, when_interrupted=_INTERRUPTED) as out:
        # Here and in the other commands: what --help does not need is imported after parsing.
        from quantize import api
        from quantize.cli.reports import write_reports
        from quantize.cli.views.converted import converted_events, converted_view
        from quantize.cli.views.plan import plan_events, plan_view
        from quantize.cli.views.pushed import pushed_events, pushed_view
        from quantize.ollama.server.create import check_name
        from quantize.verbs import push as publishing

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
        options = replace(
            options,
            output=output,
            stream=stream,
            kernels=kernels.value,
            fresh=fresh,
            report=report,
            chosen=opt.chosen(system, num_ctx, parameter, license_file),
        )
        if ollama is not None:
            check_name(ollama)
        if dry_run:
            with out.progress() as progress:
                planned = api.plan(source, options, progress)
            out.show(plan_view(planned, every=every), plan_events(planned))
            return
        if push is not None:
            # Before hours of work: whether the repository can be written to at all.
            publishing.target(push, token, private=private)
        with out.progress() as progress:
            done = api.convert(source, options, progress)
        write_reports(done)
        out.show(converted_view(done), converted_events(done))
        if push is not None:
            with out.progress() as progress:
                pushed = publishing.push(
                    [one.path for file in done.files for one in file.files],
                    push,
                    token=token,
                    private=private,
                    force=force,
                    progress=progress,
                )
            out.show(pushed_view(pushed), pushed_events(pushed))
        if ollama is not None:
            _into_ollama(out, done, ollama)


def _into_ollama(out: Printer, done: Converted, name: str) -> None:
    """A model for each type: the first has the plain name, the others have theirs as a tag."""
    from quantize import api
    from quantize.cli.views.converted import ollama_models
    from quantize.cli.views.created import created_events, created_view

    digests = {one.path.resolve(): one.sha256 for file in done.files for one in file.files}
    differs = False
    for model, path in ollama_models(done, name):
        with out.progress() as progress:
            created = api.create_in_ollama(model, path, progress, digests)
        out.show(created_view(created), created_events(created))
        differs = differs or bool(created.differences)
    if differs:
        raise typer.Exit(EXIT_VERIFICATION)
