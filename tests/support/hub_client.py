"""This process's huggingface_hub, turned to a test Hub; and the same for processes of their own."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants, file_download

from quantize.storage.hub import retry as hub_retry

_TEMPLATE = "/{repo_id}/resolve/{revision}/{filename}"


def connect(patch: pytest.MonkeyPatch, url: str, home: Path, *, offline: bool = False) -> None:
    """What the environment would do if it were set before huggingface_hub is imported.

    Waits between tries become short.
    """
    patch.setattr(constants, "ENDPOINT", url)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + _TEMPLATE)
    patch.setattr(constants, "HF_HOME", str(home))
    patch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    patch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    patch.setattr(constants, "HF_HUB_OFFLINE", offline)
    patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    patch.setattr(hub_retry, "FIRST_WAIT", 0.001)
    patch.setattr(file_download, "time", SimpleNamespace(sleep=lambda _: None, time=time.time))
    patch.delenv("HF_TOKEN", raising=False)


def environment(url: str, home: Path) -> dict[str, str]:
    """The same for a process of its own."""
    kept = {name: value for name, value in os.environ.items() if name[:3] != "HF_"}
    return {
        **kept,
        "HF_ENDPOINT": url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "PYTHONWARNINGS": "ignore",
    }
