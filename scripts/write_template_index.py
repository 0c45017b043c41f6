"""Write quantize/ollama/template_index.json from template/index.json of Ollama's repository.

    python scripts/write_template_index.py OLLAMA/template/index.json

Only how often each text has each character is kept: that is what
quantize/ollama/templates/hijack.py needs.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

TARGET = Path(__file__).parent.parent / "quantize" / "ollama" / "template_index.json"


def main(source: Path) -> None:
    entries = json.loads(source.read_text(encoding="utf-8"))
    rows = [[one["name"], dict(sorted(Counter(one["template"]).items()))] for one in entries]
    lines = [json.dumps(row, separators=(",", ":")) for row in rows]
    TARGET.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
