"""The hosting services: what each needs, what it takes, and what its recipe leaves to put right.

`datasette publish` makes the application for each. The recipe for Cloud Run also uploads it. The
other three can write it to a folder, which is done here, because each needs a correction:

- Fly: its `--region` decides where a volume goes, and not where the site runs.
- Heroku: its inspect step names no database, so nothing is inspected; it asks for Python 3.11.0
  in a `runtime.txt` that Heroku has given up; it does not notice when the upload fails.
- Vercel: it leaves the inspect data and the version note out, asks for a package without a
  version, and its builder needs a Python that Vercel has given up.
"""

import json
import secrets
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from publish.site import DATABASE, INSPECT, PublishError, pins, setting_options, settings

PYSQLITE3 = "pysqlite3-binary==0.5.4.post2"
"""What the recipe for Vercel asks for without a version, because Python's SQLite is old there."""

VERCEL_BUILDER = "@vercel/python@4.6.0"
"""The builder for Python on Vercel; the recipe's own, 3.0.7, wants Python 3.9."""

HEROKU_PYTHON = "3.13"
"""Heroku takes the newest patch of it (https://devcenter.heroku.com/articles/python-runtimes)."""

BEHIND_HTTPS = {"force_https_urls": True}
"""Every host here ends HTTPS before Datasette, which could not know otherwise."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to publish.

    Attributes:
        service: name of the service, app or project at the host.
        project: Google Cloud project; empty for the other hosts.
        region: region at the host; empty where it has none to choose.
        options: more options for `datasette publish`.
    """

    service: str
    project: str
    region: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kit:
    """What a recipe is given.

    Attributes:
        folder: with the database, its inspect data, metadata, templates, plugins, static files.
        note: the version note.
    """

    folder: Path
    note: str


@dataclass(frozen=True, slots=True)
class Host:
    """A hosting service.

    Attributes:
        name: as `datasette publish` calls it.
        title: as its owner calls it.
        tool: its command line tool.
        get_tool: where to get that.
        needs: what must be said of the place, as names of variables.
        room: bytes that a database may have.
        room_source: where that number is from.
        recipe: the options for `datasette publish` that only this host has.
        plugin: the Python package that adds the host to `datasette publish`, if it is one.
        adds: packages that the recipe installs beside the site's, as `name==version`.
        lacks: says what else is missing, and what to do; None if nothing is.
        correct: puts the folder that the recipe wrote right; None if the recipe also uploads.
        upload: hands the folder to the host.
        ask_address: the command that tells the address of what is live, if there is one.
        read_address: finds the address in what that command says.
    """

    name: str
    title: str
    tool: str
    get_tool: str
    needs: tuple[str, ...]
    room: int
    room_source: str
    recipe: Callable[[Place], list[str]]
    plugin: str | None = None
    adds: tuple[str, ...] = ()
    lacks: Callable[[], str | None] | None = None
    correct: Callable[[Path, Place, Kit], None] | None = None
    upload: Callable[[Path, Place], None] | None = None
    ask_address: Callable[[Place], list[str]] | None = None
    read_address: Callable[[str], str] = str.strip


def _extra_options() -> list[str]:
    return ["--extra-options", " ".join(setting_options(settings() | BEHIND_HTTPS))]


def _cloudrun(place: Place) -> list[str]:
    return ["--service", place.service, *_extra_options()]


def _cloudrun_address(place: Place) -> list[str]:
    describe = ["gcloud", "run", "services", "describe", place.service, "--platform=managed"]
    return [*describe, "--format=value(status.url)"]


def _fly(place: Place) -> list[str]:
    return ["--app", place.service, "--region", place.region, *_extra_options()]


def _correct_fly(folder: Path, place: Place, _kit: Kit) -> None:
    app = f'app = "{place.service}"\n'
    _replace(folder / "fly.toml", app, f'{app}primary_region = "{place.region}"\n')


def _upload_fly(folder: Path, place: Place) -> None:
    app = place.service
    status = subprocess.run(
        ["flyctl", "status", "--app", app, "--json"], capture_output=True, text=True, check=False
    )
    if status.returncode:
        if "Could not find App" not in status.stderr:
            raise PublishError(f"flyctl status: {status.stderr.strip()}")
        run(["flyctl", "apps", "create", "--name", app, "--org", "personal", "--json"], folder)
    run(
        ["flyctl", "deploy", ".", "--app", app, "--config", "fly.toml", "--remote-only"],
        folder,
    )


def _lacks_heroku_builds() -> str | None:
    listed = subprocess.run(["heroku", "plugins"], capture_output=True, text=True, check=False)
    if "heroku-builds" in listed.stdout.split():
        return None
    return "heroku's builds plugin is not installed: heroku plugins:install heroku-builds"


def _heroku(place: Place) -> list[str]:
    return ["--name", place.service, *_extra_options()]


def _correct_heroku(folder: Path, _place: Place, _kit: Kit) -> None:
    (folder / "requirements.txt").write_text("\n".join([*pins(), ""]))
    (folder / "runtime.txt").unlink()
    (folder / ".python-version").write_text(f"{HEROKU_PYTHON}\n")
    (folder / "bin" / "post_compile").write_text(
        f"#!/bin/sh\ndatasette inspect {DATABASE} --inspect-file {INSPECT}\n"
    )


def _upload_heroku(folder: Path, place: Place) -> None:
    listed = run(["heroku", "apps:list", "--json"], folder, capture=True)
    if place.service not in {app["name"] for app in json.loads(listed)}:
        run(["heroku", "apps:create", place.service, "--json"], folder)
    run(["heroku", "builds:create", "-a", place.service, "--include-vcs-ignore"], folder)


def _vercel(place: Place) -> list[str]:
    return ["--project", place.service, *setting_options(settings() | BEHIND_HTTPS)]


def _correct_vercel(folder: Path, _place: Place, kit: Kit) -> None:
    (folder / "requirements.txt").write_text("\n".join([*pins(), PYSQLITE3, ""]))
    built = {"src": "index.py", "use": VERCEL_BUILDER}
    routes = [{"src": "(.*)", "dest": "index.py"}]
    application = {"version": 2, "builds": [built], "routes": routes}
    (folder / "vercel.json").write_text(json.dumps(application, indent=4))
    shutil.copy(kit.folder / INSPECT, folder)
    _replace(
        folder / "index.py",
        "    cors=True,\n",
        "    cors=True,\n"
        f"    inspect_data=json.loads(pathlib.Path({INSPECT!r}).read_text()),\n"
        f"    version_note={kit.note!r},\n",
    )


def _upload_vercel(folder: Path, place: Place) -> None:
    run(["vercel", "link", "--yes", "--project", place.service], folder)
    secret = f"DATASETTE_SECRET={secrets.token_hex(32)}"
    run(["vercel", "deploy", "--prod", "--yes", "--env", secret], folder)


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    if text.count(old) != 1:
        raise PublishError(f"The recipe has changed: {old!r} is not once in its {file.name}")
    file.write_text(text.replace(old, new))


def run(command: Sequence[str], folder: Path, *, capture: bool = False) -> str:
    """Run a host's tool in a folder; what it says goes to the terminal, or is returned.

    Raises:
        PublishError: it failed.
    """
    output = subprocess.PIPE if capture else None
    done = subprocess.run(command, cwd=folder, stdout=output, text=True, check=False)
    if done.returncode:
        raise PublishError(f"Failed with status {done.returncode}: {' '.join(command[:3])}")
    return done.stdout or ""


HOSTS: Mapping[str, Host] = {
    host.name: host
    for host in (
        Host(
            name="cloudrun",
            title="Google Cloud Run",
            tool="gcloud",
            get_tool="https://cloud.google.com/sdk/docs/install",
            needs=("SERVICE", "PROJECT", "REGION"),
            room=2_000_000_000,
            room_source="https://github.com/simonw/datasette/issues/1197",
            recipe=_cloudrun,
            ask_address=_cloudrun_address,
        ),
        Host(
            name="fly",
            title="Fly",
            tool="flyctl",
            get_tool="https://fly.io/docs/flyctl/install/",
            needs=("SERVICE", "REGION"),
            room=7_000_000_000,
            room_source="https://fly.io/docs/getting-started/troubleshooting/ (images of 8 GB)",
            recipe=_fly,
            plugin="datasette_publish_fly",
            correct=_correct_fly,
            upload=_upload_fly,
            ask_address=lambda place: ["flyctl", "status", "--app", place.service, "--json"],
            read_address=lambda said: f"https://{json.loads(said)['Hostname']}",
        ),
        Host(
            name="vercel",
            title="Vercel",
            tool="vercel",
            get_tool="https://vercel.com/docs/cli",
            needs=("SERVICE",),
            room=100_000_000,
            room_source="https://vercel.com/docs/limits (uploads of 100 MB, functions of 250 MB)",
            recipe=_vercel,
            plugin="datasette_publish_vercel",
            adds=(PYSQLITE3,),
            correct=_correct_vercel,
            upload=_upload_vercel,
        ),
        Host(
            name="heroku",
            title="Heroku",
            tool="heroku",
            get_tool="https://devcenter.heroku.com/articles/heroku-cli",
            needs=("SERVICE",),
            room=450_000_000,
            room_source="https://devcenter.heroku.com/articles/slug-compiler (slugs of 500 MB)",
            recipe=_heroku,
            lacks=_lacks_heroku_builds,
            correct=_correct_heroku,
            upload=_upload_heroku,
            ask_address=lambda place: ["heroku", "apps:info", "--json", "-a", place.service],
            read_address=lambda said: str(json.loads(said)["app"]["web_url"]),
        ),
    )
}
