"""Exact, fast facets and filters for columns that hold JSON arrays, in any Datasette.

Datasette's own array facet unfolds the array of every row. Many rows share few different
arrays, so this plugin counts the rows of each different array first and unfolds only these. The
filters "array contains" and "array does not contain" unfold only arrays whose text holds the
element. Query string, JSON and metadata stay as Datasette documents them. (Where a table has
bitmaps, see bitmaps.py, they count instead.)

The plugin also

- counts facets of every type over all rows of the filter on later pages (`_next`), where
  Datasette 0.65 counts the rows that remain;
- keeps the parameters of `_through` apart from those of column filters, which Datasette 0.65
  names alike, so that the two together find nothing;
- gives templates `active_filters` (`ActiveFilter`) and the filter `facet_groups`
  (`facet_groups`).

An element is known by its text as SQLite casts it (`1`, `1.5`; `1` and `0` for true and false),
as Datasette shows and links it; a null is `None`. What is no JSON has no elements.
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
from datasette.database import QueryInterrupted
from datasette.facets import ArrayFacet, Facet
from datasette.filters import Filter, FilterArguments, Filters
from datasette.utils import await_me_maybe, escape_sqlite
from datasette.utils.asgi import Request

from web.immutable.requests import is_column_filter
from web.immutable.sql import quoted

Result = dict[str, Any]
"""One value of a facet, with the keys of Datasette's JSON."""

ELEMENT = "coalesce(cast(value as text), 'None')"

# Arrays are unfolded as they are where no element repeats, because that is almost always so
# and removing repeats from each array takes half as long again.
FACET_SQL = f"""
    with arrays as (
        select {{column}} as facet_array, count(*) as facet_rows from ({{sql}})
        where {{column}} is not null group by {{column}}
    ),
    counts as (
        select element.value, sum(facet_rows) as facet_rows
        from arrays, json_each(
            case
                when not json_valid(facet_array) then null
                when json_array_length(facet_array)
                    = (select count(distinct {ELEMENT}) from json_each(facet_array))
                    then facet_array
                else (
                    select json_group_array(text) from (
                        select distinct {ELEMENT} as text from json_each(facet_array)
                    )
                )
            end
        ) as element
        group by element.value
    )
    select {ELEMENT} as value, sum(facet_rows) as count from counts
    group by 1 order by 2 desc, 1 limit {{limit}}
"""

HOLDS_SQL = f"""exists (
    select 1 from json_each(case when json_valid({{array}}) then {{array}} end)
    where {ELEMENT} = :{{parameter}}
)"""

# Only the text of a string is in the JSON as it is, and only if nothing there is escaped. These
# may be the text of something else: 100.0 of 1e2, None of null.
MAYBE_NO_STRING = re.compile(r"[-\d\[{]|None$|Inf$")

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
    """The filter `<column>__arraycontains=<element>`, or its opposite.

    An array is unfolded only if its text holds the element.
    """

    def __init__(self, key: str, display: str, verb: str, *, negated: bool = False) -> None:
        self.key = key
        self.display = display
        self.verb = verb
        self.negated = negated

    def where_clause(
        self, table: str, column: str, value: str, param_counter: int
    ) -> tuple[str, str]:
        """Return the condition in SQL and the value of its one parameter."""
        parameter = f"p{param_counter}"
        array = f"{quoted(table)}.{quoted(column)}"
        holds = HOLDS_SQL.format(array=array, parameter=parameter)
        if not MAYBE_NO_STRING.match(value):
            holds = f"(instr({array}, :{parameter}) or instr({array}, '\\')) and {holds}"
        return (f"not ({holds})" if self.negated else f"({holds})"), value

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
            sql = _sql_of_all_pages(request, table, sql)
            request = _first_page(request)
        super().__init__(ds, request, database, sql=sql, table=table, **rest)

    def get_configs(self) -> list[dict[str, Any]]:
        """Return what to facet by; what is asked for again is not counted again."""
        configs: dict[str, dict[str, Any]] = {}
        for config in super().get_configs():
            configs.setdefault(json.dumps(config["config"], sort_keys=True), config)
        return list(configs.values())


class DifferentArraysFacet(WholeFilterFacet, ArrayFacet):  # type: ignore[misc]
    """Datasette's facet by array, unfolding each different array once."""

    async def facet_results(self) -> tuple[list[Result], list[str]]:
        """Return the facets in Datasette's form, and the columns that took too long."""
        results, timed_out = [], []
        for config in self.get_configs():
            column = _column(config)
            try:
                results.append(await self._facet(column, hideable=config["source"] != "metadata"))
            except QueryInterrupted:
                timed_out.append(column)
        return results, timed_out

    async def _facet(self, column: str, *, hideable: bool) -> Result:
        size = self.get_facet_size()
        counts = await self._counts(column, size + 1)
        shown = dict(itertools.islice(counts.items(), size))
        pairs = self.get_querystring_pairs()
        key = f"{column}__arraycontains"
        selected = {value for name, value in pairs if name == key}
        hidden = sorted(selected - shown.keys())
        if hidden:
            shown = dict.fromkeys(hidden, await self.get_row_count()) | shown
        return {
            "name": column,
            "type": self.type,
            "results": [
                self._result(key, value, count, selected=value in selected)
                for value, count in shown.items()
            ],
            "hideable": hideable,
            "toggle_url": self._path([pair for pair in pairs if pair != ("_facet_array", column)]),
            "truncated": len(counts) > size,
        }

    async def _counts(self, column: str, limit: int) -> dict[str, int]:
        rows = await self.ds.execute(
            self.database,
            FACET_SQL.format(column=escape_sqlite(column), sql=self.sql, limit=limit),
            self.params,
            truncate=False,
            custom_time_limit=self.ds.setting("facet_time_limit_ms"),
        )
        return {row["value"]: row["count"] for row in rows}

    def _result(self, key: str, value: str, count: int, *, selected: bool) -> Result:
        pairs = self.get_querystring_pairs()
        if selected:
            toggled = [pair for pair in pairs if pair != (key, value)]
        else:
            toggled = [*pairs, (key, value)]
        return {
            "value": value,
            "label": value,
            "count": count,
            "toggle_url": self.ds.absolute_url(self.request, self._path(toggled)),
            "selected": selected,
        }

    def _path(self, pairs: Sequence[tuple[str, str]]) -> str:
        return _path(self.ds, self.request, pairs)


@hookimpl(wrapper=True)  # type: ignore[untyped-decorator]
def register_facet_classes() -> Generator[None, list[list[type]], list[list[type]]]:
    """Replace Datasette's facet by array, and let all others count the whole filter."""
    plugins = yield
    return [[_facet_class(facet) for facet in facets] for facets in plugins]


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
    renamed = FilterArguments(
        [_renamed(clause, names) for clause in filters.where_clauses],
        {names.get(name, name): value for name, value in filters.params.items()},
        filters.human_descriptions,
        filters.extra_context,
    )
    applied.append(renamed)
    return renamed


def _renamed(clause: str, names: dict[str, str]) -> str:
    def replacement(match: re.Match[str]) -> str:
        return f":{names[match[1]]}" if match[1] in names else match[0]

    return PARAMETER.sub(replacement, clause)


@functools.cache
def _facet_class(facet: type[Any]) -> type[Any]:
    if facet.type == DifferentArraysFacet.type:
        return DifferentArraysFacet
    return type(facet.__name__, (WholeFilterFacet, facet), {})


def _sql_of_all_pages(request: Request, table: str, sql: str) -> str:
    """Return the table page's SQL without the condition that begins a later page.

    The page appends that condition to those of the filters, which are therefore built again.
    """
    selected, where, _ = sql.partition(f" from {escape_sqlite(table)} where ")
    if not where:
        return sql
    pairs = [
        (key, value)
        for key in request.args
        if is_column_filter(key)
        for value in request.args.getlist(key)
    ]
    clauses, _ = Filters(sorted(pairs)).build_where_clauses(table)
    for filters in request.scope[APPLIED]:
        clauses.extend(filters.where_clauses)
    return f"{selected}{where}{' and '.join(clauses or ['true'])}"


def _first_page(request: Request) -> Request:
    pairs = [pair for pair in _pairs(request) if pair[0] != "_next"]
    return Request(dict(request.scope, query_string=urlencode(pairs).encode()), request.receive)


def _pairs(request: Request) -> list[tuple[str, str]]:
    return parse_qsl(request.query_string, keep_blank_values=True)


def _path(datasette: Datasette, request: Request, pairs: Sequence[tuple[str, str]]) -> str:
    query = urlencode(pairs)
    path: str = datasette.urls.path(f"{request.path}?{query}" if query else request.path)
    return path


def _column(config: dict[str, Any]) -> str:
    column: str = config["config"].get("column") or config["config"]["simple"]
    return column
