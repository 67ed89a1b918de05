"""The command line: reads options, calls the steps, words the messages; no logic of its own."""

import os
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import click

from etl.build import MAX_JOBS, Report, Request, build, check
from etl.cli_fetch import fetch_command
from etl.options import QUIET, RELEASES
from etl.speaking import Failed, Speaker, clear_messages, counted, in_megabytes, no_output

_MOST_DIFFERENCES = 100


class _Program(click.Group):
    def main(self, *args: Any, **extra: Any) -> Any:
        """Run; `--help` and `--version`, which click itself writes, fail in a message too."""
        try:
            return super().main(*args, **extra)
        except OSError as error:
            failed = no_output(error)
            failed.show()
            sys.exit(failed.exit_code)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="spack-cache-to-sqlite")
def main() -> None:
    """Turn Spack's build caches into a SQLite database.

    It reads the pages of Spack's build cache website and the indexes of build caches.
    """


main.add_command(fetch_command)

_PATHS = click.argument(
    "paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path)
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
    help="Processes that read.",
)


@main.command("build")
@click.argument("database", metavar="DB", type=click.Path(path_type=Path))
@_PATHS
@RELEASES
@_PACKAGES
@click.option("--skip-bad", is_flag=True, help="Leave bad sources out and list them in `problems`.")
@_JOBS
@click.option("--force", is_flag=True, help="Build even if nothing changed.")
@QUIET
def build_command(database: Path, skip_bad: bool, force: bool, quiet: bool, **request: Any) -> None:
    """Read pages and indexes and write the database.

    A PATH is a page, an index, or a folder that is searched for both; NAME=PATH names the release
    that a build cache stands for. The database is replaced when everything has been read and
    nothing is wrong, or --skip-bad is given.
    """
    with clear_messages():
        started = time.monotonic()
        say = Speaker(quiet)
        report = build(
            database, Request(**request), say.problem, say.progress, skip_bad=skip_bad, force=force
        )
        if report is None:
            say.line(f"{database}: nothing changed")
            return
        seconds = time.monotonic() - started
        if not report.written:
            say.line(f"{_was_read(report)} in {seconds:.1f} s")
            raise Failed(
                f"{counted(report.refused, 'bad source')}; {database} was not changed. "
                "Correct the sources, or leave them out with --skip-bad."
            )
        size = in_megabytes(database.stat().st_size)
        left_out = f", left {counted(report.refused, 'bad source')} out" if report.refused else ""
        say.line(f"{_was_read(report)}{left_out}; wrote {database} ({size}) in {seconds:.1f} s")


@main.command("check")
@_PATHS
@RELEASES
@_PACKAGES
@_JOBS
@QUIET
def check_command(quiet: bool, **request: Any) -> None:
    """Read pages and indexes and report every problem; write nothing."""
    with clear_messages():
        started = time.monotonic()
        say = Speaker(quiet)
        report = check(Request(**request), say.problem, say.progress)
        say.line(f"{_was_read(report)} in {time.monotonic() - started:.1f} s")
        if report.refused:
            raise Failed(f"{counted(report.refused, 'bad source')}.")


@main.command("verify")
@click.argument("database", metavar="DB", type=click.Path(path_type=Path))
@_PATHS
@RELEASES
@_PACKAGES
@_JOBS
@QUIET
def verify_command(database: Path, quiet: bool, **request: Any) -> None:
    """Prove that the database holds every fact of the sources and nothing else."""
    from etl.verify import verify

    with clear_messages():
        started = time.monotonic()
        say = Speaker(quiet)
        found = verify(database, Request(**request), say.progress)
        differences = list(islice(found, _MOST_DIFFERENCES + 1))
        for difference in differences[:_MOST_DIFFERENCES]:
            say.answer(difference)
        if differences:
            more = " or more" if len(differences) > _MOST_DIFFERENCES else ""
            count = counted(min(len(differences), _MOST_DIFFERENCES), "difference")
            raise Failed(f"{count}{more} between {database} and the sources.")
        say.line(f"{database} holds what the sources say ({time.monotonic() - started:.1f} s)")


def _was_read(report: Report) -> str:
    return (
        f"Read {_sources(report)} ({in_megabytes(report.bytes)}): "
        f"{counted(report.packages, 'package')}, {counted(report.specs, 'spec')}, "
        f"{counted(report.releases, 'release')}, {counted(report.warnings, 'warning')}"
    )


def _sources(report: Report) -> str:
    pages, indexes = counted(report.pages, "page"), counted(report.indexes, "index", "indexes")
    if not report.indexes:
        return pages
    return f"{pages} and {indexes}" if report.pages else indexes
