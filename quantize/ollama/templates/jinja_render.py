"""A model's Jinja chat template, rendered as transformers renders it, inside Jinja's sandbox.

The environment is that of transformers' apply_chat_template: blocks are trimmed, `tojson` writes
plain JSON instead of HTML-safe JSON, loops know break and continue, `generation` blocks are
transparent, and there are the functions raise_exception and strftime_now. The clock does not move,
so that one conversation always gives one prompt.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment, nodes
    from jinja2.parser import Parser

# Characters; the longest prompt of a probing conversation has some ten thousand.
MAX_OUTPUT = 1_000_000


class RenderError(Exception):
    """The template cannot render this conversation; the text says why."""


class JinjaTemplate:
    """A compiled chat template. Raises RenderError when it is not Jinja."""

    def __init__(self, text: str, *, bos: str = "", eos: str = "") -> None:
        from jinja2 import TemplateError

        try:
            self._template = _environment().from_string(text)
        except (TemplateError, RecursionError) as error:
            raise RenderError(f"no valid Jinja: {error}") from error
        self._tokens = {"bos_token": bos, "eos_token": eos}

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        now: datetime,
        tools: Sequence[Mapping[str, Any]] | None = None,
        flags: Mapping[str, object] | None = None,
        is_begun: bool = False,
    ) -> str:
        """The prompt; if the answer is not yet begun, with the generation prompt at its end.

        `flags` are variables such as enable_thinking. Raises RenderError when the template raises
        an exception of its own, fails, or writes more than MAX_OUTPUT characters.
        """
        from jinja2 import TemplateError

        variables = {
            "messages": [dict(message) for message in messages],
            "tools": tools or None,
            "documents": None,
            "add_generation_prompt": not is_begun,
            "strftime_now": now.strftime,
            **self._tokens,
            **(flags or {}),
        }
        pieces, size = [], 0
        try:
            for piece in self._template.generate(variables):
                size += len(piece)
                if size > MAX_OUTPUT:
                    raise RenderError(f"it writes more than {MAX_OUTPUT} characters")
                pieces.append(piece)
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise RenderError(f"{type(error).__name__}: {error}") from error
        except (AttributeError, RecursionError, MemoryError) as error:
            raise RenderError(type(error).__name__) from error
        return "".join(pieces)


@cache
def _environment() -> Environment:
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}...{% endgeneration %}`, which marks an answer for training."""

        tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

        def parse(self, parser: Parser) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    def raise_exception(message: object) -> None:
        raise TemplateError(str(message))

    def tojson(
        value: object,
        ensure_ascii: bool = False,  # noqa: FBT001, FBT002 - templates call it
        indent: int | str | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,  # noqa: FBT001, FBT002 - templates call it
    ) -> str:
        return json.dumps(
            value,
            ensure_ascii=ensure_ascii,
            indent=indent,
            separators=separators,
            sort_keys=sort_keys,
        )

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    return environment
