"""How a command speaks: what it says, what is wrong, how far it has come, and how it ends."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click

from etl.errors import FailedError, WrongUseError
from etl.problems import Problem

_LONGEST_MESSAGE = 2_000


class Failed(click.ClickException):
    """Ends a command with a message and the exit status 1."""

    exit_code = 1

    def format_message(self) -> str:
        """The message as it is."""
        return self.message


def no_output(error: OSError) -> Failed:
    """How a command ends when what it says cannot be written."""
    # What waits to be written would fail once more when the program ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Failed(f"The standard output cannot be written: {error.strerror}")


@contextmanager
def clear_messages() -> Iterator[None]:
    """Turn what can go wrong into one line and an exit status."""
    try:
        yield
    except WrongUseError as error:
        raise click.UsageError(str(error)) from None
    except FailedError as error:
        raise Failed(str(error)) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        # Said here, lest it is taken for the standard output's.
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        raise Failed(f"{where}{error.strerror}") from None
    except MemoryError:
        raise Failed("There is not enough memory; with --jobs 1 less is needed.") from None
    except KeyboardInterrupt:
        raise Failed("Interrupted.") from None


class Speaker:
    """Says what happens: a progress bar on a terminal, plain lines otherwise."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._step = ""
        self._named = ""
        self._bar: Any = None
        self._on_terminal = sys.stderr is not None and sys.stderr.isatty()

    def line(self, text: str) -> None:
        """Say something of interest on the standard output."""
        self._end_step()
        if not self._quiet:
            self.answer(text)

    def answer(self, text: str) -> None:
        """Say what was asked for on the standard output."""
        self._end_step()
        try:
            click.echo(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise no_output(error) from None

    def fault(self, text: str) -> None:
        """Tell of something that went wrong, in one line, on the standard error."""
        self._end_step()
        _tell(_shortened(text))

    def problem(self, found: Problem) -> None:
        """Tell of a problem of a source."""
        self._end_step()
        if self._quiet and found.severity == "warning":
            return
        line = f":{found.line}" if found.line else ""
        severity = "warning: " if found.severity == "warning" else ""
        message = _shortened(found.message)
        _tell(f"{found.source}{line}: {severity}{message} [{found.kind}]")

    def progress(self, step: str, done: int, total: int) -> None:
        """Tell how far a step has come."""
        if self._quiet:
            return
        if step != self._step:
            self._end_step()
            self._step = step
            if not self._on_terminal:
                self._name(step)
            elif total:
                self._bar = click.progressbar(length=total, label=step, file=sys.stderr)
        if self._bar:
            self._bar.update(done - self._bar.pos)
        elif self._on_terminal:
            _tell(f"\r{step}… {done or ''}", end=False)

    def _name(self, step: str) -> None:
        # Once, though it goes on after something else was said.
        if step != self._named:
            _tell(f"{step}…")
        self._named = step

    def _end_step(self) -> None:
        if self._bar:
            self._bar.render_finish()
        elif self._step and self._on_terminal:
            _tell("")
        self._bar, self._step = None, ""


def _tell(text: str, *, end: bool = True) -> None:
    # Where it cannot be written, nobody can be told of that either.
    with suppress(OSError):
        click.echo(text, nl=end, err=True)


def _shortened(message: str) -> str:
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]}…"


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number and what it counts: `1 page`, `1,459 pages`; a plural if it is not so made."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def in_megabytes(number: int) -> str:
    """A number of bytes as `1.2 MB`."""
    return f"{number / 1e6:,.1f} MB"
