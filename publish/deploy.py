"""Publish the site to a hosting service."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from datasette.inspect import inspect_hash
from datasette.utils import link_or_copy

from publish.fit import releases_that_fit
from publish.hosts import Host, Kit, Place
from publish.live import Live, ask_live
from publish.note import version_note
from publish.site import (
    DATABASE,
    INSPECT,
    METADATA,
    PublishError,
    check_database,
    copy_site,
    pins,
    write_inspect,
)

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?")
"""What all hosts take as a name. Recipes put names into shell commands without quotes."""

Say = Callable[[str], None]


def check_place(host: Host, place: Place) -> None:
    """Make sure that nothing is missing that the host needs.

    Raises:
        PublishError: something is; the message names all of it, and what to do.
    """
    if missing := list(_missing(host, place)):
        raise PublishError("\n".join([f"Nothing was published to {host.title}:", *missing]))


def _missing(host: Host, place: Place) -> Iterator[str]:
    values = {"SERVICE": place.service, "PROJECT": place.project, "REGION": place.region}
    for name in host.needs:
        if not values[name]:
            yield f"- {name} is not set: make publish TARGET={host.name} {name}=…"
        elif not NAME.fullmatch(values[name]):
            yield f"- {name} can have a-z, 0-9 and hyphens inside: {values[name]}"
    if not shutil.which(host.tool):
        yield f"- {host.tool} is not installed, or not on PATH: {host.get_tool}"
    elif host.lacks and (lacking := host.lacks()):
        yield f"- {lacking}"
    if host.plugin and not importlib.util.find_spec(host.plugin):
        package = host.plugin.replace("_", "-")
        yield f"- {package} is not installed: {sys.executable} -m pip install {package}"


def check_room(host: Host, database: Path) -> None:
    """Make sure that the host takes a database of this size.

    Raises:
        PublishError: it does not; the message names the releases that would fit.
    """
    size = database.stat().st_size
    if size <= host.room:
        return
    fitting = " ".join(releases_that_fit(database, host.room))
    advice = (
        f"These releases should fit:\n  make pages RELEASES={fitting!r}\n"
        f"  make publish TARGET={host.name} PAGES=pages …"
        if fitting
        else "No release alone would fit."
    )
    raise PublishError(
        f"{database} has {size / 1e6:,.1f} MB, and {host.title} takes {host.room / 1e6:,.1f} MB: "
        f"{host.room_source}\n{advice}"
    )


def verify(database: Path, sources: Sequence[Path]) -> None:
    """Make sure that the database holds every fact of its sources and nothing else.

    Raises:
        PublishError: `verify` found a difference, and has printed it.
    """
    command = [sys.executable, "-m", "etl", "verify", "--quiet"]
    if subprocess.run([*command, "--", database, *sources], check=False).returncode:
        named = ", ".join(map(str, sources))
        says = "says" if len(sources) == 1 else "say"
        raise PublishError(f"{database} is not published, since it is not what {named} {says}.")


def find_live(host: Host, place: Place, address: str) -> Live | None:
    """The copy that is live, if one is and it can be found.

    Args:
        host: the host, whose tool is asked for the address if none is given.
        place: where the copy would be.
        address: of the copy; may be empty.
    """
    if not address and host.ask_address:
        told = subprocess.run(
            host.ask_address(place),
            capture_output=True,
            text=True,
            check=False,
            env=host_environment(place),
        )
        if told.returncode == 0:
            address = _read_address(host, told.stdout)
    return ask_live(address)


def _read_address(host: Host, said: str) -> str:
    try:
        return host.read_address(said)
    except (ValueError, KeyError, TypeError):
        return ""


def deploy(host: Host, place: Place, database: Path, sources: Sequence[Path], say: Say) -> None:
    """Make the application with `datasette publish` and hand it to the host.

    Args:
        host: the hosting service.
        place: where to publish there.
        database: what to publish.
        sources: what it was built from, for the version note.
        say: called with what happens.

    Raises:
        PublishError: a tool failed; the old copy stays live.
    """
    with tempfile.TemporaryDirectory() as temporary:
        kit = make_kit(Path(temporary) / "kit", database, sources)
        say(f"Publishing {DATABASE} to {host.title} ({kit.note})")
        made = Path(temporary) / "made"
        command = recipe_command(host, place, kit, made)
        environment = host_environment(place)
        if subprocess.run(command, cwd=kit.folder, env=environment, check=False).returncode:
            raise PublishError(f"datasette publish {host.name} failed.")
        if host.correct and host.upload:
            host.correct(made, place, kit)
            host.upload(made, place)


def make_kit(folder: Path, database: Path, sources: Sequence[Path]) -> Kit:
    """Put everything that a recipe needs into a new folder."""
    check_database(database)
    folder.mkdir()
    copy_site(folder)
    shutil.copy(METADATA, folder)
    link_or_copy(str(database.resolve()), str(folder / DATABASE))
    write_inspect(folder / DATABASE, folder / INSPECT)
    return Kit(folder, version_note(database, sources))


def recipe_command(host: Host, place: Place, kit: Kit, made: Path) -> list[str]:
    """The `datasette publish` command, to be run in the folder of the kit.

    Args:
        host: the hosting service.
        place: where to publish there.
        kit: what the site is made of.
        made: a folder that does not exist, for a recipe that does not upload by itself.
    """
    return [
        *(sys.executable, "-m", "datasette", "publish", host.name, DATABASE),
        *("--metadata", METADATA.name, "--template-dir", "templates"),
        *("--plugins-dir", "plugins", "--static", "static:static"),
        *("--version-note", kit.note),
        *(f"--install={package}" for package in (*pins(), *host.adds)),
        *host.recipe(place),
        *(("--generate-dir", str(made)) if host.upload else ()),
        *place.options,
    ]


def host_environment(place: Place) -> Mapping[str, str]:
    """The environment for a host's tool.

    Google's reads project and region from there, since `datasette publish` has no such options,
    and is told not to ask questions.
    """
    google = {
        "CLOUDSDK_CORE_PROJECT": place.project,
        "CLOUDSDK_RUN_REGION": place.region,
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
    }
    return os.environ | {name: value for name, value in google.items() if value}


def database_hash(database: Path) -> str:
    """The hash that `datasette inspect` gives a database."""
    return str(inspect_hash(database))
