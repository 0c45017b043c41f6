"""Open a page in headless Chromium, light and dark: it must load nothing and complain of nothing.

    python scripts/check_html.py PAGE [FOLDER]

Chromium is the program CHROMIUM names, or the first one found. Nothing is installed. In FOLDER, if
one is given, pictures of the page are left for a person to look at.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Blink's own numbers of prefers-color-scheme.
_SCHEMES = {"light": 1, "dark": 0}
_SIZES = {"wide": "1280,2400", "narrow": "420,2400"}
# What a page says on its console, and what a browser says of loading.
_COMPLAINT = re.compile(r"CONSOLE|Refused to|ERR_|Failed to load")


def chromium() -> str:
    named = os.environ.get("CHROMIUM")
    found = named or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        sys.exit("no Chromium here; install one, or name it: CHROMIUM=/path/to/chromium")
    return found


def run(browser: str, page: Path, *arguments: str) -> str:
    """What the browser prints on stdout. Exits if it failed or complained."""
    with tempfile.TemporaryDirectory() as profile:
        command = [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            f"--user-data-dir={profile}",
            *arguments,
            page.resolve().as_uri(),
        ]
        done = subprocess.run(  # noqa: S603 (a browser that a person named)
            command, capture_output=True, text=True, check=False, timeout=120
        )
    complaints = [line for line in done.stderr.splitlines() if _COMPLAINT.search(line)]
    if done.returncode or complaints:
        sys.exit("\n".join([f"Chromium ended with {done.returncode}", *complaints]))
    return done.stdout


def main() -> None:
    page, *folder = map(Path, sys.argv[1:])
    browser = chromium()
    document = run(browser, page, "--dump-dom")
    if "</table>" not in document or "</footer>" not in document:
        sys.exit("the page is not whole")
    if "default-src 'none'" not in document:
        # By its policy the browser complains of whatever would be loaded.
        sys.exit("the page has no policy that forbids it to load anything")
    with tempfile.TemporaryDirectory() as scratch:
        pictures = folder[0] if folder else Path(scratch)
        for scheme, number in _SCHEMES.items():
            for name, size in _SIZES.items():
                picture = pictures / f"{page.stem}-{scheme}-{name}.png"
                setting = f"--blink-settings=preferredColorScheme={number}"
                run(browser, page, setting, f"--window-size={size}", f"--screenshot={picture}")
                if not picture.is_file():
                    sys.exit(f"no picture of {page.name}, {scheme} and {name}")
                print(f"{picture.name}: {picture.stat().st_size} bytes")
    print(f"{page.name} opens without a complaint")


if __name__ == "__main__":
    main()
