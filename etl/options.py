"""Options that several commands have."""

import click

RELEASES = click.option(
    "-r",
    "--release",
    "releases",
    multiple=True,
    metavar="NAME",
    help="Only this release; can be given several times.",
)
QUIET = click.option("--quiet", is_flag=True, help="Say nothing but what is wrong.")
