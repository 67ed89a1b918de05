"""What a search may become while it is typed: `/-/suggest?q=hdf` as JSON.

    {"q": "hdf", "suggestions": [
        {"kind": "package", "name": "hdf5", "text": "hdf5", "url": "/spack-cache/packages/hdf5"}]}

Only the last word is completed; `text` is the whole search. A word without a sigil can be a
package, a system, a stack, a release or a CPU target, and behind a package its variants too;
`os=`, `target=`, `machine=`, `stack=`, `release=`, `%`, `^`, `+` and `~` say what it is. The best
is first: names that begin so, then those with a part that does, then packages that hold it; among
these the ones of the most specs.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import urlencode

from datasette import hookimpl
from datasette.app import Datasette
from datasette.utils import tilde_encode
from datasette.utils.asgi import Request, Response

from web.immutable.asgi import cors_headers
from web.spack.found import rows_by_value
from web.spack.known import Known, known_names
from web.spack.names import DATABASE
from web.spack.syntax import MOST_CHARACTERS, parse, without_command

MOST = 10
"""How many suggestions there are."""

MOST_OF_KIND = 6
"""How many there are of a kind, where a word can be of several."""

PLAIN = ("packages", "oses", "targets", "stacks", "releases")
"""What a word without a sigil can be; of those that are as good, the first comes first."""

BEFORE_OTHERS = -1
"""The place of the variants of a package."""

KINDS = {
    "packages": "package",
    "oses": "system",
    "targets": "target",
    "stacks": "stack",
    "releases": "release",
    "compilers": "compiler",
    "variants": "variant",
}
"""What people are told that each kind of names is."""

SIGILS = {
    "os=": "oses",
    "target=": "targets",
    "machine=": "targets",
    "stack=": "stacks",
    "release=": "releases",
    "%": "compilers",
    "^": "packages",
}

LAST_WORD = re.compile(r"(?P<sigil>os=|target=|machine=|stack=|release=|[%^])?(?P<word>[^\s%^]*)$")


class Suggestion(NamedTuple):
    """What a search may become.

    Attributes:
        kind: What the last word is, for people.
        name: The last word, completed, without a sigil.
        text: The whole search.
        url: Where it leads.
    """

    kind: str
    name: str
    text: str
    url: str


class Match(NamedTuple):
    """A name that a word may become; compares as good ones come first.

    Attributes:
        rank: 0 if it is the word, 1 if it begins so, 2 if a part of it does, 3 if it holds it.
        place: Where its kind stands among others.
        order: Where it stands among the names of its kind.
        kind: Its kind.
        name: The name.
    """

    rank: int
    place: int
    order: int
    kind: str
    name: str


@hookimpl  # type: ignore[untyped-decorator]
def register_routes() -> list[tuple[str, Callable[..., Awaitable[Response]]]]:
    """Serve the suggestions."""
    return [(r"^/-/suggest$", suggest)]


async def suggest(datasette: Datasette, request: Request) -> Response:
    """Answer with what a search may become."""
    text = (request.args.get("q") or "")[:MOST_CHARACTERS]
    found = await suggestions(datasette, text) if DATABASE in datasette.databases else []
    headers = cors_headers(datasette)
    if DATABASE in datasette.databases and not datasette.get_database(DATABASE).is_mutable:
        headers["Cache-Control"] = f"max-age={datasette.setting('default_cache_ttl')}"
    answer = {"q": text, "suggestions": [each._asdict() for each in found]}
    return Response.json(answer, headers=headers)


async def suggestions(datasette: Datasette, text: str) -> list[Suggestion]:
    """Return what a search may become, the best first.

    Args:
        datasette: Where the database is served.
        text: What is typed so far.
    """
    known = await known_names(datasette)
    last = LAST_WORD.search(text)
    if last is None:
        return []
    sigil, word = last["sigil"] or "", last["word"]
    before = without_command(text[: last.start()])
    package = next(
        filter(None, (known.named("packages", each) for each in parse(before).words)), ""
    )
    if word[:1] in {"+", "~"} or (word[:1] == "-" and package):
        sign = "~" if word[0] == "-" else word[0]
        matches = await _variants(datasette, known, package, sign + word[1:])
    elif sigil:
        matches = list(_matches(SIGILS[sigil], _names(known, SIGILS[sigil]), word))
    else:
        matches = await _plain(datasette, known, package, word)
    return [
        Suggestion(
            KINDS[match.kind],
            match.name,
            whole := f"{before}{sigil}{match.name}",
            _url(datasette, match, whole, is_alone=not before and not sigil),
        )
        for match in sorted(matches)[:MOST]
    ]


async def _plain(datasette: Datasette, known: Known, package: str, word: str) -> list[Match]:
    found: list[Match] = []
    for place, kind in enumerate(PLAIN):
        if word and not (package and kind == "packages"):
            of_kind = sorted(_matches(kind, _names(known, kind), word, place))
            found += of_kind[:MOST_OF_KIND]
    if package and word:
        found += (await _variants(datasette, known, package, f"+{word}"))[:MOST_OF_KIND]
    return found


def _names(known: Known, kind: str) -> Mapping[str, int]:
    names: Mapping[str, int] = getattr(known, kind)
    return names


def _matches(kind: str, names: Iterable[str], word: str, place: int = 0) -> Iterator[Match]:
    lower = word.lower()
    for order, name in enumerate(names):
        start = name.lower().find(lower)
        if start == 0:
            yield Match(0 if len(name) == len(word) else 1, place, order, kind, name)
        elif start > 0 and not name[start - 1].isalnum():
            yield Match(2, place, order, kind, name)
        elif start > 0 and kind == "packages":
            yield Match(3, place, order, kind, name)


async def _variants(datasette: Datasette, known: Known, package: str, begin: str) -> list[Match]:
    """Return the variants that begin so, of a package if there is one."""
    names = (name for name in known.variants if name.startswith(begin))
    if package:
        of_package = (await rows_by_value(datasette, "column", "package")).get(package)
        rows_of = await rows_by_value(datasette, "array", "variants")
        if of_package is not None and rows_of:
            names = (
                name for name in names if name in rows_of and of_package.intersect(rows_of[name])
            )
    return sorted(_matches("variants", names, begin, BEFORE_OTHERS))


def _url(datasette: Datasette, match: Match, text: str, *, is_alone: bool) -> str:
    if is_alone and match.kind in {"packages", "stacks", "releases"}:
        return str(datasette.urls.row(DATABASE, match.kind, tilde_encode(match.name)))
    return f"{datasette.urls.path('/-/find')}?{urlencode({'q': text})}"
