"""`/-/compare`: two specs side by side, and why they differ, dependencies included.

`a=` and `b=` are hashes or their beginnings. Without them there is a form. `spec=` given twice is
what the check boxes of lists send, and leads to the same. `/-/compare.json` and `/-/compare.txt`
hold the same for programs, and as lines in the manner of `spack diff`.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database
from datasette.utils.asgi import Request, Response

from web.immutable.asgi import cors_headers
from web.spack.cells import cut
from web.spack.dags import Edge, Node, read_dags
from web.spack.diff_text import diff_text
from web.spack.differences import (
    FACTS,
    UNKNOWN,
    Cause,
    Dependencies,
    Differences,
    Fact,
    Look,
    Pair,
    facts_of,
    needed,
    values,
    words,
)
from web.spack.names import DATABASE, HASH_LENGTH, begins_hash

MOST_CHARACTERS = 100
"""Longer texts are cut off: with a package before it, a hash is no longer."""

MOST_QUOTED = 40
"""Of a text that is too long so much is repeated."""

MOST_CANDIDATES = 8
"""So many hashes that begin alike are named."""

MOST_LINES = 300
"""So many dependencies, values of a fact and causes are shown; JSON and text have all."""

NODES_SQL = """
    select hash, package, version from nodes where hash >= :start and hash < :start || '{'
    order by hash limit :most
"""


class Candidate(NamedTuple):
    """A node that may have been meant: its hash and what it is of."""

    hash: str
    package: str
    version: str | None


class Mistake(NamedTuple):
    """Why two specs cannot be compared.

    Attributes:
        message: What is wrong, for a person.
        status: The HTTP status that says so.
        field: Which of the two it is about, a or b, or "".
        candidates: What may have been meant.
    """

    message: str
    status: int
    field: str = ""
    candidates: Sequence[Candidate] = ()


NOTHING_TYPED = Mistake("Two specs are needed: a=<hash>&b=<hash>.", 400)


class Comparison(NamedTuple):
    """Two specs, and what differs.

    Attributes:
        a: The first.
        b: The second.
        facts: All that is, or could be, known of them.
        dependencies: Their direct dependencies; None where those of one are unknown.
        causes: The differences at and below them; those without others below them come first.
        notes: What else there is to say, in sentences.
        is_cut: Whether there is more below them than was compared.
    """

    a: Node
    b: Node
    facts: list[Fact]
    dependencies: Dependencies | None
    causes: list[Cause]
    notes: list[str]
    is_cut: bool

    @property
    def different(self) -> list[Fact]:
        """The facts that differ."""
        return [fact for fact in self.facts if fact.differs]

    @property
    def alike(self) -> list[Fact]:
        """The facts that are the same."""
        known = (fact for fact in self.facts if fact.a is not None and fact.b is not None)
        return [fact for fact in known if not fact.differs]

    @property
    def unknown(self) -> list[str]:
        """The facts that are not known of both."""
        return [fact.name for fact in self.facts if fact.a is None or fact.b is None]


@hookimpl  # type: ignore[untyped-decorator]
def register_routes() -> list[tuple[str, Callable[..., Awaitable[Response]]]]:
    """Serve the comparison."""
    return [(r"^/-/compare(?:\.(?P<format>json|txt))?$", compare)]


@hookimpl  # type: ignore[untyped-decorator]
def prepare_jinja2_environment(env: Any) -> None:
    """Give templates the words for differences."""
    env.filters["needed"] = needed
    env.filters["words"] = lambda look, is_root, names: words(look, is_root=is_root, names=names)
    env.filters["cut"] = cut


async def compare(datasette: Datasette, request: Request) -> Response:
    """Compare two specs, or say what is missing to do so."""
    form = request.url_vars["format"] or ""
    typed = {name: _cut(request.args.get(name) or "") for name in ("a", "b")}
    ticked = [] if any(typed.values()) else request.args.getlist("spec")
    if len(ticked) == 2:
        typed = dict(zip("ab", map(_cut, ticked), strict=True))
        location = f"{datasette.urls.path(compare_path(form))}?{urlencode(typed)}"
        return Response.redirect(location, headers=cors_headers(datasette))
    if ticked:
        typed |= dict(zip("ab", map(_cut, ticked[:2]), strict=False))
        number = "only one is" if len(ticked) == 1 else f"{len(ticked)} are"
        answer: Pair | Mistake = Mistake(f"Tick two specs to compare: {number} ticked.", 400)
    else:
        answer = await find(datasette, **typed)
    if isinstance(answer, Mistake):
        return await _refused(datasette, request, typed, answer)
    dags = await read_dags(datasette.get_database(DATABASE), answer)
    differences = Differences(dags)
    if form == "txt":
        text = diff_text(dags, differences, answer)
        return Response.text(text, headers=cors_headers(datasette))
    compared = comparison(differences, answer)
    if form == "json":
        return Response.json(as_json(compared), headers=cors_headers(datasette))
    return await _html(datasette, request, typed, compared=compared)


def compare_path(form: str = "") -> str:
    """Return the path of the comparison in a format: "" for the page, `json` or `txt`."""
    return f"/-/compare.{form}" if form else "/-/compare"


def _cut(text: str) -> str:
    # With one character more, so that it is seen that there were more.
    return text.strip()[: MOST_CHARACTERS + 1]


async def find(datasette: Datasette, a: str, b: str) -> Pair | Mistake:
    """Return the hashes of the two nodes that two texts mean."""
    if not (a and b):
        return NOTHING_TYPED
    db = datasette.get_database(DATABASE)
    found = []
    for field, text in (("a", a), ("b", b)):
        meant = await _meant(db, field, text)
        if isinstance(meant, Mistake):
            return meant
        found.append(meant.hash)
    if found[0] == found[1]:
        message = f"Both are the same spec, /{found[0][:7]}: there is nothing to compare."
        return Mistake(message, 400)
    return found[0], found[1]


async def _meant(db: Database, field: str, text: str) -> Candidate | Mistake:
    """Return the one node whose hash is, or begins with, what stands behind the last `/`."""
    start = text.rpartition("/")[2].strip().lower()
    if len(text) > MOST_CHARACTERS or len(start) > HASH_LENGTH:
        shown = cut(text, MOST_QUOTED)
        message = f"“{shown}” is too long for a hash, which has {HASH_LENGTH} characters."
        return Mistake(message, 400, field)
    if not start or not begins_hash(start):
        return Mistake(
            f"“{text}” is no hash: hashes have the letters a-z and the digits 2-7 only.", 400, field
        )
    rows = await db.execute(NODES_SQL, {"start": start, "most": MOST_CANDIDATES + 1})
    nodes = [Candidate(*row) for row in rows]
    if not nodes:
        return Mistake(
            f"No spec that is known here has a hash that begins with {start}.", 404, field
        )
    if len(nodes) > 1:
        number = f"More than {MOST_CANDIDATES}" if len(nodes) > MOST_CANDIDATES else str(len(nodes))
        message = f"{number} hashes begin with {start}. Type more of the one you mean."
        return Mistake(message, 400, field, nodes[:MOST_CANDIDATES])
    return nodes[0]


def comparison(differences: Differences, pair: Pair) -> Comparison:
    """Compare two nodes that were read, with all that is below them."""
    look, causes = differences.look(pair), differences.causes(pair)
    return Comparison(
        a=look.a,
        b=look.b,
        facts=facts_of(look.a, look.b),
        dependencies=look.dependencies,
        causes=causes,
        notes=_notes(look, is_cut=differences.is_cut),
        is_cut=differences.is_cut,
    )


def _notes(look: Look, *, is_cut: bool) -> list[str]:
    notes = [
        f"Only pages tell of /{node.hash[:7]}, and they do not list dependencies: facts alone are"
        " compared."
        for node in (look.a, look.b)
        if node.only_pages_tell
    ]
    if not notes and look.dependencies is None:
        notes.append("The dependencies of one of them are not known: facts alone are compared.")
    if look.unexplained:
        notes.append(
            f"What is {'known of both' if look.unexplained == UNKNOWN else 'listed of both'} is the"
            " same. What differs is not in the sources of this database: perhaps the recipe of"
            f" {look.a.package}, which no source holds."
        )
    if is_cut:
        notes.append("There is more below them than is compared here, so there may be more causes.")
    return notes


async def _refused(
    datasette: Datasette, request: Request, typed: dict[str, str], mistake: Mistake
) -> Response:
    """Say what is wrong, as the format that was asked for has it."""
    form, headers = request.url_vars["format"], cors_headers(datasette)
    if form == "txt":
        return Response.text(f"{mistake.message}\n", status=mistake.status, headers=headers)
    if form == "json":
        told = {"ok": False, "error": mistake.message, "status": mistake.status, "title": None}
        return Response.json(told, status=mistake.status, headers=headers)
    if mistake is NOTHING_TYPED:
        # The form says by itself what is to be typed.
        return await _html(datasette, request, typed)
    return await _html(datasette, request, typed, mistake=mistake)


async def _html(
    datasette: Datasette,
    request: Request,
    typed: dict[str, str],
    *,
    compared: Comparison | None = None,
    mistake: Mistake | None = None,
) -> Response:
    # Of what was typed more hashes may begin alike some day.
    meant = {"a": compared.a.hash, "b": compared.b.hash} if compared else typed

    def address(form: str = "", **fields: str) -> str:
        return f"{datasette.urls.path(compare_path(form))}?{urlencode(meant | fields)}"

    context = {
        "typed": typed,
        "mistake": mistake,
        "compared": compared,
        "address": address,
        "most": MOST_LINES,
    }
    html = await datasette.render_template("compare.html", context, request, "compare")
    return Response.html(html, status=mistake.status if mistake else 200)


def as_json(compared: Comparison) -> dict[str, Any]:
    """Return a comparison as texts, numbers, lists and objects."""
    return {
        "ok": True,
        "a": _node(compared.a) | {name: values(compared.a, name) for name in FACTS[2:]},
        "b": _node(compared.b) | {name: values(compared.b, name) for name in FACTS[2:]},
        "facts": [_fact(fact) for fact in compared.different],
        "unknown_facts": compared.unknown,
        "dependencies": _dependencies(compared.dependencies),
        "causes": [_cause(cause) for cause in compared.causes],
        "notes": compared.notes,
        "is_cut": compared.is_cut,
    }


def _node(node: Node) -> dict[str, Any]:
    return {"hash": node.hash, "package": node.package, "version": node.version, "kind": node.kind}


def _fact(fact: Fact) -> dict[str, Any]:
    return {"name": fact.name, "only_a": fact.only_a, "only_b": fact.only_b}


def _edges(pairs: Sequence[tuple[Edge, Edge]]) -> list[dict[str, Any]]:
    return [{"a": a._asdict(), "b": b._asdict()} for a, b in pairs]


def _dependencies(found: Dependencies | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "same": _edges(found.same),
        "different": _edges(found.different),
        "only_a": [edge._asdict() for edge in found.only_a],
        "only_b": [edge._asdict() for edge in found.only_b],
    }


def _cause(cause: Cause) -> dict[str, Any]:
    look, found = cause.look, cause.look.dependencies
    return {
        "a": _node(look.a),
        "b": _node(look.b),
        "depth": cause.depth,
        "is_first": cause.is_first,
        "facts": [_fact(fact) for fact in look.facts],
        "only_a": [edge._asdict() for edge in found.only_a] if found else [],
        "only_b": [edge._asdict() for edge in found.only_b] if found else [],
        "needed_otherwise": _edges(found.needed_otherwise) if found else [],
        "unexplained": look.unexplained,
    }
