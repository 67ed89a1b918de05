"""What a copy of the site is made of, and how Datasette is told of each part."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from web.immutable import files

ROOT = Path(__file__).parents[1]
WEB = ROOT / "web"
METADATA = ROOT / "metadata.yml"
LICENSE = ROOT / "LICENSE"
LOCK = ROOT / "requirements.lock"

DATABASE = "spack-cache.db"
"""The database's file name; Datasette serves it at `/spack-cache`, which the site relies on."""

PACKAGES = ("web/immutable", "web/spack", "etl")
"""The folders that the plugins are made of."""

INSPECT = "inspect-data.json"
"""File name of what `datasette inspect` found, as Datasette's configuration directory has it."""


class PublishError(Exception):
    """Something that the person who publishes can put right; the message says how."""


def settings() -> dict[str, bool | int | str]:
    """Datasette's settings for this site (`web/settings.json`, the only place they stand)."""
    found: dict[str, bool | int | str] = json.loads((WEB / "settings.json").read_text())
    return found


def setting_options(values: Mapping[str, bool | int | str]) -> list[str]:
    """Spell settings as options of `datasette serve`: `--setting suggest_facets off`."""
    options: list[str] = []
    for name, value in sorted(values.items()):
        shown = ("off", "on")[value] if isinstance(value, bool) else str(value)
        options += ["--setting", name, shown]
    return options


def serve_options(database: Path, inspect: Path) -> list[str]:
    """The options of `datasette serve` for the site as it stands in this project.

    Args:
        database: the database, served as immutable.
        inspect: what `datasette inspect` wrote about it.
    """
    return [
        *("--immutable", str(database), "--inspect-file", str(inspect)),
        *("--metadata", str(METADATA), "--template-dir", str(WEB / "templates")),
        *("--plugins-dir", str(WEB / "plugins"), "--static", f"static:{WEB / 'static'}"),
        *("--cors", *setting_options(settings())),
    ]


def check_database(database: Path) -> None:
    """Make sure that there is a database and that it has the name that the site relies on.

    Raises:
        PublishError: it has not, or it is no database that can be served.
    """
    if not database.is_file():
        raise PublishError(f"There is no {database}. Build it first: make")
    if database.name != DATABASE:
        raise PublishError(f"The site needs its database to be called {DATABASE}: {database}")
    try:
        files.check_database(database)
    except files.UnfitFileError as error:
        raise PublishError(str(error)) from None


def check_inspect(inspect: Path, database: Path) -> None:
    """Make sure that what `datasette inspect` wrote is about this database.

    Datasette reads it before it loads a plugin, so nothing else could say what is wrong with it.

    Raises:
        PublishError: it is not.
    """
    try:
        files.check_inspect_file(inspect, database)
    except files.UnfitFileError as error:
        raise PublishError(str(error)) from None


def copy_site(folder: Path) -> None:
    """Copy templates, plugins and static files into a folder, the licence with the last.

    The packages that the plugins are made of go below the plugins, because recipes of hosts copy
    that folder and no other.
    """
    for part in ("templates", "plugins", "static"):
        _copy_folder(WEB / part, folder / part)
    for package in PACKAGES:
        _copy_folder(ROOT / package, folder / "plugins" / package)
    shutil.copy(WEB / "__init__.py", folder / "plugins" / "web")
    shutil.copy(LICENSE, folder / "static" / "LICENSE.txt")


def _copy_folder(source: Path, to: Path) -> None:
    shutil.copytree(source, to, ignore=shutil.ignore_patterns("__pycache__"))


def write_inspect(database: Path, inspect: Path) -> None:
    """Write what `datasette inspect` finds: the hash of the database and the counts of rows."""
    run = [sys.executable, "-m", "datasette", "inspect", database.name]
    subprocess.run([*run, "--inspect-file", inspect.absolute()], cwd=database.parent, check=True)


def pins() -> Iterator[str]:
    """The exact version of everything that runs the site, as `name==version`, from the lock file.

    Raises:
        PublishError: the lock file has a line that a host's recipe could not repeat: recipes
            quote nothing, so no condition (`; sys_platform == …`) survives them.
    """
    for line in LOCK.read_text().splitlines():
        if line.startswith(("#", " ")) or not line:
            continue
        pin = line.removesuffix("\\").strip()
        name, separator, version = pin.partition("==")
        if not (separator and name and version) or not set(version).isdisjoint(" ;,*"):
            raise PublishError(f"{LOCK.name}: not of the form name==version: {pin}")
        yield pin
