"""The command line; the Makefile's targets call it. Variables of make arrive as environment."""

import shlex
from pathlib import Path

import click

from etl.errors import FailedError
from publish import bundle, deploy, dist, live, pages
from publish.hosts import HOSTS, Host, Place
from publish.site import PublishError, check_database, check_inspect, serve_options


class Group(click.Group):
    """Shows a `PublishError`, or what the etl could not do, as a message."""

    def invoke(self, context: click.Context) -> object:
        """Run the command."""
        try:
            return super().invoke(context)
        except (PublishError, FailedError) as error:
            raise click.ClickException(str(error)) from None


DATABASE = click.argument("database", metavar="DB", type=click.Path(path_type=Path))
INTO = click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))


def _exist(
    _context: click.Context, _argument: click.Parameter, sources: tuple[Path, ...]
) -> tuple[Path, ...]:
    for source in sources:
        path = source if source.exists() else Path(str(source).partition("=")[2] or source)
        if not path.exists():
            raise click.BadParameter(f"{path} does not exist.")
    return sources


SOURCES = click.argument(
    "sources",
    metavar="SOURCE...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    callback=_exist,
)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Serve, bundle and publish the site; fetch its pages; write its data as files."""


@main.command("options")
@DATABASE
@click.argument("inspect", type=click.Path(path_type=Path))
def options_command(database: Path, inspect: Path) -> None:
    """Print the options of `datasette serve` for the site, whose files are fit to be served."""
    check_database(database)
    check_inspect(inspect, database)
    click.echo(shlex.join(serve_options(database, inspect)))


TARGET = click.option(
    "--target",
    "host",
    envvar="TARGET",
    default="cloudrun",
    type=click.Choice(list(HOSTS)),
    callback=lambda _context, _option, name: HOSTS[name],
    help="Hosting service (TARGET).",
)
SERVICE = click.option(
    "--service", envvar="SERVICE", default="", help="Service, app or project there (SERVICE)."
)
PROJECT = click.option(
    "--project",
    envvar=["PROJECT", "CLOUDSDK_CORE_PROJECT"],
    default="",
    help="Google Cloud project (PROJECT).",
)
REGION = click.option(
    "--region",
    envvar=["REGION", "CLOUDSDK_RUN_REGION"],
    default="",
    help="Region at Cloud Run and Fly (REGION).",
)


@main.command("check")
@TARGET
@SERVICE
@PROJECT
@REGION
def check_command(host: Host, service: str, project: str, region: str) -> None:
    """Say what is missing for publishing, before anything takes time."""
    deploy.check_place(host, Place(service, project, region))


def _split(text: str) -> tuple[str, ...]:
    """Split options as a shell does."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}; close every quote.") from None


@main.command("deploy")
@DATABASE
@SOURCES
@TARGET
@SERVICE
@PROJECT
@REGION
@click.option(
    "--live", "address", envvar="LIVE", default="", help="Address of what is live (LIVE)."
)
@click.option("--force", envvar="FORCE", default="", help="Anything: deploy in any case (FORCE).")
@click.option(
    "--options",
    envvar="OPTIONS",
    default="",
    callback=lambda _context, _option, text: _split(text),
    help="More for datasette publish (OPTIONS).",
)
def deploy_command(
    database: Path,
    sources: tuple[Path, ...],
    host: Host,
    service: str,
    project: str,
    region: str,
    address: str,
    force: str,
    options: tuple[str, ...],
) -> None:
    """Publish DB, made of each SOURCE, to a hosting service."""
    place = Place(service, project, region, options)
    deploy.check_place(host, place)
    check_database(database)
    deploy.check_room(host, database)
    deploy.verify(database, sources)
    if not force and _is_live(deploy.find_live(host, place, address), database):
        return
    deploy.deploy(host, place, database, sources, click.echo)


def _is_live(found: live.Live | None, database: Path) -> bool:
    if found is None:
        click.echo("Nothing of this site is live, or LIVE does not say where.")
        return False
    same = found.hash == deploy.database_hash(database)
    if same:
        click.echo(
            f"{found.address} serves this database already ({found.version_note}); "
            "FORCE=1 publishes it all the same."
        )
    return same


@main.command("bundle")
@DATABASE
@SOURCES
@INTO
def bundle_command(database: Path, sources: tuple[Path, ...], folder: Path) -> None:
    """Write FOLDER, from which Docker builds the site, with DB made of each SOURCE."""
    bundle.write_bundle(folder, database, sources)
    click.echo(f"{folder} is complete: docker compose --project-directory {folder} up --build")


@main.command("pages")
@INTO
@click.option(
    "--releases",
    envvar="RELEASES",
    default="",
    help="Names of releases with spaces between, or all (RELEASES).",
)
@click.option(
    "--source",
    envvar="SOURCE",
    default=pages.SOURCE,
    show_default=True,
    help="Repository of the pages (SOURCE).",
)
def pages_command(folder: Path, releases: str, source: str) -> None:
    """Fetch the pages of releases into FOLDER."""
    if not releases.split():
        raise PublishError('Which releases? RELEASES="develop v0.23.1", or RELEASES=all')
    pages.fetch(folder, releases.split(), source, click.echo)


@main.command("dist")
@DATABASE
@INTO
def dist_command(database: Path, folder: Path) -> None:
    """Write DB compressed, its tables as CSV and Parquet, checksums and a description."""
    dist.write_dist(folder, database)
    for part in dist.PARTS:
        click.echo(folder / part)
