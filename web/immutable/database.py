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

from web.immutable.memory import Memory, bytes_of

ANSWERS_BYTES = 4_000_000
"""So much is kept for questions that visitors can put: about any table, with any filter."""

LONGEST_QUESTION = 4_000
"""Bytes of such a question that is kept; of a longer one nothing is."""

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

Question = tuple[str, ...]
"""The name of a method and its arguments, or a query and its parameters."""


class FixedDatabase(Database):  # type: ignore[misc]
    """A database that cannot change, and remembers answers."""

    _of_site: dict[str, Results]
    _answers: Memory[Question, Any]

    @classmethod
    def made_of(cls, database: Database) -> None:
        """Let a database remember from now on; what it has opened stays open."""
        if not isinstance(database, cls):
            database.__class__ = cls
            database._of_site = {}
            database._answers = Memory(ANSWERS_BYTES, LONGEST_QUESTION)

    async def known(self, question: Question, ask: Callable[[], Awaitable[Any]]) -> Any:
        """Return the answer to a question, which is asked if it is not remembered."""
        if question in self._answers:
            answer = self._answers[question]
        else:
            answer = await ask()
            self._remember(question, answer)
        # Whoever gets a list may change it.
        return copy.copy(answer)

    def _remember(self, question: Question, answer: object) -> None:
        # Answers are of the schema, or one number: only questions can be of any length.
        self._answers.put(question, answer, bytes_of(*question))

    def remember_count(self, sql: str, params: dict[str, object], count: int) -> None:
        """Keep what this query would count."""
        self._remember(_question(sql, params), Results([(count,)], False, [("count(*)",)]))

    async def execute_once(self, sql: str) -> Results:
        """Run a query of the site's own, unless its answer is known."""
        if sql not in self._of_site:
            self._of_site[sql] = await self.execute(sql)
        return copy.copy(self._of_site[sql])

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


def _question(sql: str, params: object) -> Question:
    # Whatever is asked with can be written down, and differs there if it differs.
    return sql, repr(sorted(params.items()) if isinstance(params, dict) else params)


def _once(name: str) -> Callable[..., Awaitable[Any]]:
    original = getattr(Database, name)

    async def method(self: FixedDatabase, *arguments: str) -> Any:
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
