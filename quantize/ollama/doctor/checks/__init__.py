"""All checks of a GGUF file and its Modelfile, by the name that each has in a report.

They are the pitfalls that make a second-class model of an otherwise good file.
"""

from __future__ import annotations

from collections.abc import Mapping

from quantize.ollama.doctor.checks import file, instructions, prompts, tensors, vocabulary
from quantize.ollama.doctor.checks.base import Check

CHECKS: Mapping[str, Check] = {
    "alignment": file.alignment,
    "scalar types": file.scalar_types,
    "architecture": file.architecture,
    "hyper-parameters": file.hparams,
    "file type": file.file_type,
    "quantization version": file.quantization_version,
    "finite values": file.finite_values,
    "context length": file.context_length,
    "needed": tensors.needed,
    "tensors": tensors.tensors,
    "tensor types": tensors.tensor_types,
    "shards": file.split,
    "vision": tensors.embedded_vision,
    "pooling": file.pooling,
    "vocabulary": vocabulary.vocabulary,
    "pre-tokenizer": vocabulary.pre_tokenizer,
    "end of text": vocabulary.end_ids,
    "token types": vocabulary.token_types,
    "scores": vocabulary.scores,
    "chat template": prompts.chat_template,
    "Jinja": prompts.jinja,
    "chats": prompts.refuses,
    "known templates": prompts.hijack,
    "capabilities": prompts.tools_lost,
    "TEMPLATE": prompts.same_prompts,
    "renderer": prompts.renderer,
    "doubled BOS": prompts.doubled_bos,
    "names in TEMPLATE": prompts.template_fields,
    "harmony": prompts.harmony,
    "FROM": instructions.source,
    "ADAPTER": instructions.adapter,
    "projector": instructions.projector,
    "parameters": instructions.parameters,
    "num_ctx": instructions.num_ctx,
    "stops": instructions.stops,
    "sampling": instructions.sampling,
    "characters": instructions.texts,
}
