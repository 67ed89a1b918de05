"""Exact filters for columns that hold JSON arrays, and what is shown of filters and facets.

Datasette's own filters "array contains" and "array does not contain" fail on a cell that is no
JSON, and find no element that is not a text, though its facets link to them. These here know an
element by its text, as the facet shows it: `1`, `1.5`, `1` and `0` for true and false, `None` for
null. What is no JSON has no elements. Their SQL runs in DuckDB too. (Where a table has bitmaps, see
bitmaps.py, they answer instead, and count facets.)

The plugin also

- counts facets of every type over all rows of the filter on later pages (`_next`), where
  Datasette 0.65 counts the rows that remain;
- keeps the parameters of `_through` apart from those of column filters, which Datasette 0.65
  names alike, so that the two together find nothing;
- gives templates `active_filters` (`ActiveFilter`) and the filter `facet_groups`
  (`facet_groups`).

It replaces entries of Datasette's table of filters, which no hook can change, and relies on
filters having the parameters `p0`, `p1` and so on; test_arrays.py fails when that changes.
"""

import functools
import itertools
import json
import re
from collections.abc import Generator, Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

from datasette import hookimpl
from datasette.app import Datasette
from datasette.facets import Facet
from datasette.filters import Filter, FilterArguments, Filters
from datasette.utils import await_me_maybe
from datasette.utils.asgi import Request

from web.immutable import table_page
from web.immutable.plugin_filters import PluginFilters
from web.immutable.requests import is_column_filter
from web.immutable.sql import quoted

Result = dict[str, Any]
"""One value of a facet, with the keys of Datasette's JSON."""

HOLDS_SQL = """exists (
    select 1 from json_each(case when json_valid({array}) then {array} end)
    where cast(json_quote(value) as text) in ({elements})
)"""

APPLIED = "arrays.applied"
PARAMETER = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*(?:\]|$)|:(p\d+)\b""")

GROUP_FROM = 12
"""Facets with more values than this are grouped, if that shortens the list by a third."""


class ActiveFilter(NamedTuple):
    """One filter of a table page, for people.

    Attributes:
        text: What it says, such as `os = ubuntu22.04` or `stacks contains e4s`.
        remove_url: The same page, from its first row, without this filter.
    """

    text: str
    remove_url: str


class FacetGroup(NamedTuple):
    """Values of a facet that are shown together.

    Attributes:
        name: What the values have in common, or "" for values that stand by themselves.
        results: The values as Datasette gives them.
        selected: Whether the page is filtered by one of them.
    """

    name: str
    results: Sequence[Result]
    selected: bool


class ArrayContains(Filter):  # type: ignore[misc]
    """The filter `<column>__arraycontains=<element>`, or its opposite."""

    def __init__(self, key: str, display: str, verb: str, *, negated: bool = False) -> None:
        self.key = key
        self.display = display
        self.verb = verb
        self.negated = negated

    def where_clause(
        self, table: str, column: str, value: str, param_counter: int
    ) -> tuple[str, str]:
        """Return the condition in SQL and the value of its one parameter."""
        elements = [f"cast(json_quote(:p{param_counter}) as text)"]
        if value == "None":
            elements.append("'null'")
        elif value != "null" and not value.startswith('"'):  # the JSON of null, and of texts
            elements.append(f":p{param_counter}")
        array = f"{quoted(table)}.{quoted(column)}"
        holds = HOLDS_SQL.format(array=array, elements=", ".join(elements))
        return (f"not {holds}" if self.negated else holds), value

    def human_clause(self, column: str, value: str) -> str:
        """Return the condition in English."""
        return f'{column} {self.verb} "{value}"'


FILTERS = (
    ArrayContains("arraycontains", "array contains", "contains"),
    ArrayContains("arraynotcontains", "array does not contain", "does not contain", negated=True),
)


class WholeFilterFacet(Facet):  # type: ignore[misc]
    """A facet that counts all rows of the filter, whichever page of them is shown.

    To be mixed into a facet class. Its links lead to the first page, since a row of another
    filter is no place to continue from.
    """

    def __init__(
        self,
        ds: Datasette,
        request: Request,
        database: str,
        sql: str | None = None,
        table: str | None = None,
        **rest: Any,
    ) -> None:
        if sql and table and "_next" in request.args:
            filters = table_page.column_filters(request, ds.table_metadata(database, table))
            clauses, _ = filters.build_where_clauses(table)
            for applied in request.scope[APPLIED]:
                clauses += applied.where_clauses
            sql = table_page.without_next(sql, table, clauses)
            request = _first_page(request)
        super().__init__(ds, request, database, sql=sql, table=table, **rest)

    def get_configs(self) -> list[dict[str, Any]]:
        """Return what to facet by; what is asked for again is not counted again."""
        configs: dict[str, dict[str, Any]] = {}
        for config in super().get_configs():
            configs.setdefault(json.dumps(config["config"], sort_keys=True), config)
        return list(configs.values())


@hookimpl(wrapper=True)  # type: ignore[untyped-decorator]
def register_facet_classes() -> Generator[None, list[list[type]], list[list[type]]]:
    """Let the facets of every type count the whole filter."""
    classes_of_plugins = yield
    return [[_counting_all(facet) for facet in classes] for classes in classes_of_plugins]


@hookimpl  # type: ignore[untyped-decorator]
def startup() -> None:
    """Put the filters into Datasette's table, which no hook can change."""
    for replacement in FILTERS:
        Filters._filters_by_key[replacement.key] = replacement
    Filters._filters[:] = Filters._filters_by_key.values()


@hookimpl(wrapper=True)  # type: ignore[untyped-decorator]
def filters_from_request(request: Request) -> Generator[None, list[object], list[object]]:
    """Name the parameters of each plugin's filters apart, and remember the filters."""
    plugins = yield
    applied: list[FilterArguments] = []
    request.scope[APPLIED] = applied
    return [
        functools.partial(_apply, filters, f"plugin{number}_", applied)
        for number, filters in enumerate(plugins)
    ]


@hookimpl  # type: ignore[untyped-decorator]
def extra_template_vars(
    request: Request | None, table: str | None, view_name: str, datasette: Datasette
) -> dict[str, list[ActiveFilter]]:
    """Give table pages their `active_filters`."""
    if request is None or table is None or view_name != "table":
        return {}
    return {"active_filters": active_filters(datasette, request)}


@hookimpl  # type: ignore[untyped-decorator]
def prepare_jinja2_environment(env: Any) -> None:
    """Give templates the filter `facet_groups`."""
    env.filters["facet_groups"] = facet_groups


def active_filters(datasette: Datasette, request: Request) -> list[ActiveFilter]:
    """Return the filters of a table page in the order of its address.

    Args:
        datasette: Where the page is served.
        request: The page's request, after Datasette applied its filters.
    """
    pairs = _pairs(_first_page(request))
    applied: list[FilterArguments] = request.scope[APPLIED]
    active = []
    for pair in dict.fromkeys(pairs):
        if text := _description(*pair, applied):
            rest = [other for other in pairs if other != pair]
            active.append(ActiveFilter(text, _path(datasette, request, rest)))
    return active


def facet_groups(facet: Result) -> list[FacetGroup]:
    """Return the values of a facet by array, in groups where many have a name in common.

    `+mpi`, `~mpi` and `mpi=on` have the name `mpi`. Groups are sorted by name.

    Args:
        facet: One of the `facet_results` of Datasette's JSON.
    """
    results: list[Result] = facet["results"]
    by_name: dict[str, list[Result]] = {}
    if facet["type"] == "array" and len(results) > GROUP_FROM:
        for result in results:
            by_name.setdefault(_name(result["label"]), []).append(result)
    if not by_name or len(by_name) * 3 > len(results) * 2:
        return [_facet_group("", results)]
    return [
        _facet_group(name if len(by_name[name]) > 1 else "", by_name[name])
        for name in sorted(by_name, key=str.casefold)
    ]


def _facet_group(name: str, results: Sequence[Result]) -> FacetGroup:
    return FacetGroup(name, results, any(result["selected"] for result in results))


def _name(label: str) -> str:
    if label[:1] in {"+", "~"}:
        return label[1:]
    return label.partition("=")[0] or label


def _description(key: str, value: str, applied: Iterable[FilterArguments]) -> str:
    """Return what a pair of the query string filters by, or "" for other pairs."""
    if is_column_filter(key):
        description: str = Filters([(key, value)]).human_description_en().removeprefix("where ")
        unquoted = description.removesuffix(f'"{value}"')
        return unquoted + value if value and unquoted != description else description
    if key == "_where":
        return value
    for filters in applied:
        if isinstance(filters, PluginFilters) and (key, value) in filters.texts:
            return filters.texts[key, value]
    subject, value = _subject(key, value)
    descriptions = itertools.chain.from_iterable(each.human_descriptions for each in applied)
    return f"{subject} {value}" if f'{subject} "{value}"' in descriptions else ""


def _subject(key: str, value: str) -> tuple[str, str]:
    """Return Datasette's words for what is compared with the value, and the value."""
    if key == "_through":
        through = json.loads(value)
        return f"{through['table']}.{through['column']} =", str(through["value"])
    if key == "_search":
        return "search matches", value
    return f'search column "{key.removeprefix("_search_")}" matches', value


async def _apply(plugin: object, prefix: str, applied: list[FilterArguments]) -> object:
    """Return the filters of a plugin under parameter names of their own."""
    filters = await await_me_maybe(plugin)
    if not filters:
        return filters
    names = {name: prefix + name for name in filters.params if re.fullmatch(r"p\d+", name)}
    if names:
        filters = FilterArguments(
            [_renamed(clause, names) for clause in filters.where_clauses],
            {names.get(name, name): value for name, value in filters.params.items()},
            filters.human_descriptions,
            filters.extra_context,
        )
    applied.append(filters)
    return filters


def _renamed(clause: str, names: dict[str, str]) -> str:
    def replacement(match: re.Match[str]) -> str:
        return f":{names[match[1]]}" if match[1] in names else match[0]

    return PARAMETER.sub(replacement, clause)


@functools.cache
def _counting_all(facet: type[Any]) -> type[Any]:
    return type(facet.__name__, (WholeFilterFacet, facet), {})


def _first_page(request: Request) -> Request:
    pairs = [pair for pair in _pairs(request) if pair[0] != "_next"]
    return Request(dict(request.scope, query_string=urlencode(pairs).encode()), request.receive)


def _pairs(request: Request) -> list[tuple[str, str]]:
    return parse_qsl(request.query_string, keep_blank_values=True)


def _path(datasette: Datasette, request: Request, pairs: Sequence[tuple[str, str]]) -> str:
    # A path that has the prefix already is known by its type, which adding to it keeps.
    path: str = datasette.urls.path(request.path + (f"?{urlencode(pairs)}" if pairs else ""))
    return path
