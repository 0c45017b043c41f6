"""Chat templates: one text, or several by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from string import ascii_letters, digits
from typing import Any

from quantize.formats.kv import KV, array, string
from quantize.vocab.files import TokenizerFiles

# One template, or (name, template) pairs in the checkpoint's order.
ChatTemplate = str | tuple[tuple[str, str], ...]

_FOLDER = "additional_chat_templates"
_NAME_CHARACTERS = frozenset(ascii_letters + digits)


def chat_template(files: TokenizerFiles, config: Mapping[str, Any]) -> ChatTemplate | None:
    """The template of tokenizer_config.json, else of chat_template.jinja, else of the .json.

    `config`: tokenizer_config.json; that it says null counts, too.
    """
    if "chat_template" in config:
        return _checked(config["chat_template"])
    text = files.text("chat_template.jinja")
    if text is not None:
        more = _additional(files)
        return (("default", text), *more) if more else text
    return _checked((files.json("chat_template.json") or {}).get("chat_template"))


def _additional(files: TokenizerFiles) -> list[tuple[str, str]]:
    paths = sorted(PurePosixPath(name) for name in files.names())
    found = [path for path in paths if str(path.parent) == _FOLDER and path.suffix == ".jinja"]
    return [(path.stem, files.text(str(path)) or "") for path in found]


def _checked(value: object) -> ChatTemplate | None:
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return None
    pairs = [(one.get("name"), one.get("template")) for one in value if isinstance(one, dict)]
    return tuple(
        (name, text) for name, text in pairs if isinstance(name, str) and isinstance(text, str)
    )


def template_kvs(template: ChatTemplate | None) -> list[KV]:
    """`tokenizer.chat_template` and, for a named list, one key a name and the list of names.

    llama.cpp's converter writes the list of names in the order of a Python set; the checkpoint's
    order is used here, which is one of the orders it may take.
    """
    if template is None:
        return []
    if isinstance(template, str):
        return [string("tokenizer.chat_template", template)]
    named = {_clean(name): text for name, text in template if name}
    default = named.pop("default", None)
    kvs = [string(f"tokenizer.chat_template.{name}", text) for name, text in named.items()]
    if named:
        kvs.append(array("tokenizer.chat_templates", "STRING", named))
    if default is not None:
        kvs.append(string("tokenizer.chat_template", default))
    return kvs


def _clean(name: str) -> str:
    return "".join(c if c in _NAME_CHARACTERS else "_" for c in name)
