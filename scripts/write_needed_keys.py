"""Write quantize/architectures/needed_keys.json: key-values without which llama.cpp loads no model.

    python scripts/write_needed_keys.py LLAMA_CPP

LLAMA_CPP is its source tree, as in the sdist of xllamacpp. Read of it, for each architecture that
quantize writes: keys that its loader asks for without accepting their absence, outside of any
condition.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from quantize.architectures import ARCHITECTURES

TARGET = Path(__file__).parent.parent / "quantize" / "architectures" / "needed_keys.json"
_NAME = re.compile(r'\{\s*(LLM_\w+),\s*"([^"]+)"\s*\}')
_CASE = re.compile(r"case (LLM_ARCH_\w+):\s*return new (llama_model_\w+)\(")
_BASE = re.compile(r"struct (llama_model_\w+)\s*:\s*public\s+(llama_model_\w+)")
_BODY = re.compile(r"^void (llama_model_\w+)::load_arch_hparams\(.*?^\}", re.DOTALL | re.MULTILINE)
_REMARK = re.compile(r"/\*.*?\*/", re.DOTALL)
# At the function's own level: what is indented further depends on something.
_ASKED = re.compile(r"^    ml\.get_key(?:_or_arr)?\((LLM_KV_\w+),[^;]*\);", re.MULTILINE)
_OPTIONAL = re.compile(r",\s*(?:false|0)\s*\)\s*;\s*$")
# Of every architecture, asked for before the loader looks at which it is.
COMMON = ("context_length", "embedding_length", "block_count")


def main(tree: Path) -> None:
    names = dict(_NAME.findall((tree / "src" / "llama-arch.cpp").read_text("utf-8")))
    files = sorted((tree / "src" / "models").glob("*.*"))
    sources = [_REMARK.sub("", path.read_text("utf-8")) for path in files]
    bases = dict(pair for text in sources for pair in _BASE.findall(text))
    asked = {
        found[1]: keys_of(found[0], names) for text in sources for found in _BODY.finditer(text)
    }
    classes = dict(_CASE.findall((tree / "src" / "llama-model.cpp").read_text("utf-8")))
    table: dict[str, list[str]] = {}
    for enum, kind in classes.items():
        while kind not in asked:
            kind = bases[kind]  # noqa: PLW2901 - up to whoever reads the key-values
        table[names[enum]] = [*COMMON, *asked[kind]]
    ours = {ARCHITECTURES[name].arch for name in ARCHITECTURES}
    lines = [f"{json.dumps(arch)}: {json.dumps(table[arch])}" for arch in sorted(ours & {*table})]
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def keys_of(body: str, names: dict[str, str]) -> list[str]:
    return [
        names[found[1]].removeprefix("%s.")
        for found in _ASKED.finditer(body)
        if not _OPTIONAL.search(found[0])
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
