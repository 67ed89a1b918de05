"""The command `fetch`."""

import time
from pathlib import Path
from typing import Any

import click

from etl.options import QUIET, RELEASES
from etl.speaking import Failed, Speaker, clear_messages, counted, in_megabytes

_MOST_JOBS = 64


@click.command("fetch")
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@click.argument("urls", nargs=-1, metavar="[URL]...")
@RELEASES
@click.option(
    "-s",
    "--stack",
    "stacks",
    multiple=True,
    metavar="NAME",
    help="Only this stack; can be given several times. `root` is a release's whole mirror.",
)
@click.option(
    "--sizes", is_flag=True, help="Also the sizes of tarballs: one request for each binary."
)
@click.option(
    "--jobs",
    type=click.IntRange(1, _MOST_JOBS),
    default=8,
    show_default=True,
    metavar="N",
    help="How much to fetch at a time.",
)
@QUIET
def fetch_command(folder: Path, quiet: bool, **request: Any) -> None:
    """Copy the indexes of build caches into FOLDER, for build to read.

    A URL is a list of build caches, a mirror of layout 3 or 2, or its index; without one, Spack's
    public list is taken. NAME=URL names the release that a mirror stands for. Only what changed is
    fetched, and a run that was broken off goes on where it was.
    """
    # What fetches takes time to import, which other commands need not wait for.
    from etl.fetch import Request, Speech, fetch

    with clear_messages():
        started = time.monotonic()
        say = Speaker(quiet)
        report = fetch(folder, Request(**request), Speech(say.line, say.fault, say.progress))
        fetched = counted(report.fetched, "index", "indexes")
        say.line(
            f"Fetched {fetched} ({in_megabytes(report.bytes)}), "
            f"{report.unchanged:,} unchanged, {report.failed:,} failed into {folder} "
            f"in {time.monotonic() - started:.1f} s"
        )
        if report.failed:
            raise Failed("Not everything was fetched; run the command again to go on.")
