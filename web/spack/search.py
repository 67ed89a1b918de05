"""Search as Spack's users write: packages by name, specs by hash, specs in Spack's syntax.

`/-/find?q=` goes straight to a package with exactly that name, to the page of a system, a stack or
a release, to the spec of a hash (7 and more characters of it), or to the table of specs with the
filters that the words stand for (meaning.py):

    hdf5 +mpi ~cxx @1.14 %gcc@13 target=zen4 os=ubuntu22.04 build_type=Release ^openmpi@5

Specs are those of the newest release, or of the newest that has any, unless the search says
something of releases, or `release=` in the address does (`all` for all). `os=` and `machine=` there
are filters too. Anything else finds packages by parts of their names, or what was probably meant.

The search box of the table of specs takes the same words. Its full-text index knows neither
`+` nor `=`, so a search with a sigil in it is redirected to the filters, in every format.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database
from datasette.utils import tilde_encode
from datasette.utils.asgi import Request, Response

from web.immutable.asgi import App, Receive, Scope, Send, cors_headers
from web.spack.found import UntellableError, all_rows, having_all, rows_of_pairs
from web.spack.known import Known, known_names, variants_of
from web.spack.meaning import (
    ALL,
    RELEASES,
    STACKS,
    Meaning,
    Pairs,
    UnanswerableError,
    in_release,
    known_pair,
    meaning,
    release_said,
)
from web.spack.names import DATABASE, SHORT_HASH, begins_hash
from web.spack.not_found import close
from web.spack.runs_on import ARGUMENT as RUNS_ON
from web.spack.syntax import MOST_CHARACTERS, Sought, parse, without_command

MOST_RESULTS = 100
"""How many packages, and specs, a page of results lists."""

MOST_SUGGESTIONS = 5
"""How many names that are spelled alike are suggested."""

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


class Chosen(NamedTuple):
    """What the address of a search says beside the search.

    Attributes:
        os: An operating system, or "".
        machine: The CPU target of the machine that specs are to run on, or "".
        release: A release, "all" for all, or "" for the newest.
    """

    os: str = ""
    machine: str = ""
    release: str = ""

    @property
    def said(self) -> Mapping[str, str]:
        """What is not empty."""
        return {key: value for key, value in self._asdict().items() if value}

    @property
    def query(self) -> str:
        """It as the end of the address of a page, or ""; pages are of all releases anyway."""
        values = {key: value for key, value in self.said.items() if value != ALL}
        return f"?{urlencode(values)}" if values else ""


class Guess(NamedTuple):
    """What was probably meant.

    Attributes:
        text: The search, or the name of a package.
        url: Where it leads.
    """

    text: str
    url: str


class Results(NamedTuple):
    """What a page of results shows.

    Attributes:
        packages: Rows of packages whose names have all words in them.
        num_packages: How many of these there are, listed or not.
        specs: Rows of specs whose hashes begin so.
        guesses: What was probably meant, if nothing was found.
        message: Why there is no result, or "".
        without: The search without the words that nothing has, if that finds something.
    """

    packages: Sequence[Mapping[str, Any]] = ()
    num_packages: int = 0
    specs: Sequence[Mapping[str, Any]] = ()
    guesses: Sequence[Guess] = ()
    message: str = ""
    without: Guess | None = None


@hookimpl  # type: ignore[untyped-decorator]
def register_routes() -> list[tuple[str, Callable[..., Awaitable[Response]]]]:
    """Serve the search."""
    return [(r"^/-/find$", find)]


async def find(datasette: Datasette, request: Request) -> Response:
    """Answer a search: with a redirection to what is meant, or with a page of results."""
    text = (request.args.get("q") or "").strip()[:MOST_CHARACTERS]
    given = (request.args.get(name) or "" for name in Chosen._fields)
    chosen = Chosen(*(value.strip()[:MOST_CHARACTERS] for value in given))
    try:
        answer = await search(datasette, text, chosen)
    except UnanswerableError as error:
        answer = Results(message=str(error))
    if isinstance(answer, str):
        return Response.redirect(answer)
    context = {"q": text, "results": answer, "chosen": chosen}
    return Response.html(await datasette.render_template("find.html", context, request))


async def search(datasette: Datasette, text: str, chosen: Chosen) -> str | Results:
    """Return the address of the one thing that a search means, or else what it finds.

    Args:
        datasette: Where the database is served.
        text: What is searched for.
        chosen: What else is to be so.

    Raises:
        UnanswerableError: the search is for something that the database does not know.
    """
    db = datasette.get_database(DATABASE)
    known = await known_names(datasette)
    sought = parse(text)
    if page := _page(datasette, known, text, sought, chosen):
        return page
    specs = await _specs(db, sought)
    packages = await _packages(db, sought.words) if sought.is_plain else []
    is_name = sought.is_plain and len(sought.words) == 1 and _is_name(known, sought.words[0])
    if len(specs) == 1 and not packages:
        return str(datasette.urls.row(DATABASE, "specs", specs[0]["hash"]))
    if (specs or packages) and not is_name:
        return Results(packages, packages[0]["found"] if packages else 0, specs)
    if _hash_start(sought) and not is_name:
        return Results(guesses=await _packages_alike(datasette, known, text))
    return await _filtered(datasette, known, sought, text, chosen)


def _page(
    datasette: Datasette, known: Known, text: str, sought: Sought, chosen: Chosen
) -> str | None:
    """Return the address of the page of the one thing that a search names, if it has one."""
    words = sought.words if sought.is_plain else ()
    name = words[0] if len(words) == 1 else without_command(text).strip()
    if package := known.named("packages", name):
        return _row(datasette, "packages", package) + chosen.query
    found = dict(filter(None, (known_pair(known, word) for word in words)))
    if not words or len(found) < len(words):
        return None
    if "os" in found and STACKS not in found:
        machine, release = found.get(RUNS_ON, chosen.machine), found.get(RELEASES, chosen.release)
        system = datasette.urls.path(f"/systems/{tilde_encode(found['os'])}")
        return str(system) + Chosen("", machine, release).query
    for key, table in ((STACKS, "stacks"), (RELEASES, "releases")):
        if list(found) == [key]:
            return _row(datasette, table, found[key])
    return None


def _row(datasette: Datasette, table: str, key: str) -> str:
    return str(datasette.urls.row(DATABASE, table, tilde_encode(key)))


def _is_name(known: Known, word: str) -> bool:
    return bool(known_pair(known, word) or known.compiler_names(word.lower()))


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
        return sought.hashes[0].lower()
    word = sought.words[0].lower() if sought.is_plain and len(sought.words) == 1 else ""
    return word if len(word) >= SHORT_HASH and begins_hash(word) else None


async def _filtered(
    datasette: Datasette, known: Known, sought: Sought, text: str, chosen: Chosen
) -> str | Results:
    """Return where the table of specs lists what a search means, or what it may have meant."""
    meant = await meaning(datasette, sought)
    if sought.is_plain and not meant.pairs:
        return Results(guesses=await _packages_alike(datasette, known, text))
    lower = [word.lower() for word in meant.unknown]
    variants = await variants_of(datasette, meant.package, lower) if meant.package else []
    words = None if variants else await _words(datasette, meant)
    if words is None:
        return Results(
            guesses=await _guesses(datasette, known, meant, text, chosen),
            message=_of_variants(meant) if variants else _not_known(meant),
            without=await _without(datasette, known, meant, chosen),
        )
    pairs = [*meant.pairs, *words, *_more(known, meant.pairs, chosen)]
    is_for_package = bool(meant.package)
    release = release_said(sought) or chosen.release
    pairs = await in_release(datasette, pairs, release, is_for_package=is_for_package)
    return f"{datasette.urls.table(DATABASE, 'specs')}?{urlencode(pairs)}"


async def _without(
    datasette: Datasette, known: Known, meant: Meaning, chosen: Chosen
) -> Guess | None:
    """Return the list of a search without its unknown words, if it has rows."""
    pairs = [*meant.pairs, *_more(known, meant.pairs, chosen)]
    pairs = await in_release(datasette, pairs, chosen.release, is_for_package=bool(meant.package))
    try:
        rows_of = await rows_of_pairs(datasette, pairs)
        number = len(having_all(rows_of.values(), await all_rows(datasette)))
    except UntellableError:
        return None
    words = "” and “".join(meant.unknown)
    url = f"{datasette.urls.table(DATABASE, 'specs')}?{urlencode(pairs)}"
    return Guess(f"without “{words}”: {number:,}", url) if number else None


def _more(known: Known, pairs: Pairs, chosen: Chosen) -> Pairs:
    """Return the filters that stand beside a search, of what it says nothing of itself."""
    said = {key.partition("__")[0] for key, _ in pairs}
    more = Pairs()
    if chosen.os and "os" not in said:
        more.append(("os", known.named("oses", chosen.os) or chosen.os))
    if chosen.machine and not said & {"target", RUNS_ON}:
        more.append((RUNS_ON, known.named("targets", chosen.machine) or chosen.machine))
    return more


async def _words(datasette: Datasette, meant: Meaning) -> Pairs | None:
    """Return the filters for words that are no known names; None if nothing has them."""
    if not meant.unknown:
        return []
    if not meant.package and await _packages(datasette.get_database(DATABASE), meant.unknown):
        return [("package__contains", word) for word in meant.unknown]
    pairs = [("_search", " ".join(meant.unknown))]
    try:
        rows_of = await rows_of_pairs(datasette, [*meant.pairs, *pairs])
        return pairs if having_all(rows_of.values(), await all_rows(datasette)) else None
    except UntellableError:
        return pairs


def _of_variants(meant: Meaning) -> str:
    return f"{meant.package} has a variant of this name: say which value it is to have."


def _not_known(meant: Meaning) -> str:
    words = "” and “".join(meant.unknown)
    if meant.package:
        return f"No spec of {meant.package} that is so has “{words}” in it."
    return f"No package has “{words}” in its name, and no spec has it in it."


async def _packages_alike(datasette: Datasette, known: Known, text: str) -> Sequence[Guess]:
    alike = await asyncio.to_thread(close, text[:MOST_CHARACTERS], list(known.packages))
    return [Guess(name, _row(datasette, "packages", name)) for name in alike[:MOST_SUGGESTIONS]]


async def _guesses(
    datasette: Datasette, known: Known, meant: Meaning, text: str, chosen: Chosen
) -> Sequence[Guess]:
    """Return searches with another word in place of the first that is not known."""
    word = meant.unknown[0]
    names = [name for name in (*known.oses, *known.targets, *known.stacks) if meant.package]
    names += [] if meant.package else known.packages
    alike = await asyncio.to_thread(close, word, names)
    if meant.package:
        variants = await variants_of(datasette, meant.package, [word.lower()])
        needed = known.named("packages", word)
        alike = [*variants, *([f"^{needed}"] if needed else []), *alike]
    texts = [text.replace(word, name, 1) for name in alike[:MOST_SUGGESTIONS]]
    address = datasette.urls.path("/-/find")
    return [Guess(each, f"{address}?{urlencode({'q': each, **chosen.said})}") for each in texts]


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
    if ("_searchmode", "raw") in pairs or not re.fullmatch(path, scope["path"]):
        return None
    if sought.is_plain and text == without_command(text):
        return None
    kept = [pair for pair in pairs if pair[0] not in {"_search", "_next"}]
    try:
        meant = await meaning(datasette, sought)
    except UnanswerableError:
        # The page of the search says why.
        return f"{datasette.urls.path('/-/find')}?{urlencode({'q': text})}"
    words = [("_search", " ".join(meant.unknown))] if meant.unknown else []
    found = words + kept + meant.pairs
    is_sorted = any(key in {"_sort", "_sort_desc"} for key, _ in kept)
    found = await in_release(
        datasette,
        found,
        release_said(sought),
        is_for_package=bool(meant.package) and not is_sorted,
    )
    return f"{scope['path']}?{urlencode(found)}"
