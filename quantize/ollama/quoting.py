"""How a text is written as a value in a Modelfile, by the grammar of Ollama's reader.

The reader knows no escapes. A value in quotes ends at the first end of line where everything since
the opening quotes, without trailing white space, ends with the closing ones; characters that Go
does not call printable are dropped, in quotes too. So some texts have no lossless form.
"""

from __future__ import annotations

_QUOTES = '"""'


def is_kept(character: str) -> bool:
    """Whether the reader keeps a character; Go and Python agree on what is printable."""
    return character in "\t\r\n" or character.isprintable()


def is_representable(text: str) -> bool:
    """Whether some form of `text` gives the reader exactly `text` back."""
    return all(map(is_kept, text)) and not _ends_early(text)


def quoted(text: str) -> str:
    """`text` as a value: in plain quotes if it is one line without quotes, else in triple ones.

    Raises ValueError if it is not representable.
    """
    if not is_representable(text):
        raise ValueError(f"a Modelfile cannot hold {text!r}")
    marks = _QUOTES if any(character in '"\r\n' for character in text) else '"'
    return f"{marks}{text}{marks}"


def rewritten(text: str) -> str:
    """The nearest representable text.

    Other kinds of space become plain ones, other characters that would be lost go, and triple
    quotes become single ones if any of them would end the value.
    """
    kept = "".join(
        character if is_kept(character) else " " if character.isspace() else ""
        for character in text
    )
    return kept.replace(_QUOTES, "'''") if _ends_early(kept) else kept


def _ends_early(text: str) -> bool:
    """Whether the reader would take a value in triple quotes for finished at an inner line end."""
    for position, character in enumerate(text):
        if character in "\r\n":
            head = (_QUOTES + text[:position]).rstrip()
            if len(head) >= 2 * len(_QUOTES) and head.endswith(_QUOTES):
                return True
    return False
