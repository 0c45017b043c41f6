"""Write template_index.json of quantize/ollama/templates from template/index.json of Ollama.

    python scripts/write_template_index.py OLLAMA/template/index.json

Only a digit for each character is kept: that is what hijack.py there needs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from quantize.ollama.templates import hijack

TARGET = Path(hijack.__file__).with_name("template_index.json")


def main(source: Path) -> None:
    entries = json.loads(source.read_text(encoding="utf-8"))
    rows = [json.dumps([one["name"], hijack.digits_of(one["template"])]) for one in entries]
    TARGET.write_text("[\n" + ",\n".join(rows) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
