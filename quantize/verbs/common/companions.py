"""What goes with the GGUF files: Modelfiles and the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from quantize.execution import Written
from quantize.ollama.modelfile.adapter import adapter_modelfile
from quantize.ollama.modelfile.existing import license_named, modelfile_of_gguf, prompt_in
from quantize.ollama.modelfile.prompt import Prompt
from quantize.ollama.modelfile.writing import chosen_of, license_file, modelfile
from quantize.options import Options
from quantize.progress import Progress
from quantize.publish.manifest import manifest
from quantize.publish.manifest_merge import with_earlier
from quantize.publish.manifest_records import imatrix_record, output_records, source_record
from quantize.recipes.manifest_recipe import record_of
from quantize.sources.from_adapter import base_name
from quantize.storage.sink import set_aside, write_text
from quantize.verbs.common.preparing import Prepared
from quantize.verbs.common.results import OutputFile
from quantize.vocab import end_tokens


def write_modelfiles(
    prepared: Prepared, files: tuple[OutputFile, ...], options: Options, progress: Progress
) -> tuple[Path, ...]:
    """`Modelfile` is the first type's; with several types each has `Modelfile.TYPE` as well.

    One that says something else, for somebody may have edited it, is set aside. A projector alone
    is no model that Ollama could run, and gets none: it lies beside a text file, which has one.
    """
    if prepared.model.arch == "clip":
        return ()
    prompt = prompt_in(prepared.plans[0].kvs, options)
    texts = [_modelfile(prepared, file, prompt, options) for file in files]
    if prompt is not None and prompt.warning is not None:
        progress.note(prompt.warning)
    named = {"Modelfile": texts[0]}
    if len(files) > 1:
        named |= {f"Modelfile.{file.type}": text for file, text in zip(files, texts, strict=True)}
    for name, text in named.items():
        path = options.folder / name
        earlier = set_aside(path, unless=text)
        if earlier is not None:
            progress.note(f"{name} was another one, which is now {earlier.name}")
        write_text(path, text)
    return tuple(options.folder / name for name in named)


def _modelfile(
    prepared: Prepared, file: OutputFile, prompt: Prompt | None, options: Options
) -> str:
    # Ollama does not look for the other files of a split model.
    names = [one.path.name for one in file.files]
    origin, plan = prepared.opened.source, prepared.plans[0]
    chosen = chosen_of(options)
    if origin.kind == "adapter":
        base = options.base or origin.adapter.settings.base
        name = base_name(base, prepared.opened.location)
        return adapter_modelfile(base, name, names[0])
    if origin.kind == "gguf":
        return modelfile_of_gguf(names, plan.kvs, prompt, chosen)
    license_name = license_file(origin.names())
    return modelfile(
        *names,
        ends=end_tokens(origin, plan.kvs),
        generation=origin.read_json("generation_config.json"),
        license_text=origin.read(license_name) if license_name else None,
        license_name=license_named(plan.kvs),
        prompt=prompt,
        is_embedder=plan.kvs.is_embedder,
        chosen=chosen,
    )


def write_manifest(
    prepared: Prepared,
    written: tuple[Written, ...],
    options: Options,
    of_weights: Mapping[str, str],
) -> Path:
    plans = prepared.plans
    text = manifest(
        source_record(prepared.opened, plans[0], prepared.adapters, of_weights),
        {
            "types": [plan.recipe_name for plan in plans],
            "recipes": _recipes(prepared) or None,
            "imatrix": imatrix_record(prepared.imatrix),
            "refine": None if prepared.refinement is None else prepared.refinement.record(),
            "edits": prepared.wanted.edits.record(),
            "split": prepared.wanted.split.record(),
            "keep_quantized": options.keep_quantized or None,
            "model_class": options.model_class,
            "pre": options.pre,
            "pooling": options.pooling,
            "strict_parity": options.strict_parity or None,
            "name": options.name,
        },
        [
            record
            for plan, one in zip(plans, written, strict=True)
            for record in output_records(plan, one)
        ],
    )
    path = options.folder / "manifest.json"
    write_text(path, with_earlier(text, path))
    return path


def _recipes(prepared: Prepared) -> dict[str, object]:
    """By the names of their files, those that such a name does not tell everything about."""
    return {one.name: record_of(one) for one in prepared.recipes if not one.is_plain}
