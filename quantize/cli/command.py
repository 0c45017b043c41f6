"""A command of the program: its parameters become flags, its errors become text and exit codes.

The body of a command takes a Printer, arguments of its own, and groups of options
(quantize/options). Each field of a group becomes a flag here, so that an option is declared once.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from quantize.cli.options.printed import Json, Quiet
from quantize.cli.output import session
from quantize.options.declare import Flag, Group, Size


def command(
    *,
    quiet: bool = True,
    when_interrupted: str | None = None,
    helps: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of a function whose first parameter is the Printer.

    `quiet`: there is a --quiet as well as a --json. `when_interrupted` is said after Ctrl-C.
    `helps` are texts of `--help` that differ from those of the options' own declarations.
    """

    def decorate(body: Callable[..., None]) -> Callable[..., None]:
        parameters, groups = _parameters(body, helps or {})

        @functools.wraps(body)
        def run(*, json: bool, quiet: bool = False, **values: Any) -> None:
            with session(json=json, quiet=quiet, when_interrupted=when_interrupted) as out:
                for name, group in groups.items():
                    values[name] = group(**{field: values.pop(field) for field in group.flags()})
                body(out, **values)

        printed = {"quiet": Quiet, "json": Json} if quiet else {"json": Json}
        parameters += [_parameter(name, kind, default=False) for name, kind in printed.items()]
        # What Typer reads; types know nothing of it. `__wrapped__` would lead it back to the body.
        del run.__wrapped__
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return decorate


def _parameters(
    body: Callable[..., None], helps: Mapping[str, str]
) -> tuple[list[inspect.Parameter], dict[str, type[Group]]]:
    """All parameters of the body but its Printer, with those of its groups in their place."""
    hints = get_type_hints(body, include_extras=True)
    found: list[inspect.Parameter] = []
    groups: dict[str, type[Group]] = {}
    for name, parameter in list(inspect.signature(body).parameters.items())[1:]:
        kind = hints[name]
        if isinstance(kind, type) and issubclass(kind, Group):
            groups[name] = kind
            defaults = kind()
            found += [
                _parameter(
                    field,
                    _annotation(flag, helps.get(field, flag.help)),
                    default=getattr(defaults, field),
                )
                for field, flag in kind.flags().items()
            ]
        else:
            found.append(_parameter(name, kind, default=parameter.default))
    # Arguments are told apart by having no flags, so that the order among them is the body's.
    return found, groups


def _parameter(name: str, annotation: Any, *, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _annotation(flag: Flag, text: str) -> Any:
    kind: Any = str if flag.kind is Size else flag.kind
    settings: dict[str, Any] = {"min": flag.least, "max": flag.most}
    option = typer.Option(
        *flag.names,
        help=text,
        metavar=flag.metavar,
        show_default=flag.shows_default,
        rich_help_panel=flag.panel,
        **{name: value for name, value in settings.items() if value is not None},
    )
    if flag.many:
        return Annotated[list[kind], option]
    if kind is bool or (flag.shows_default and kind is not Path):
        return Annotated[kind, option]
    return Annotated[Path if kind is Path and flag.shows_default else kind | None, option]
