"""Patterns of tensor names: the regular expressions that --tensor-type takes.

llama-quantize searches with std::regex in its ECMAScript grammar, Python with `re`. Whether one of
them is found in a name is the same for both but for a few constructs, and those are refused rather
than read in another way.
"""

from __future__ import annotations

import re
from functools import cache

from quantize.errors import UsageError

# Constructs of a pattern that may differ, a whole class before what it is made of.
_TOKENS = re.compile(
    r"""
    (?P<escape>   \\.)
  | (?P<empty>    \[\^?\])
  | (?P<cls>      \[(?:\\.|[^\]\\])*\])
  | (?P<group>    \(\?(?![:=!]).?)
  | (?P<greedy>   [*+?}]\+)
  | (?P<braces>   \{(?!\d+(?:,\d*)?\}))
    """,
    re.VERBOSE,
)
_SHARED_ESCAPES = "bdswfnrtvx"


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """`pattern`, in lower case as llama-quantize takes it. Raises UsageError.

    To be searched for anywhere in a name.
    """
    lowered = pattern.lower()
    for token in _TOKENS.finditer(lowered):
        if _differs(token):
            raise _refused(pattern, f"llama-quantize and Python read {token[0]!r} differently")
    try:
        return re.compile(lowered, re.ASCII)
    except re.error as error:
        raise _refused(pattern, str(error)) from error


def _differs(token: re.Match[str]) -> bool:
    match token.lastgroup:
        case "escape":
            return token[0][1].isalpha() and token[0][1] not in _SHARED_ESCAPES
        case "cls":
            return re.search(r"\[[:.=]", token[0][1:]) is not None
        case _:
            return True


def _refused(pattern: str, reason: str) -> UsageError:
    return UsageError(
        "bad-pattern",
        f"{pattern!r} is not a pattern of tensor names",
        reason=reason,
        hint=r"a regular expression to be found in names, such as attn_v or blk\.[0-3]\.ffn_down",
    )
