"""The database: tables, columns, keys, indexes, search and what each of them means.

This is the one place that knows. The DDL, the descriptions that Datasette shows, the schema in
the README and the data package are all made from `TABLES`.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field

APPLICATION_ID = 0x53504B43
"""`PRAGMA application_id` of this tool's databases ("SPKC"); no other file is overwritten."""

MIRROR = "https://binaries.spack.io/"
"""Where the releases' build caches are; `releases.mirror` is this and the release's name."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        name: as in SQL.
        description: what it holds, for a person; units and what NULL means included.
        type: TEXT or INTEGER.
        references: the table whose primary key it holds, if any.
        null: whether the value can be unknown.
    """

    name: str
    description: str
    type: str = "TEXT"
    references: str | None = None
    null: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    """An index and the page or query that it is there for."""

    columns: tuple[str, ...]
    serves: str


@dataclass(frozen=True, slots=True)
class Search:
    """A full-text index (FTS5) over one column.

    Attributes:
        column: what is indexed.
        tokenize: FTS5's tokenizer.
    """

    column: str
    tokenize: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        name: as in SQL.
        description: what one row is, for a person.
        columns: in order.
        key: the primary key.
        indexes: the others that are there for a purpose.
        search: its full-text index.
        rowid: False for a table that is its own primary key index (WITHOUT ROWID).
        show: what Datasette is told beside the descriptions: sort order, facets, page size.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    indexes: tuple[Index, ...] = ()
    search: Search | None = None
    rowid: bool = True
    show: dict[str, object] = field(default_factory=dict)

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns' names in order."""
        return tuple(column.name for column in self.columns)


PACKAGES = Table(
    "packages",
    "One row for each package that has a binary in any release.",
    (
        Column("name", "Name of the package in Spack."),
        Column("num_specs", "How many specs (DAG hashes) of it there are.", "INTEGER"),
        Column("versions", "JSON array: its versions, newest first."),
        Column("compilers", "JSON array: the compilers its specs were built with."),
        Column("oses", "JSON array: the operating systems its specs were built for."),
        Column("platforms", "JSON array: the platforms its specs were built for."),
        Column("targets", "JSON array: the CPU targets its specs were built for."),
        Column("stacks", "JSON array: the CI stacks that hold a spec of it."),
        Column("releases", "JSON array: the releases that hold a spec of it, newest first."),
    ),
    key=("name",),
    search=Search("name", "trigram"),
    show={
        "sort": "name",
        "size": 100,
        "plugins": {"bitmaps": {"arrays": ["stacks", "releases"]}},
    },
)

SPECS = Table(
    "specs",
    "One row for each concrete spec (DAG hash) that has a binary in any release.",
    (
        Column("hash", "Spack's DAG hash: 32 characters of a-z and 2-7; identifies the spec."),
        Column("package", "The package.", references="packages"),
        Column("version", "The package's version."),
        Column("compiler", "The compiler as name@version; none for what was built without one."),
        Column("compiler_name", "The compiler's name, for example gcc."),
        Column("compiler_version", "The compiler's version; NULL without a compiler.", null=True),
        Column("os", "The operating system it was built for, for example ubuntu22.04."),
        Column("platform", "linux, darwin or windows."),
        Column("target", "The CPU microarchitecture it was built for, for example x86_64_v3."),
        Column("variants", "JSON array: its variants in Spack's syntax, in the page's order."),
        Column("size", "Size of the binary in bytes; NULL where unknown.", "INTEGER", null=True),
        Column("spec", "The spec in one line of Spack's syntax, to read and to copy."),
        Column("stacks", "JSON array: the CI stacks that hold it in any release, sorted."),
        Column("releases", "JSON array: the releases that hold it, newest first."),
    ),
    key=("hash",),
    indexes=(
        Index(
            ("package", "version", "compiler", "os", "platform", "target"),
            "a package's specs and their facets",
        ),
        Index(("hash", "package", "version"), "which packages a release or a stack has"),
        # The server reads these when it starts, and counts facets without them from then on.
        Index(("version",), "the facet on version"),
        Index(("compiler",), "the facet on compiler"),
        Index(("os",), "the facet on os"),
        Index(("platform",), "the facet on platform"),
        Index(("target",), "the facet on target"),
        Index(("stacks",), "the facet on stacks"),
        Index(("releases", "compiler", "os", "target"), "the facet on releases, and the charts"),
        Index(("variants",), "the facet on variants"),
    ),
    search=Search("spec", "unicode61"),
    show={
        "label_column": "spec",
        "facets": [
            "version",
            "compiler",
            "os",
            "platform",
            "target",
            {"array": "stacks"},
            {"array": "releases"},
        ],
        "size": 50,
        # Of what pages filter by and count: see web/immutable/bitmaps.py.
        "plugins": {
            "bitmaps": {
                "columns": ["package", "version", "compiler", "os", "platform", "target"],
                "arrays": ["stacks", "releases", "variants"],
            }
        },
    },
)

STACKS = Table(
    "stacks",
    "One row for each CI stack name; root is a release's whole mirror.",
    (
        Column("name", "Name of the stack in Spack's CI."),
        Column("num_packages", "How many packages it holds in any release.", "INTEGER"),
        Column("num_specs", "How many specs it holds in any release.", "INTEGER"),
        Column("releases", "JSON array: the releases that have this stack, newest first."),
    ),
    key=("name",),
    show={"sort_desc": "num_specs", "size": 100},
)

RELEASES = Table(
    "releases",
    "One row for each release of Spack whose build cache is listed.",
    (
        Column("name", "develop, a weekly snapshot develop-YYYY-MM-DD, or a version."),
        Column("kind", "develop, snapshot or version."),
        Column("date", "Date of a snapshot (ISO 8601); NULL for the others.", null=True),
        Column(
            "position",
            "1 is develop, then snapshots newest first, then versions newest first.",
            "INTEGER",
        ),
        Column("num_packages", "How many packages have a binary in it.", "INTEGER"),
        Column("num_specs", "How many specs have a binary in it.", "INTEGER"),
        Column("mirror", "Address of its build cache, for spack mirror add."),
    ),
    key=("name",),
    indexes=(Index(("position",), "releases in order"),),
    show={"sort": "position", "size": 200},
)

SPEC_STACKS = Table(
    "spec_stacks",
    "Which spec is in which stack of which release.",
    (
        Column("spec", "The spec's hash.", references="specs"),
        Column("stack", "The stack.", references="stacks"),
        Column("release", "The release.", references="releases"),
    ),
    key=("spec", "stack", "release"),
    indexes=(
        Index(("stack", "release"), "a stack's specs, in all releases or in one"),
        Index(("release", "stack"), "a release's stacks"),
    ),
    rowid=False,
    show={"size": 100},
)

SPEC_RELEASES = Table(
    "spec_releases",
    "Which spec is in which release, whether in a stack or in none.",
    (
        Column("spec", "The spec's hash.", references="specs"),
        Column("release", "The release.", references="releases"),
        Column("tarball", "Address of the binary, in older pages; otherwise NULL.", null=True),
    ),
    key=("spec", "release"),
    indexes=(Index(("release",), "a release's specs"),),
    rowid=False,
    show={"size": 100},
)

VARIANTS = Table(
    "variants",
    "One row for each variant value; a list of values is one row for each of them.",
    (
        Column("variant", "The value as Spack writes it: +mpi, ~mpi, build_type=Release."),
        Column("name", "Name of the variant, for example mpi."),
        Column("value", "Its value; true and false for + and ~."),
        Column("num_specs", "How many specs have it.", "INTEGER"),
    ),
    key=("variant",),
    indexes=(Index(("name",), "the values of a variant"),),
    show={"sort_desc": "num_specs", "size": 100},
)

SPEC_VARIANTS = Table(
    "spec_variants",
    "Which spec has which variant value.",
    (
        Column("spec", "The spec's hash.", references="specs"),
        Column("variant", "The variant value.", references="variants"),
    ),
    key=("spec", "variant"),
    indexes=(Index(("variant",), "the specs with a variant value"),),
    rowid=False,
    show={"size": 100},
)

PAGES = Table(
    "pages",
    "One row for each page that was read, refused ones included.",
    (
        Column("path", "Path of the page below the folder that holds the releases."),
        Column(
            "release",
            "The release it is of; NULL for a refused page.",
            references="releases",
            null=True,
        ),
        Column(
            "package",
            "The package it is of; NULL for a refused page.",
            references="packages",
            null=True,
        ),
        Column(
            "num_specs", "How many specs it lists; NULL for a refused page.", "INTEGER", null=True
        ),
        Column(
            "bytes", "Size of the page in bytes; 0 if it cannot be read or is too large.", "INTEGER"
        ),
        Column("sha256", "SHA-256 of what was read of the page, 64 hexadecimal digits."),
    ),
    key=("path",),
    indexes=(
        Index(("release",), "a release's pages"),
        Index(("package",), "a package's pages"),
    ),
    show={"sort": "path", "size": 100},
)

PROBLEMS = Table(
    "problems",
    "What was wrong in the source: one row for each problem of a page.",
    (
        Column("id", "Number of the problem.", "INTEGER"),
        Column("page", "The page.", references="pages"),
        Column("severity", "error: the page was left out; warning: it was loaded."),
        Column("kind", "A short fixed word; the README's table of problems explains each."),
        Column("message", "What was found, and what was expected."),
    ),
    key=("id",),
    indexes=(Index(("page",), "a page's problems"),),
    show={"sort": "id", "facets": ["severity", "kind"], "label_column": "message", "size": 100},
)

TARGETS = Table(
    "targets",
    "One row for each CPU target: those of the pages, and the others that archspec knows.",
    (
        Column("name", "Name of the microarchitecture, for example zen4."),
        Column("vendor", "Who makes it; NULL where archspec does not know it.", null=True),
        Column("family", "Its family, for example x86_64; NULL where unknown.", null=True),
        Column("num_specs", "How many specs were built for exactly this target.", "INTEGER"),
    ),
    key=("name",),
    show={"sort_desc": "num_specs", "facets": ["family", "vendor"], "size": 100},
)

TARGET_COMPATIBILITY = Table(
    "target_compatibility",
    "Which binaries run where: a machine of the target runs binaries built for the other.",
    (
        Column("target", "The machine's target.", references="targets"),
        Column(
            "runs",
            "A target whose binaries run on it: itself or an ancestor.",
            references="targets",
        ),
    ),
    key=("target", "runs"),
    indexes=(Index(("runs",), "the machines a binary runs on"),),
    rowid=False,
    show={"size": 100},
)

TABLES: tuple[Table, ...] = (
    PACKAGES,
    SPECS,
    STACKS,
    RELEASES,
    SPEC_STACKS,
    SPEC_RELEASES,
    VARIANTS,
    SPEC_VARIANTS,
    PAGES,
    PROBLEMS,
    TARGETS,
    TARGET_COMPATIBILITY,
)
"""Every table, in the order in which a reader wants them."""


def create_tables(connection: sqlite3.Connection) -> None:
    """Create every table, empty, without the indexes (which are built faster at the end)."""
    # Here, not above: the processes that parse need the names only, and memory counts for each.
    from sqlite_utils import Database

    db = Database(connection)
    for table in TABLES:
        if table.rowid:
            db.table(table.name).create(
                {column.name: column.type for column in table.columns},
                pk=table.key[0],
                not_null={column.name for column in table.columns if not column.null},
                foreign_keys=[
                    (column.name, column.references, _key_of(column.references))
                    for column in table.columns
                    if column.references
                ],
            )
        else:
            # sqlite-utils cannot say WITHOUT ROWID.
            ddl = ", ".join(_ddl(table))
            connection.execute(f"CREATE TABLE {table.name} ({ddl}) WITHOUT ROWID")


def _ddl(table: Table) -> Iterator[str]:
    for column in table.columns:
        yield (
            f"{column.name} {column.type}"
            + ("" if column.null else " NOT NULL")
            + (
                f" REFERENCES {column.references}({_key_of(column.references)})"
                if column.references
                else ""
            )
        )
    yield f"PRIMARY KEY ({', '.join(table.key)})"


def _key_of(name: str) -> str:
    return next(table.key[0] for table in TABLES if table.name == name)


def create_indexes(connection: sqlite3.Connection) -> None:
    """Create the indexes and the full-text indexes of the filled tables."""
    from sqlite_utils import Database

    db = Database(connection)
    for table in TABLES:
        for index in table.indexes:
            db.table(table.name).create_index(index.columns)
        if table.search:
            db.table(table.name).enable_fts([table.search.column], tokenize=table.search.tokenize)
