"""What need not be asked of a database twice, where it cannot change.

Datasette reads the schema anew for each page, with a hundred small queries for the home page,
each handed to another thread. A database that is served as immutable has one schema, so this
plugin keeps what Datasette learnt of it. Other plugins find more methods:

- `execute_once(sql)`, on any database, keeps what a query of the site gives if the database cannot
  change, and is meant for few queries;
- `remember_count(sql, params, count)`, on one that cannot change, answers a query that counts
  before it is asked.
"""

import copy
from collections.abc import Awaitable, Callable
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database, Results

MOST_ANSWERS = 2_000
"""So many answers are kept; a visitor can ask for any table, and any filter."""

SCHEMA_METHODS = (
    "table_exists",
    "table_names",
    "table_columns",
    "primary_keys",
    "fts_table",
    "foreign_keys_for_table",
    "hidden_table_names",
    "view_names",
    "get_all_foreign_keys",
    "get_table_definition",
    "get_view_definition",
)

# What Datasette asks for each table that a page might link to.
SPELLING_SQL = (
    "select name from sqlite_master where type in ('table', 'view') and name = ? collate nocase"
)


class FixedDatabase(Database):  # type: ignore[misc]
    """A database that cannot change, and remembers answers."""

    _answers: dict[tuple[object, ...], Any]

    @classmethod
    def made_of(cls, database: Database) -> None:
        """Let a database remember from now on; what it has opened stays open."""
        if not isinstance(database, cls):
            database.__class__ = cls
            database._answers = {}

    async def known(self, question: tuple[object, ...], ask: Callable[[], Awaitable[Any]]) -> Any:
        """Return the answer to a question, which is asked if it was not before."""
        if question not in self._answers:
            self._remember(question, await ask())
        # Whoever gets a list may change it.
        return copy.copy(self._answers[question])

    def _remember(self, question: tuple[object, ...], answer: object) -> None:
        self._answers[question] = answer
        if len(self._answers) > MOST_ANSWERS:
            del self._answers[next(iter(self._answers))]

    def remember_count(self, sql: str, params: dict[str, object], count: int) -> None:
        """Keep what this query would count."""
        self._remember(_question(sql, params), Results([(count,)], False, [("count(*)",)]))

    async def execute_once(self, sql: str) -> Results:
        """Run a query, unless its answer is known."""
        return await self.known(_question(sql, None), lambda: self.execute(sql))

    async def execute(self, sql: str, params: Any = None, **options: Any) -> Results:
        """Run a query, or give the answer to one that Datasette asks again and again."""
        if sql == SPELLING_SQL:
            ask = super().execute
            return await self.known(_question(sql, params), lambda: ask(sql, params, **options))
        if sql.startswith("select count(*) ") and (question := _question(sql, params)) in (
            self._answers
        ):
            return self._answers[question]
        return await super().execute(sql, params, **options)


def _question(sql: str, params: object) -> tuple[str, str]:
    # Whatever is asked with can be written down, and differs there if it differs.
    return sql, repr(sorted(params.items()) if isinstance(params, dict) else params)


def _once(name: str) -> Callable[..., Awaitable[Any]]:
    original = getattr(Database, name)

    async def method(self: FixedDatabase, *arguments: object) -> Any:
        return await self.known((name, *arguments), lambda: original(self, *arguments))

    return method


for method_name in SCHEMA_METHODS:
    setattr(FixedDatabase, method_name, _once(method_name))


@hookimpl  # type: ignore[untyped-decorator]
def startup(datasette: Datasette) -> None:
    """Let all databases that cannot change remember answers."""
    for database in datasette.databases.values():
        if database.is_mutable or database.is_memory:
            database.execute_once = database.execute
        else:
            FixedDatabase.made_of(database)
