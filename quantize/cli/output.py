"""Where everything that is printed goes: data to stdout, talk to stderr, in one of three modes.

For people there are tables on stdout. With --json stdout has one event a line. With --quiet it has
nothing. Errors are on stderr in every mode.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

import typer
from rich.console import Console, RenderableType

from quantize.cli.console import SafeConsole
from quantize.cli.events.base import ErrorEvent, Event, InterruptedEvent, json_line
from quantize.cli.net import caught, flush_output
from quantize.cli.progress import BarProgress, EventProgress, LineProgress
from quantize.cli.views.failure import failure_view
from quantize.errors import EXIT_CLOSED_PIPE, EXIT_INTERRUPTED, QuantizeError
from quantize.progress import NullProgress, Progress

# A file or a pipe has no width: nothing is wrapped there, so that every row stays one line.
_UNWRAPPED = 100_000


class Printer:
    """The sink of one command."""

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        if json and quiet:
            raise typer.BadParameter("--json and --quiet exclude each other")
        self.json = json
        self.quiet = quiet
        self.data = _console(stderr=False)
        self.talk = _console(stderr=True)

    def show(self, view: Iterable[RenderableType], events: Iterable[Event]) -> None:
        """A result, for people and for programs. Only the one that is wanted is computed."""
        if self.json:
            for event in events:
                self.send(event)
        elif not self.quiet:
            for renderable in view:
                _print(self.data, renderable)

    def send(self, event: Event) -> None:
        sys.stdout.write(json_line(event))
        sys.stdout.flush()

    def fail(self, error: QuantizeError) -> NoReturn:
        """Show the error and end with its code."""
        if self.json:
            self.send(_error_event(error))
        _print(self.talk, failure_view(error))
        raise typer.Exit(error.exit_code) from error

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """A watcher that suits the mode and the terminal."""
        if self.quiet:
            yield NullProgress()
        elif self.json:
            yield EventProgress(self.send)
        elif self.talk.is_terminal and not self.talk.is_dumb_terminal:
            bar = BarProgress(self.talk)
            try:
                yield bar
            finally:
                # Gives the cursor back when the work ended by an error, too.
                bar.close()
        else:
            yield LineProgress(self.talk)


@contextmanager
def session(
    *, json: bool = False, quiet: bool = False, when_interrupted: str | None = None
) -> Iterator[Printer]:
    """The body of every command, and the only place where errors become text and exit codes."""
    out = Printer(json=json, quiet=quiet)
    try:
        yield out
    except QuantizeError as error:
        out.fail(error)
    except typer.Exit:
        raise
    except BrokenPipeError as error:
        raise typer.Exit(EXIT_CLOSED_PIPE) from error
    except KeyboardInterrupt as interrupt:
        if json:
            out.send(InterruptedEvent(event="interrupted"))
        out.talk.print(" ".join(filter(None, ("Interrupted.", when_interrupted))))
        raise typer.Exit(EXIT_INTERRUPTED) from interrupt
    except Exception as error:  # noqa: BLE001 - the net: nothing a person meets is a traceback
        out.fail(caught(error))


def finish(code: object) -> object:
    """Write out what is printed so far: the exit code `code`, or another if that fails.

    An exit code of 0 would say that a program behind a pipe or a file on a full disk has it all.
    """
    failed = flush_output()
    return code if failed is None or code else failed_outside(failed)


def failed_outside(error: Exception) -> int:
    """Show what went wrong outside of a command, as in `--help`, if that is possible; its code."""
    if isinstance(error, BrokenPipeError):
        return EXIT_CLOSED_PIPE
    shown = caught(error)
    with suppress(OSError):
        _print(_console(stderr=True), failure_view(shown))
    flush_output()
    return shown.exit_code


def _error_event(error: QuantizeError) -> ErrorEvent:
    return ErrorEvent(
        event="error",
        code=error.code,
        message=error.message,
        where=error.where,
        reason=error.reason,
        hint=error.hint,
        exit_code=error.exit_code,
    )


def _print(console: Console, renderable: RenderableType) -> None:
    if console.is_terminal:
        console.print(renderable)
        return
    with console.capture() as capture:
        console.print(renderable)
    # The last cells of a table are padded.
    lines = [line.rstrip() for line in capture.get().splitlines()]
    console.file.write("\n".join([*lines, ""]))


def _console(*, stderr: bool) -> Console:
    console = SafeConsole(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _UNWRAPPED
    return console
