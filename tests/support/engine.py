"""llama.cpp itself, in this process: the server that the xllamacpp wheel carries."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xllamacpp
from numpy.typing import NDArray

# GGUF architectures whose tokens see those after them: they have vectors, but no next token.
NON_CAUSAL = frozenset({
    "bert", "dream", "eurobert", "gemma-embedding", "jina-bert-v2", "jina-bert-v3", "llada",
    "llada-moe", "llama-embed", "modern-bert", "neo-bert", "nomic-bert", "nomic-bert-moe", "rnd1",
    "t5encoder",
})  # fmt: skip

NO_FLASH_ATTENTION = {
    "flash_attn_type": xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
}
# Keys and values as float32 too: what is left is the order of sums.
EXACT = {
    "cache_type_k": xllamacpp.ggml_type.GGML_TYPE_F32,
    "cache_type_v": xllamacpp.ggml_type.GGML_TYPE_F32,
    **NO_FLASH_ATTENTION,
}
# A vector of each token, as the last layer leaves it.
VECTORS = {
    "embedding": True,
    "pooling_type": xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_NONE,
    "embd_normalize": -1,
}


def serve(file: Path, **settings: Any) -> xllamacpp.Server:
    """Load a GGUF file. Raises RuntimeError where llama.cpp refuses it."""
    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.n_ctx = 512
    params.n_parallel = 1
    # Threads would mostly wait for each other, for the models are small and tests run side by side.
    params.cpuparams.n_threads = 1
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


def log_probabilities(server: xllamacpp.Server, ids: Sequence[int]) -> NDArray[np.float64]:
    """Of every token of the vocabulary to come after `ids`; NaN where the server names none."""
    answer = _post(
        server,
        "/completion",
        {
            "prompt": list(ids),
            "n_predict": 1,
            "n_probs": 2**31 - 1,
            "cache_prompt": False,
            # The server reports no probabilities beside half of a UTF-8 character, so it is made
            # to draw a whole one. They are taken before this bias.
            "logit_bias": [[" a", 100.0]],
        },
    )
    entries = answer["completion_probabilities"][0]["top_logprobs"]
    found = np.full(1 + max(entry["id"] for entry in entries), np.nan)
    for entry in entries:
        found[entry["id"]] = entry["logprob"]
    return found


def token_vectors(server: xllamacpp.Server, ids: Sequence[int]) -> NDArray[np.float64]:
    """One vector for each token; the server's settings must have VECTORS."""
    answer = _post(server, "/embedding", {"content": list(ids)})
    return np.array(answer[0]["embedding"], dtype=np.float64)


def _post(server: xllamacpp.Server, path: str, body: Mapping[str, Any]) -> Any:
    address = server.listening_address.removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = json.load(response)
    connection.close()
    if response.status != 200:
        raise RuntimeError(f"llama.cpp answers {path} with {answer}")
    return answer


def _parsed(answer: Any) -> Mapping[str, Any]:
    return json.loads(answer) if isinstance(answer, str) else dict(answer)
