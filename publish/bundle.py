"""The site as a folder that Docker builds anywhere, for people with a host of their own."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from etl.lock import locked
from publish.note import version_note
from publish.site import (
    DATABASE,
    INSPECT,
    LICENSE,
    LOCK,
    METADATA,
    WEB,
    PublishError,
    check_database,
    copy_site,
    write_inspect,
)

# Python 3.13.15 on Debian 13, whose SQLite is 3.46; the digest names one build of it.
IMAGE = (
    "python:3.13.15-slim-trixie"
    "@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b"
)

DOCKERFILE = f"""\
FROM {IMAGE}
WORKDIR /srv
COPY requirements.lock ./
RUN python -m pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock
COPY LICENSE ./
COPY site ./site
ENV PYTHONDONTWRITEBYTECODE=1 PORT=8001 VERSION_NOTE={{note}}
EXPOSE 8001
USER 10001:10001
HEALTHCHECK --start-period=30s --timeout=5s CMD python -c \\
    "import urllib.request as u; u.urlopen('http://127.0.0.1:$PORT/-/health', timeout=4)"
CMD exec datasette serve site --cors --host 0.0.0.0 --port "$PORT" --version-note "$VERSION_NOTE"
"""

COMPOSE = """\
# docker compose up --build --detach
services:
  spack-cache:
    build: .
    ports:
      - "${PORT:-8001}:8001"
    environment:
      # Signs cookies. Without it each start makes up its own, which this site can live with.
      - DATASETTE_SECRET
      # The proxy before it, whose word is taken for who asks and whether by HTTPS.
      - FORWARDED_ALLOW_IPS
    restart: unless-stopped
    # Requests under way are finished before it stops.
    stop_grace_period: 30s
    read_only: true
    # SQLite sorts here what does not fit into its memory.
    tmpfs:
      - /tmp:size=512m
    mem_limit: 1g
    cap_drop:
      - ALL
    security_opt:
      - no-new-privileges:true
"""


def write_bundle(folder: Path, database: Path, sources: Iterable[Path]) -> None:
    """Write the folder anew; what was in it before is gone when the new one is complete.

    The subfolder `site` is a configuration directory of Datasette
    (https://docs.datasette.io/en/stable/settings.html#configuration-directory-mode).

    Args:
        folder: where to.
        database: the database.
        sources: what it was built from, for the version note.

    Raises:
        FailedError: another run is writing it.
        PublishError: there is no such database, its name is not the site's, or the folder holds
            something else.
    """
    check_database(database)
    if folder.exists() and not (folder / "Dockerfile").is_file():
        raise PublishError(f"{folder} is there and is no bundle, so it is not replaced.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f".{folder.name}.lock"), str(folder)):
        _write(folder, database, sources)


def _write(folder: Path, database: Path, sources: Iterable[Path]) -> None:
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    site = new / "site"
    site.mkdir(parents=True)
    copy_site(site)
    shutil.copy(METADATA, site)
    shutil.copy(WEB / "settings.json", site)
    shutil.copy(database, site / DATABASE)
    write_inspect(site / DATABASE, site / INSPECT)
    shutil.copy(LICENSE, new / "LICENSE")
    shutil.copy(LOCK, new)
    (new / "Dockerfile").write_text(DOCKERFILE.format(note=version_note(database, sources)))
    (new / "compose.yml").write_text(COMPOSE)
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)
