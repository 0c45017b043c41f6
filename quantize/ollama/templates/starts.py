"""What a prompt begins with whatever comes first: a default system text, mostly.

Probing finds it before the first message of each kind. Here it is taken off those, so that the
template says it once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quantize.ollama.templates.decisions import Leaf, Row, Tree, common_prefix, decide
from quantize.ollama.templates.features import Features

_NONE = Leaf("")
# What a start may depend on: not on the message that comes after it.
_GLOBAL = ("system", "tools", "think")

BeforeRows = Mapping[str, Sequence[Row[str]]]


def start_of(before: BeforeRows) -> tuple[Tree[str], BeforeRows]:
    """The start, and what is before each kind without it.

    `before` are the texts before nodes, by kind, without what closes the node before.
    """
    rows: list[Row[str]] = []
    rest: dict[str, list[Row[str]]] = {}
    alone = []
    for kind, some in before.items():
        own = {text for features, text in some if features["previous"]}
        rest[kind] = []
        for features, text in some:
            if features["previous"]:
                rest[kind].append((features, text))
            elif kind == "system":
                alone.append((features, text))
            else:
                found = [one for one in own if text.endswith(one)]
                if not found:
                    return _NONE, before
                base = max(found, key=len)
                rows.append((_known(features), text.removesuffix(base)))
                rest[kind].append((features, base))
    # Nothing tells what a system turn begins with from the start, but the start of other chats.
    starts = [text for _, text in rows]
    shared = common_prefix(starts) if starts else ""
    is_common = all(text.startswith(shared) for _, text in alone)
    for features, text in alone:
        start = shared if is_common else ""
        rows.append((_known(features), start))
        rest["system"].append((features, text.removeprefix(start)))
    tree = decide(rows) if any(starts) else None
    return (_NONE, before) if tree is None else (tree, rest)


def _known(features: Features) -> Features:
    return {name: features[name] for name in _GLOBAL}
