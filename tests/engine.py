"""llama.cpp itself, in this process: the server that the xllamacpp wheel carries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xllamacpp


def serve(file: Path, **settings: Any) -> xllamacpp.Server:
    """Load a GGUF file. Raises RuntimeError where llama.cpp refuses it."""
    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.n_ctx = 512
    params.n_parallel = 1
    params.cpuparams.n_threads = 2
    params.warmup = False
    params.port = 0
    params.verbosity = -1
    for name, value in settings.items():
        setattr(params, name, value)
    return xllamacpp.Server(params)


def continue_text(server: xllamacpp.Server, prompt: str, n_predict: int) -> str:
    """What the model says next, greedily."""
    answer = server.handle_completions(
        {"prompt": prompt, "max_tokens": n_predict, "temperature": 0.0}
    )
    return str(_parsed(answer)["choices"][0]["text"])


def embed(server: xllamacpp.Server, texts: Sequence[str]) -> list[list[float]]:
    """One vector for each text."""
    answer = _parsed(server.handle_embeddings({"input": list(texts), "model": "any"}))
    return [entry["embedding"] for entry in answer["data"]]


def _parsed(answer: Any) -> Mapping[str, Any]:
    return json.loads(answer) if isinstance(answer, str) else dict(answer)
