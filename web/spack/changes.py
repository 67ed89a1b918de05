"""`/changes`: two releases side by side: what came, what went, new versions, what was rebuilt.

`release=` and `older=` are releases; without them the current one is compared with the one before
it, as the question `release_changes` does. `/changes.json` and `/changes.md` hold the same for
programs, and to be pasted into a message.

A spec counts as rebuilt if the newer release has it in place of another one of the same version
for the same operating system and target, whose hash is gone. So there are as many as the fewer of
those that came and those that went.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database
from datasette.utils.asgi import Request, Response

from etl.order import newest_first
from web.immutable.asgi import cors_headers
from web.spack.changes_text import as_markdown
from web.spack.names import DATABASE, RELEASES_SQL

VERSIONS_SQL = """
    with present as (
        select
            spec as hash,
            max("release" = :release) as in_newer,
            max("release" = :older) as in_older
        from spec_releases where "release" in (:release, :older)
        group by spec
    ),
    by_system as (
        select
            package,
            version,
            sum(in_newer) as num_newer,
            sum(in_older) as num_older,
            sum(in_newer > in_older) as added,
            sum(in_older > in_newer) as removed
        from present cross join specs using (hash)
        group by package, version, os, target
    )
    select
        package, version, sum(num_newer), sum(num_older), sum(added), sum(removed),
        sum(min(added, removed)), sum(added and removed)
    from by_system
    group by package, version
"""

STACKS_SQL = """
    select stack, sum(in_newer), sum(in_older), sum(in_newer > in_older), sum(in_older > in_newer)
    from (
        select
            stack,
            max("release" = :release) as in_newer,
            max("release" = :older) as in_older
        from spec_stacks where "release" in (:release, :older)
        group by stack, spec
    )
    group by stack order by stack
"""


class Total(NamedTuple):
    """How many there are of something.

    Attributes:
        newer: In the newer release.
        older: In the older one.
        added: Only in the newer one.
        removed: Only in the older one.
    """

    newer: int
    older: int
    added: int
    removed: int


class Versions(NamedTuple):
    """A package in both releases, and versions that only one of them has.

    Attributes:
        package: The package.
        versions: These versions, newest first.
        newest: The newest version that the other release has.
    """

    package: str
    versions: list[str]
    newest: str


class Rebuilt(NamedTuple):
    """A version that has other hashes for the same system.

    Attributes:
        package: The package.
        version: The version.
        systems: For how many systems.
        specs: How many specs have another hash.
    """

    package: str
    version: str
    systems: int
    specs: int


class StackChange(NamedTuple):
    """A stack in both releases, or in one of them."""

    stack: str
    specs: Total


class Changes(NamedTuple):
    """What differs between two releases.

    Attributes:
        release: The newer release.
        older: The older release.
        packages: How many packages there are.
        versions: How many versions of packages.
        specs: How many specs.
        rebuilt_specs: How many of the added specs are rebuilt ones.
        added_packages: The packages that only the newer one has, with its versions.
        removed_packages: The packages that only the older one has, with its versions.
        new_versions: The versions that only the newer one has, of packages in both.
        removed_versions: The versions that only the older one has, of packages in both.
        rebuilt: The versions that were rebuilt, by package.
        stacks: The stacks, by name.
    """

    release: str
    older: str
    packages: Total
    versions: Total
    specs: Total
    rebuilt_specs: int
    added_packages: list[Versions]
    removed_packages: list[Versions]
    new_versions: list[Versions]
    removed_versions: list[Versions]
    rebuilt: list[Rebuilt]
    stacks: list[StackChange]


class Chosen(NamedTuple):
    """The releases that are compared; a name that is none is in `unknown`."""

    release: str
    older: str
    unknown: str = ""


class _Row(NamedTuple):
    """What VERSIONS_SQL finds of a version."""

    package: str
    version: str
    newer: int
    older: int
    added: int
    removed: int
    rebuilt: int
    systems: int


@hookimpl  # type: ignore[untyped-decorator]
def register_routes() -> list[tuple[str, Callable[..., Awaitable[Response]]]]:
    """Serve the comparison."""
    return [(r"^/changes(?:\.(?P<format>json|md))?$", changes_page)]


@hookimpl  # type: ignore[untyped-decorator]
def prepare_jinja2_environment(env: Any, datasette: Datasette) -> None:
    """Give templates the address of a comparison."""
    env.globals["changes_url"] = lambda form="", **names: changes_url(datasette, form, **names)


def changes_url(datasette: Datasette, form: str = "", **names: str) -> str:
    """Return the address of a comparison in a format: "" for the page, `json` or `md`."""
    path: str = datasette.urls.path(f"/changes.{form}" if form else "/changes")
    return f"{path}?{urlencode(names)}" if names else path


async def changes_page(datasette: Datasette, request: Request) -> Response:
    """Compare two releases, or say which is none."""
    db = datasette.get_database(DATABASE)
    form = request.url_vars["format"] or ""
    releases = [(row["name"], row["kind"]) for row in await db.execute_once(RELEASES_SQL)]
    chosen = choose(releases, *(request.args.get(name) or "" for name in ("release", "older")))
    headers = cors_headers(datasette)
    if chosen.unknown:
        message = f"“{chosen.unknown[:100]}” is no release that is known here."
        if form == "json":
            return Response.json({"ok": False, "error": message}, status=404, headers=headers)
        if form == "md":
            return Response.text(f"{message}\n", status=404, headers=headers)
        return await _html(datasette, request, releases, chosen, message=message)
    found = await changes(db, chosen.release, chosen.older)
    if form == "json":
        return Response.json(as_json(found), headers=headers)
    text = as_markdown(found)
    if form == "md":
        content_type = "text/markdown; charset=utf-8"
        return Response(text, headers=headers, content_type=content_type)
    return await _html(datasette, request, releases, chosen, changes=found, markdown=text)


def choose(releases: Sequence[tuple[str, str]], release: str, older: str) -> Chosen:
    """Return the releases to compare.

    Args:
        releases: Names and kinds of all releases, newest first.
        release: The newer one, or "" for the current one.
        older: The older one, or "" for the one before it. Of a build cache that is no release of
            Spack, and of the first one, that is the current one.
    """
    names = [name for name, _ in releases]
    for name in (release, older):
        if name and name not in names:
            return Chosen(release, older, unknown=name)
    newer = release or names[0]
    place = names.index(newer)
    before = [] if releases[place][1] == "mirror" else releases[place + 1 : place + 2]
    default = next((name for name, kind in before if kind != "mirror"), names[0])
    return Chosen(newer, older or default)


async def changes(db: Database, release: str, older: str) -> Changes:
    """Return what differs between two releases.

    Args:
        db: The database.
        release: The newer one.
        older: The older one.
    """
    names = {"release": release, "older": older}
    rows = [_Row(*row) for row in await db.execute(VERSIONS_SQL, names)]
    stacks = [StackChange(row[0], Total(*row[1:])) for row in await db.execute(STACKS_SQL, names)]
    newer = {row.package for row in rows if row.newer}
    before = {row.package for row in rows if row.older}
    return Changes(
        release=release,
        older=older,
        packages=_total(newer, before),
        versions=Total(
            sum(row.newer > 0 for row in rows),
            sum(row.older > 0 for row in rows),
            sum(not row.older for row in rows),
            sum(not row.newer for row in rows),
        ),
        specs=Total(
            sum(row.newer for row in rows),
            sum(row.older for row in rows),
            sum(row.added for row in rows),
            sum(row.removed for row in rows),
        ),
        rebuilt_specs=sum(row.rebuilt for row in rows),
        added_packages=_versions(row for row in rows if row.package not in before),
        removed_packages=_versions(row for row in rows if row.package not in newer),
        new_versions=_only_in(rows, newer & before, lambda row: not row.older),
        removed_versions=_only_in(rows, newer & before, lambda row: not row.newer),
        rebuilt=[
            Rebuilt(row.package, row.version, row.systems, row.rebuilt)
            for row in _in_order(row for row in rows if row.rebuilt)
        ],
        stacks=stacks,
    )


def _total(newer: set[str], older: set[str]) -> Total:
    return Total(len(newer), len(older), len(newer - older), len(older - newer))


def _in_order(rows: Iterable[_Row]) -> list[_Row]:
    """Return rows by package, and the newest version first."""
    by_package: dict[str, dict[str, _Row]] = defaultdict(dict)
    for row in rows:
        by_package[row.package][row.version] = row
    return [
        versions[version]
        for _, versions in sorted(by_package.items())
        for version in newest_first(versions)
    ]


def _versions(rows: Iterable[_Row]) -> list[Versions]:
    by_package: dict[str, list[str]] = defaultdict(list)
    for row in _in_order(rows):
        by_package[row.package].append(row.version)
    return [Versions(package, versions, "") for package, versions in by_package.items()]


def _only_in(
    rows: Sequence[_Row], packages: set[str], is_meant: Callable[[_Row], bool]
) -> list[Versions]:
    """Return the versions that are meant, and the newest of the others, of packages in both."""
    meant = _versions(row for row in rows if row.package in packages and is_meant(row))
    having = {each.package for each in meant}
    others = _versions(row for row in rows if row.package in having and not is_meant(row))
    newest = {each.package: each.versions[0] for each in others}
    return [each._replace(newest=newest.get(each.package, "")) for each in meant]


def as_json(found: Changes) -> dict[str, Any]:
    """Return all that was found, for programs."""
    listed = {"added_packages", "removed_packages", "new_versions", "removed_versions", "rebuilt"}
    told: dict[str, Any] = {"ok": True}
    for name, value in found._asdict().items():
        if isinstance(value, Total):
            told[name] = value._asdict()
        elif name in listed:
            told[name] = [each._asdict() for each in value]
        else:
            told[name] = value
    for name in ("added_packages", "removed_packages"):
        for each in told[name]:
            del each["newest"]
    told["stacks"] = [{"stack": each.stack, **each.specs._asdict()} for each in found.stacks]
    return told


async def _html(
    datasette: Datasette,
    request: Request,
    releases: Sequence[tuple[str, str]],
    chosen: Chosen,
    *,
    changes: Changes | None = None,
    markdown: str = "",
    message: str = "",
) -> Response:
    html = await datasette.render_template(
        "changes.html",
        {
            "releases": [name for name, _ in releases],
            "chosen": chosen,
            "changes": changes,
            "markdown": markdown,
            "message": message,
        },
        request=request,
        view_name="changes",
    )
    return Response.html(html, status=404 if message else 200, headers=cors_headers(datasette))
