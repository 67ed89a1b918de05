"""Search as Spack's users write: packages by name, specs by hash, specs in Spack's syntax.

`/-/find?q=` goes straight to a package with exactly that name, to the spec of a hash (7 and
more characters of it), or, where a word has a sigil, to the table of specs with the filters
that the words stand for:

    hdf5 +mpi ~cxx @1.14 %gcc@13 target=zen4 os=ubuntu22.04 build_type=Release ^openmpi@5

Anything else finds packages by parts of their names.

The search box of the table of specs takes the same words. Its full-text index knows neither
`+` nor `=`, so a search with a sigil in it is redirected to the filters, in every format.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database
from datasette.utils import tilde_encode
from datasette.utils.asgi import Request, Response

from etl.order import satisfies
from web.immutable.asgi import App, Receive, Scope, Send, cors_headers
from web.spack.names import DATABASE, OTHER_NODES, SHORT_HASH, begins_hash
from web.spack.syntax import MOST_CHARACTERS, Need, Sought, parse

MOST_RESULTS = 100
"""How many packages, and specs, a page of results lists."""

MOST_SUGGESTIONS = 5
"""How many names that are spelled alike are suggested."""

MOST_VALUES = 100
"""How many versions, or compilers, may fit before a filter's address is too long."""

Pairs = list[tuple[str, str]]
"""Names and values of a query string."""


PACKAGES_SQL = """
    select name, num_specs, json_extract(versions, '$[0]') as version,
        json_extract(releases, '$[0]') as "release", count(*) over () as found
    from packages
    where not exists (
        select 1 from json_each(:words) where instr(lower(packages.name), lower(value)) = 0
    )
    order by instr(lower(name), lower(:first)) > 1, length(name), name limit :most
"""

SPECS_SQL = """
    select hash, spec from specs
    where hash >= :start and hash < :start || '{' and :package in ('', package)
    order by hash limit :most
"""


IS_FACT_SQL = f"""
    select exists (
        select 1 from packages, json_each(compilers)
        where value = :name or substr(value, 1, length(:name) + 1) = :name || '@'
    ) and not exists (
        select 1 from dependencies where dependency in (
            select hash from specs where package = :name
            union all
            select hash from {OTHER_NODES} where package = :name
        )
    )
"""


class Results(NamedTuple):
    """What a page of results shows.

    Attributes:
        packages: Rows of packages whose names have all words in them.
        num_packages: How many of these there are, listed or not.
        specs: Rows of specs whose hashes begin so.
        suggestions: Names of packages that are spelled alike, if nothing was found.
        message: Why there is no result, or "".
    """

    packages: Sequence[Mapping[str, Any]] = ()
    num_packages: int = 0
    specs: Sequence[Mapping[str, Any]] = ()
    suggestions: Sequence[str] = ()
    message: str = ""


class UnanswerableError(Exception):
    """A search that is no filter; the message says why."""


async def filters(db: Database, sought: Sought, package: str) -> Pairs:
    """Return the filters of the table of specs that parts of a search stand for.

    Args:
        db: The database.
        sought: The search; its words are left to the caller.
        package: The package whose versions and compilers are meant, or "" for all.

    Raises:
        UnanswerableError: the search is for something that no filter can say.
    """
    compilers = [need for need in sought.needs if await _is_fact(db, need)]
    others = [need for need in sought.needs if need not in compilers]
    if others and not (await db.execute("select 1 from dependencies limit 1")).rows:
        raise UnanswerableError(
            f"The pages do not tell what a spec depends on, so {others[0]} cannot be searched for."
        )
    return [
        *[await _constraint(db, "version", each, package) for each in sought.versions],
        *[
            await _constraint(db, "compiler", f"{need.name}@{versions}", package)
            if versions
            else ("compiler_name", need.name)
            for need in compilers
            for versions in need.node.versions or ("",)
        ],
        *sought.columns,
        *(("variants__arraycontains", flag) for flag in sought.flags),
        *(("_through", _through(value)) for value in sought.values),
        *(("hash__startswith", start) for start in sought.hashes),
        *(("_needs", str(need)) for need in others),
    ]


async def _is_fact(db: Database, need: Need) -> bool:
    """Tell whether all that was built with a compiler has it as a fact, none as a dependency.

    From Spack 1.0 compilers are dependencies, and a spec can have two.
    """
    named = Sought(words=(need.name,), versions=need.node.versions)
    if not need.is_direct or need.virtuals or need.node != named:
        return False
    found = await db.execute(IS_FACT_SQL, {"name": need.name})
    return bool(found.single_value())


async def _constraint(db: Database, column: str, constraint: str, package: str) -> tuple[str, str]:
    """Return the filter on `version`, or `compiler`, for a constraint such as `1.14`, `gcc@13`."""
    name, at, versions = constraint.rpartition("@")
    rows = await db.execute(
        f"select distinct listed.value from packages cross join json_each({column}s) as listed"
        " where :package in ('', packages.name) order by listed.value",
        {"package": package},
    )
    fitting = [
        value
        for (value,) in rows
        if value.startswith(name + at) and satisfies(value[len(name + at) :], versions)
    ]
    if len(fitting) > MOST_VALUES:
        sigil = "%" if name else "@"
        raise UnanswerableError(
            f"{len(fitting):,} different {column}s fit {sigil}{constraint}. Add the name of a "
            f"package, or more of the {column}."
        )
    if len(fitting) == 1:
        return (column, fitting[0])
    # What fits no row stays a filter, so that the page says what was not found.
    return (f"{column}__in", json.dumps(fitting)) if fitting else (column, constraint)


def _through(variant: str) -> str:
    """Return the filter for one value of a variant, of which a spec can have several."""
    return json.dumps({"table": "spec_variants", "column": "variant", "value": variant})


@hookimpl  # type: ignore[untyped-decorator]
def register_routes() -> list[tuple[str, Callable[..., Awaitable[Response]]]]:
    """Serve the search."""
    return [(r"^/-/find$", find)]


async def find(datasette: Datasette, request: Request) -> Response:
    """Answer a search: with a redirection to what is meant, or with a page of results."""
    text = (request.args.get("q") or "").strip()[:MOST_CHARACTERS]
    try:
        answer = await search(datasette, text)
    except UnanswerableError as error:
        answer = Results(message=str(error))
    if isinstance(answer, str):
        return Response.redirect(answer)
    context = {"q": text, "results": answer}
    return Response.html(await datasette.render_template("find.html", context, request))


async def search(datasette: Datasette, text: str) -> str | Results:
    """Return the address of the one thing that a search means, or else what it finds.

    Raises:
        UnanswerableError: the search is for something that the database does not know.
    """
    db = datasette.get_database(DATABASE)
    if package := await _package(db, text):
        return str(datasette.urls.row(DATABASE, "packages", tilde_encode(package)))
    sought = parse(text)
    specs = await _specs(db, sought)
    packages = await _packages(db, sought.words) if sought.is_plain else []
    if len(specs) == 1 and not packages:
        return str(datasette.urls.row(DATABASE, "specs", specs[0]["hash"]))
    if specs or packages:
        return Results(packages, packages[0]["found"] if packages else 0, specs)
    if pairs := await _filters_meant(db, sought):
        return f"{datasette.urls.table(DATABASE, 'specs')}?{urlencode(pairs)}"
    names = [name for (name,) in await db.execute("select name from packages")]
    alike = asyncio.to_thread(get_close_matches, text.lower(), names, MOST_SUGGESTIONS)
    return Results(suggestions=await alike)


async def _package(db: Database, name: str) -> str | None:
    """Return the name of the package that has this name, in capitals or not."""
    rows = await db.execute(
        "select name from packages where lower(name) = lower(:name) order by name <> :name limit 1",
        {"name": name},
    )
    return rows.single_value() if rows else None


async def _packages(db: Database, words: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    """Return the packages whose names have all words in them, the likeliest first."""
    if not words:
        return []
    values = {"words": json.dumps(words), "first": words[0], "most": MOST_RESULTS}
    return list(await db.execute(PACKAGES_SQL, values))


async def _specs(db: Database, sought: Sought) -> Sequence[Mapping[str, Any]]:
    """Return the specs whose hashes begin as the search says, if it can mean a hash."""
    if (start := _hash_start(sought)) is None:
        return []
    package = sought.words[0] if sought.hashes and sought.words else ""
    values = {"start": start, "package": package, "most": MOST_RESULTS}
    return list(await db.execute(SPECS_SQL, values))


def _hash_start(sought: Sought) -> str | None:
    """Return what can be a hash, if there is nothing else but a package before it."""
    others = sought._replace(words=(), hashes=())
    if others.is_plain and len(sought.hashes) == 1 and len(sought.words) < 2:
        return sought.hashes[0]
    word = sought.words[0].lower() if sought.is_plain and len(sought.words) == 1 else ""
    return word if len(word) >= SHORT_HASH and begins_hash(word) else None


async def _filters_meant(db: Database, sought: Sought) -> Pairs:
    """Return the filters of the table of specs for a search, or none if it has no such meaning."""
    package = await _first_package(db, sought.words)
    if _hash_start(sought) or (sought.is_plain and not package):
        return []
    rest = [word for word in sought.words if word != package]
    pairs = [("package", package)] if package else []
    if rest and not package and await _packages(db, rest):
        pairs += [("package__contains", word) for word in rest]
    elif rest:
        pairs += [("_search", " ".join(rest))]
    return pairs + await filters(db, sought, package)


async def _first_package(db: Database, words: Iterable[str]) -> str:
    """Return the first word that is the name of a package, or ""."""
    for word in words:
        if await _package(db, word) == word:
            return word
    return ""


@hookimpl  # type: ignore[untyped-decorator]
def asgi_wrapper(datasette: Datasette) -> Callable[[App], App]:
    """Redirect searches of the table of specs that have sigils in them to the filters."""

    def wrap(app: App) -> App:
        async def redirecting(scope: Scope, receive: Receive, send: Send) -> None:
            location = await _searched_specs(datasette, scope)
            if location is None:
                await app(scope, receive, send)
                return
            await Response.redirect(location, headers=cors_headers(datasette)).asgi_send(send)

        return redirecting

    return wrap


async def _searched_specs(datasette: Datasette, scope: Scope) -> str | None:
    """Return where a request leads that searches the table of specs for more than words."""
    if scope["type"] != "http" or b"_search=" not in scope["query_string"]:
        return None
    if DATABASE not in datasette.databases:
        return None
    path = re.escape(datasette.urls.table(DATABASE, "specs")) + r"(\.\w+)?"
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    text = dict(reversed(pairs)).get("_search", "")
    sought = parse(text)
    if sought.is_plain or ("_searchmode", "raw") in pairs or not re.fullmatch(path, scope["path"]):
        return None
    db = datasette.get_database(DATABASE)
    try:
        found = await filters(db, sought, await _first_package(db, sought.words))
    except UnanswerableError:
        # The page of the search says why.
        return f"{datasette.urls.path('/-/find')}?{urlencode({'q': text})}"
    kept = [pair for pair in pairs if pair[0] not in {"_search", "_next"}]
    words = [("_search", " ".join(sought.words))] if sought.words else []
    return f"{scope['path']}?{urlencode(words + kept + found)}"
