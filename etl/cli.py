"""The command line: reads options, calls the steps, words the messages; no logic of its own."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import click

from etl.build import MAX_JOBS, Report, Request, build, check
from etl.errors import FailedError, WrongUseError
from etl.problems import Problem

_MOST_DIFFERENCES = 100
_LONGEST_MESSAGE = 2_000


class _Failed(click.ClickException):
    exit_code = 1

    def format_message(self) -> str:
        return self.message


class _Program(click.Group):
    def main(self, *args: Any, **extra: Any) -> Any:
        """Run; `--help` and `--version`, which click itself writes, fail in a message too."""
        try:
            return super().main(*args, **extra)
        except OSError as error:
            failed = _no_output(error)
            failed.show()
            sys.exit(failed.exit_code)


def _no_output(error: OSError) -> _Failed:
    # What waits to be written would fail once more when the program ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _Failed(f"The standard output cannot be written: {error.strerror}")


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="spack-cache-to-sqlite")
def main() -> None:
    """Turn the pages of Spack's build cache website into a SQLite database."""


_PATHS = click.argument(
    "paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path)
)
_RELEASES = click.option(
    "-r",
    "--release",
    "releases",
    multiple=True,
    metavar="NAME",
    help="Only this release; can be given several times.",
)
_PACKAGES = click.option(
    "-p",
    "--package",
    "packages",
    multiple=True,
    metavar="NAME",
    help="Only this package; can be given several times.",
)
_JOBS = click.option(
    "--jobs",
    type=click.IntRange(1, MAX_JOBS),
    default=lambda: min(os.cpu_count() or 1, MAX_JOBS),
    show_default=f"the machine's cores, at most {MAX_JOBS}",
    metavar="N",
    help="Processes that parse pages.",
)
_QUIET = click.option("--quiet", is_flag=True, help="Say nothing but what is wrong.")


@main.command("build")
@click.argument("database", metavar="DB", type=click.Path(path_type=Path))
@_PATHS
@_RELEASES
@_PACKAGES
@click.option("--skip-bad", is_flag=True, help="Leave bad pages out and list them in `problems`.")
@_JOBS
@click.option("--force", is_flag=True, help="Build even if nothing changed.")
@_QUIET
def build_command(database: Path, skip_bad: bool, force: bool, quiet: bool, **request: Any) -> None:
    """Read pages and write the database.

    A PATH is a page, or a folder that is searched for pages. The database is replaced when
    everything has been read and nothing is wrong, or --skip-bad is given.
    """
    with _clear_messages():
        started = time.monotonic()
        say = _Speaker(quiet)
        report = build(
            database, Request(**request), say.problem, say.progress, skip_bad=skip_bad, force=force
        )
        if report is None:
            say.line(f"{database}: nothing changed")
            return
        seconds = time.monotonic() - started
        if not report.written:
            say.line(f"{_was_read(report)} in {seconds:.1f} s")
            raise _Failed(
                f"{_count(report.refused, 'bad page')}; {database} was not changed. "
                "Correct the pages, or leave them out with --skip-bad."
            )
        size = _bytes(database.stat().st_size)
        left_out = f", left {_count(report.refused, 'bad page')} out" if report.refused else ""
        say.line(f"{_was_read(report)}{left_out}; wrote {database} ({size}) in {seconds:.1f} s")


@main.command("check")
@_PATHS
@_RELEASES
@_PACKAGES
@_JOBS
@_QUIET
def check_command(quiet: bool, **request: Any) -> None:
    """Read pages and report every problem; write nothing."""
    with _clear_messages():
        started = time.monotonic()
        say = _Speaker(quiet)
        report = check(Request(**request), say.problem, say.progress)
        say.line(f"{_was_read(report)} in {time.monotonic() - started:.1f} s")
        if report.refused:
            raise _Failed(f"{_count(report.refused, 'bad page')}.")


@main.command("verify")
@click.argument("database", metavar="DB", type=click.Path(path_type=Path))
@_PATHS
@_RELEASES
@_PACKAGES
@_JOBS
@_QUIET
def verify_command(database: Path, quiet: bool, **request: Any) -> None:
    """Prove that the database holds every fact of the pages and nothing else."""
    from etl.verify import verify

    with _clear_messages():
        started = time.monotonic()
        say = _Speaker(quiet)
        found = verify(database, Request(**request), say.progress)
        differences = list(islice(found, _MOST_DIFFERENCES + 1))
        for difference in differences[:_MOST_DIFFERENCES]:
            say.answer(difference)
        if differences:
            more = " or more" if len(differences) > _MOST_DIFFERENCES else ""
            count = _count(min(len(differences), _MOST_DIFFERENCES), "difference")
            raise _Failed(f"{count}{more} between {database} and the pages.")
        say.line(f"{database} holds what the pages say ({time.monotonic() - started:.1f} s)")


@contextmanager
def _clear_messages() -> Iterator[None]:
    """Turn what can go wrong into one line and an exit status."""
    try:
        yield
    except WrongUseError as error:
        raise click.UsageError(str(error)) from None
    except FailedError as error:
        raise _Failed(str(error)) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        # Said here, lest it is taken for the standard output's.
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        raise _Failed(f"{where}{error.strerror}") from None
    except MemoryError:
        raise _Failed("There is not enough memory; with --jobs 1 less is needed.") from None
    except KeyboardInterrupt:
        raise _Failed("Interrupted.") from None


class _Speaker:
    """Says what happens: a progress bar on a terminal, plain lines otherwise."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._step = ""
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
            raise _no_output(error) from None

    def problem(self, found: Problem) -> None:
        """Tell of a problem of a source."""
        self._end_step()
        if self._quiet and found.severity == "warning":
            return
        line = f":{found.line}" if found.line else ""
        severity = "warning: " if found.severity == "warning" else ""
        message = found.message
        if len(message) > _LONGEST_MESSAGE:
            message = f"{message[:_LONGEST_MESSAGE]}…"
        _tell(f"{found.source}{line}: {severity}{message} [{found.kind}]")

    def progress(self, step: str, done: int, total: int) -> None:
        """Tell how far a step has come."""
        if self._quiet:
            return
        if step != self._step:
            self._end_step()
            self._step = step
            if not self._on_terminal:
                _tell(f"{step}…")
            elif total:
                self._bar = click.progressbar(length=total, label=step, file=sys.stderr)
        if self._bar:
            self._bar.update(done - self._bar.pos)
        elif self._on_terminal:
            _tell(f"\r{step}… {done or ''}", end=False)

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


def _was_read(report: Report) -> str:
    return (
        f"Read {_sources(report)} ({_bytes(report.bytes)}): "
        f"{_count(report.packages, 'package')}, {_count(report.specs, 'spec')}, "
        f"{_count(report.releases, 'release')}, {_count(report.warnings, 'warning')}"
    )


def _sources(report: Report) -> str:
    pages, indexes = _count(report.pages, "page"), _count(report.indexes, "index", "indexes")
    if not report.indexes:
        return pages
    return f"{pages} and {indexes}" if report.pages else indexes


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def _bytes(number: int) -> str:
    return f"{number / 1e6:,.1f} MB"
