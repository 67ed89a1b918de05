"""What Datasette takes the parts of an address for: one rule for all who ask.

Which requests bring SQL that a visitor wrote is told from Datasette's own parsing of the query
string (`Request.args`), so that no spelling of an address passes for something else: `%73ql=`
is `sql=`, `+` is a blank, `;` separates nothing, and of a key given twice each value counts.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes
from weakref import WeakKeyDictionary

from datasette.app import Datasette
from datasette.utils.asgi import Request

from web.immutable.asgi import Scope

SQL_ARGUMENTS = ("sql", "_where")
"""Where Datasette takes SQL from: a query of a database, a condition on a table."""

_SQL_NAMES = re.compile("|".join(SQL_ARGUMENTS).encode())

_published: WeakKeyDictionary[Datasette, frozenset[str]] = WeakKeyDictionary()


def is_column_filter(key: str) -> bool:
    """Tell filters from other arguments, as Datasette's table page does."""
    return not key.startswith("_") or "__" in key


def sql_of_visitor(datasette: Datasette, scope: Scope) -> list[str]:
    """Return the SQL in a request that whoever runs the site did not write.

    Queries of charts, which a browser asks for as if a visitor had written them, are in the
    metadata and are left out. What is returned can depend on the time of day, and can cost
    whatever a query can cost. The path does not matter: some paths ignore these arguments, and to
    be told of SQL that is never run does no harm.

    Args:
        datasette: Whose metadata counts.
        scope: Of an HTTP request.
    """
    if not _may_have_sql(scope.get("query_string") or b""):
        return []
    arguments = Request(scope, None).args
    texts = [text for name in SQL_ARGUMENTS for text in arguments.getlist(name)]
    if not texts:
        return []
    published = _sql_of_metadata(datasette)
    return [text for text in texts if text.strip() not in published]


def _may_have_sql(query_string: bytes) -> bool:
    """Tell at little cost that a query string has no argument with SQL: nearly none has.

    What decodes to a name of ASCII letters is these very letters, or bytes written `%73`, wherever
    the arguments begin and end.
    """
    return bool(_SQL_NAMES.search(unquote_to_bytes(query_string)))


def _sql_of_metadata(datasette: Datasette) -> frozenset[str]:
    if datasette not in _published:
        _published[datasette] = frozenset(_queries(datasette.metadata()))
    return _published[datasette]


def _queries(metadata: object) -> Iterator[str]:
    """The texts called `query`, wherever they are; canned queries are not asked for by text."""
    if isinstance(metadata, dict):
        for name, value in metadata.items():
            if name == "query" and isinstance(value, str):
                yield value.strip()
            yield from _queries(value)
