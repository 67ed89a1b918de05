"""The systems: which packages have a binary that runs on one, and which have none.

    /systems                                       all operating systems of a release
    /systems/rhel8?machine=zen4&release=develop    one of them

Both are JSON too (`/systems.json`, `/systems/rhel8.json?…`), and the lists of a system are CSV.
Names are taken in capitals or not. `os`, `machine` and `release` are what a visitor's own system is
called everywhere on the site, so `/systems?os=rhel8&machine=zen4` leads to that system's page: a
form needs nothing else. What `q` and `stack` leave of the lists is in every format.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlencode

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils import tilde_decode, tilde_encode
from datasette.utils.asgi import Request, Response
from markupsafe import Markup, escape

from web.immutable.asgi import cors_headers
from web.spack.inventory import inventory_of, stacks_of
from web.spack.names import Places
from web.spack.system import (
    LONGEST_WORD,
    Apart,
    Choices,
    Chosen,
    SystemPage,
    Unknown,
    UnknownNameError,
    apart,
    chosen_in,
    named,
    system_csv,
    system_json,
    system_page,
    systems_json,
    systems_page,
)

PLAIN = re.compile("[A-Za-z0-9_-]+")
"""What no address and no page spells otherwise, as nearly all names."""

PACKAGES_FILTERED = ("oses__arraycontains", "targets__arraycontains", "releases__arraycontains")
"""Filters of the table of packages by lists that do not tell what belongs together."""


@hookimpl  # type: ignore[untyped-decorator]
def register_routes() -> list[tuple[str, Callable[..., Awaitable[Response]]]]:
    """Serve the list of systems, and the page of each."""
    return [
        (r"^/systems(?:\.(?P<format>json))?$", systems),
        (r"^/systems/(?P<os>[^/]+?)(?:\.(?P<format>json|csv))?$", system),
    ]


async def systems(datasette: Datasette, request: Request) -> Response:
    """List the operating systems of a release; lead to one if it is asked for by a form."""
    form = request.url_vars["format"] or ""
    os, machine, release = _asked(request)
    if os and not form:
        pairs = {"machine": machine, "release": release}
        return Response.redirect(system_address(datasette, os, pairs))
    try:
        inventory = await inventory_of(datasette)
        page = systems_page(inventory, chosen_in(inventory, os, machine, release))
    except UnknownNameError as error:
        return await _refused(datasette, request, form, error.unknown)
    if form:
        return Response.json(systems_json(page), headers=cors_headers(datasette))
    return Response.html(
        await datasette.render_template("systems.html", {"page": page}, request, "systems")
    )


async def system(datasette: Datasette, request: Request) -> Response:
    """Say which packages have a binary that runs on a system."""
    form = request.url_vars["format"] or ""
    try:
        page = await _page(datasette, request)
    except UnknownNameError as error:
        return await _refused(datasette, request, form, error.unknown)
    if form == "json":
        return Response.json(system_json(page), headers=cors_headers(datasette))
    if form == "csv":
        return Response(
            system_csv(page),
            headers=cors_headers(datasette),
            content_type="text/csv; charset=utf-8",
        )
    context = {"page": page, "address": _addressing(datasette, page)}
    return Response.html(await datasette.render_template("system.html", context, request, "system"))


async def _page(datasette: Datasette, request: Request) -> SystemPage:
    _, machine, release = _asked(request)
    inventory = await inventory_of(datasette)
    os = tilde_decode(unquote(request.url_vars["os"]))
    chosen = chosen_in(inventory, os, machine, release)
    stacks = await stacks_of(datasette, chosen.release)
    stack = named("stack", request.args.get("stack") or "", stacks)
    q = " ".join((request.args.get("q") or "").split())[:LONGEST_WORD]
    return system_page(inventory, stacks, chosen, stack=stack, q=q)


def _asked(request: Request) -> Chosen:
    return Chosen(*((request.args.get(name) or "").strip() for name in Chosen._fields))


def system_address(datasette: Datasette, os: str, pairs: Mapping[str, str], form: str = "") -> str:
    """Return the address of a system's page.

    Args:
        datasette: Where it is served.
        os: The operating system.
        pairs: What else is asked for; what is "" is left out.
        form: The format: "", `json` or `csv`.
    """
    path = f"/systems/{tilde_encode(os)}{'.' if form else ''}{form}"
    asked = urlencode({key: value for key, value in pairs.items() if value})
    return f"{datasette.urls.path(path)}{'?' if asked else ''}{asked}"


def _addressing(datasette: Datasette, page: SystemPage) -> Callable[..., str]:
    """Return what gives a page's own address, in a format, or with something changed."""

    def address(form: str = "", **changes: str) -> str:
        pairs = page.chosen._asdict() | {"stack": page.stack, "q": page.q} | changes
        return system_address(datasette, pairs.pop("os"), pairs, form)

    return address


async def _refused(datasette: Datasette, request: Request, form: str, unknown: Unknown) -> Response:
    """Say that a name is unknown, as the format that was asked for has it."""
    headers = cors_headers(datasette)
    if form == "csv":
        return Response.text(f"{unknown.message}\n", status=404, headers=headers)
    if form == "json":
        told = {"ok": False, "error": unknown.message, "status": 404, "title": None}
        return Response.json(told, status=404, headers=headers)
    context = {"unknown": unknown, "instead": _instead(datasette, request, unknown)}
    html = await datasette.render_template("no_system.html", context, request, "no_system")
    return Response.html(html, status=404, headers=headers)


PARAMETERS = {
    "operating system": "os",
    "CPU target": "machine",
    "release": "release",
    "stack": "stack",
}
"""What the kinds of unknown names are called in addresses."""


def _instead(datasette: Datasette, request: Request, unknown: Unknown) -> Callable[[str], str]:
    """Return what gives the same address with another name in the place of the unknown one."""
    os = request.url_vars.get("os")
    asked = _asked(request)._asdict() | {"stack": request.args.get("stack") or ""}
    if os:
        asked["os"] = tilde_decode(unquote(os))

    def instead(name: str) -> str:
        pairs = asked | {PARAMETERS[unknown.kind]: name}
        if pairs["os"]:
            return system_address(datasette, pairs.pop("os"), pairs)
        return (
            f"{datasette.urls.path('/systems')}?{urlencode({k: v for k, v in pairs.items() if v})}"
        )

    return instead


@hookimpl  # type: ignore[untyped-decorator]
def extra_template_vars(request: Request | None, datasette: Datasette) -> dict[str, Any]:
    """Let templates ask what the form of a visitor's system offers, and what lists do not tell."""

    async def my_system(chosen: Chosen | None = None) -> Choices:
        inventory = await inventory_of(datasette)
        asked = chosen or (_asked(request) if request else Chosen("", "", ""))
        return Choices(inventory.oses, inventory.families, inventory.releases, asked)

    async def lists_apart() -> Apart | None:
        chosen = _filtered(request) if request else None
        return apart(await inventory_of(datasette), chosen) if chosen else None

    def address(os: str, pairs: Mapping[str, str]) -> str:
        return system_address(datasette, os, pairs)

    return {
        "my_system": my_system,
        "lists_apart": lists_apart,
        "system_address": address,
        "have_items": have_items,
        "missing_items": missing_items,
    }


def _filtered(request: Request) -> Chosen | None:
    """Return what a page of packages is filtered by, if it is by two lists that do not belong."""
    listed = [request.args.getlist(name) for name in PACKAGES_FILTERED]
    if not listed[0] or sum(map(bool, listed)) < 2 or any(len(values) > 1 for values in listed):
        return None
    return Chosen(*(values[0] if values else "" for values in listed))


def have_items(page: SystemPage, places: Places) -> Markup:
    """Return the packages that have a binary as items of a list: name, newest version, specs.

    There can be thousands, for which a template takes ten times as long.
    """
    pairs = escape(urlencode(page.chosen.pairs()))
    specs = escape(page.chosen.specs(places))
    lines = [
        f'<li><a href="{_package(places, name)}?{pairs}">{escape(name)}</a>'
        f" <span>{escape(version)}</span>"
        f' <a href="{specs}&amp;package={_quoted(name)}">{count:,}</a></li>'
        for name, version, count in page.have
    ]
    return Markup("\n".join(lines))  # noqa: S704 (escaped)


def missing_items(page: SystemPage, places: Places) -> Markup:
    """Return the packages that have no binary as items of a list."""
    pairs = escape(urlencode({"release": page.chosen.release}))
    lines = [
        f'<li><a href="{_package(places, name)}?{pairs}">{escape(name)}</a></li>'
        for name in page.missing
    ]
    return Markup("\n".join(lines))  # noqa: S704 (escaped)


def _package(places: Places, name: str) -> str:
    if PLAIN.fullmatch(name):
        return f"{places.database}/packages/{name}"
    return escape(places.row("packages", name))


def _quoted(name: str) -> str:
    return name if PLAIN.fullmatch(name) else quote(name)
