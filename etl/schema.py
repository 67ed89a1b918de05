"""The database: tables, columns, keys, indexes, search and what each of them means.

This is the one place that knows. The DDL, the descriptions that Datasette shows, the schema in
the README and the data package are all made from `TABLES`.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

APPLICATION_ID = 0x53504B43
"""`PRAGMA application_id` of this tool's databases ("SPKC"); no other file is overwritten."""

MAX_ROW = 250_000
"""Bytes of the largest row that the site shows, and so of any row that is written.

SQLite is told so where visitors send SQL (https://www.sqlite.org/limits.html): some functions
take time that grows with the square of a value's length.
"""


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
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    indexes: tuple[Index, ...] = ()
    search: Search | None = None
    rowid: bool = True

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns' names in order."""
        return tuple(column.name for column in self.columns)


PACKAGES = Table(
    "packages",
    "One row for each package that has a page or a binary in any release.",
    (
        Column("name", "Name of the package in Spack."),
        Column("num_specs", "How many specs (DAG hashes) of it there are.", "INTEGER"),
        Column("versions", "JSON array: its versions, newest first."),
        Column("compilers", "JSON array: the compilers its specs were built with."),
        Column("oses", "JSON array: the operating systems its specs were built for."),
        Column("platforms", "JSON array: the platforms its specs were built for."),
        Column("targets", "JSON array: the CPU targets its specs were built for."),
        Column("stacks", "JSON array: the CI stacks that hold a spec of it."),
        Column("releases", "JSON array: the releases that have it, newest first."),
    ),
    key=("name",),
    search=Search("name", "trigram"),
)

SPECS = Table(
    "specs",
    "One row for each concrete spec (DAG hash) that has a binary in any release.",
    (
        Column("hash", "Spack's DAG hash: 32 characters of a-z and 2-7; identifies the spec."),
        Column("package", "The package.", references="packages"),
        Column("version", "The package's version."),
        Column(
            "version_rank",
            "1 is the package's newest version: sorts versions as versions.",
            "INTEGER",
        ),
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
        Column(
            "newest",
            "Position of the newest release that holds it: what is current has the lowest.",
            "INTEGER",
        ),
        Column(
            "namespace",
            "The repository its recipe is of, for example builtin; NULL where only pages tell.",
            null=True,
        ),
        Column(
            "flags",
            "JSON array: its compiler flags in Spack's syntax; NULL where only pages tell of it.",
            null=True,
        ),
        Column(
            "build_spec",
            "What a spliced spec was built as, as name/hash; NULL of others.",
            null=True,
        ),
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
)

RELEASES = Table(
    "releases",
    "One row for each release of Spack whose build cache is listed, and each other build cache.",
    (
        Column("name", "develop, a weekly snapshot develop-YYYY-MM-DD, a version, or any other."),
        Column("kind", "develop, snapshot or version; mirror for any other build cache."),
        Column("date", "Date of a snapshot (ISO 8601); NULL for the others.", null=True),
        Column(
            "position",
            "1 is develop, then snapshots and versions, newest first each, then others by name.",
            "INTEGER",
        ),
        Column("num_packages", "How many packages have a binary in it.", "INTEGER"),
        Column("num_specs", "How many specs have a binary in it.", "INTEGER"),
        Column("mirror", "Address or folder of its build cache, for spack mirror add."),
        Column(
            "layout",
            "Layout of its build cache, 2 or 3; NULL where nothing tells. Spack 1 warns of 2.",
            "INTEGER",
            null=True,
        ),
    ),
    key=("name",),
    indexes=(Index(("position",), "releases in order"),),
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
        # SQLite finds a release in it too, by each stack in turn: there are a few dozen.
        Index(("stack", "release"), "a stack's specs, in all releases or in one"),
    ),
    rowid=False,
)

SPEC_RELEASES = Table(
    "spec_releases",
    "Which spec is in which release, whether in a stack or in none.",
    (
        Column("spec", "The spec's hash.", references="specs"),
        Column("release", "The release.", references="releases"),
        Column("tarball", "Address of the binary; NULL where no source tells it.", null=True),
    ),
    key=("spec", "release"),
    indexes=(Index(("release",), "a release's specs"),),
    rowid=False,
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
)

NODES = Table(
    "nodes",
    "One row for each DAG hash that is a spec or that any spec depends on.",
    (
        Column("hash", "Spack's DAG hash."),
        Column("package", "The package; there may be no binary of it."),
        Column("version", "The package's version; NULL of a dependency without record.", null=True),
        Column(
            "kind",
            "binary: it is in specs; external: it was on the machine that built; missing: no build"
            " cache that was read has a binary of it.",
        ),
        Column("external", "Path or module of an external one; NULL of others.", null=True),
    ),
    key=("hash",),
    indexes=(Index(("kind",), "the facet on kind"),),
    rowid=False,
)

DEPENDENCIES = Table(
    "dependencies",
    "Which spec was built or runs with which; pages do not tell, indexes of build caches do.",
    (
        Column("spec", "The hash of what depends.", references="nodes"),
        Column("dependency", "The hash of what it depends on.", references="nodes"),
        Column("build", "1 if it was needed to build, otherwise 0.", "INTEGER"),
        Column("link", "1 if it is linked with, otherwise 0.", "INTEGER"),
        Column("run", "1 if it is needed to run, otherwise 0.", "INTEGER"),
        Column("test", "1 if it was needed to test, otherwise 0.", "INTEGER"),
        Column("virtuals", "JSON array: what it provides, such as mpi or c."),
    ),
    key=("spec", "dependency"),
    indexes=(
        # The server reads all of it when it starts, and needs no row of the table.
        Index(
            ("dependency", "virtuals", "link", "run", "build"), "what depends on a spec, and how"
        ),
    ),
    rowid=False,
)

SOURCES = Table(
    "sources",
    "One row for each page and each index that was read, refused ones included.",
    (
        Column("path", "Path of the source below the folder that holds the releases."),
        Column("kind", "page: of the build cache website; index: of a build cache."),
        Column(
            "release",
            "The release it is of; NULL for a refused source.",
            references="releases",
            null=True,
        ),
        Column(
            "package",
            "The package that a page is of; NULL for an index and a refused page.",
            references="packages",
            null=True,
        ),
        Column(
            "stack",
            "The stack that an index is of, root for a whole mirror; NULL for a page.",
            references="stacks",
            null=True,
        ),
        Column(
            "layout",
            "Layout of the build cache, 2 or 3; NULL for a page and for an index by itself.",
            "INTEGER",
            null=True,
        ),
        Column(
            "database_version",
            "Version of Spack's database that an index is of; NULL for a page.",
            null=True,
        ),
        Column(
            "num_records",
            "How many records an index has, also of what is no binary; NULL for a page.",
            "INTEGER",
            null=True,
        ),
        Column(
            "num_specs", "How many binaries it lists; NULL for a refused one.", "INTEGER", null=True
        ),
        Column("bytes", "Size of it in bytes; 0 if it cannot be read or is too large.", "INTEGER"),
        Column("sha256", "SHA-256 of what was read of it, 64 hexadecimal digits."),
    ),
    key=("path",),
    indexes=(
        Index(("release",), "a release's sources"),
        Index(("package",), "a package's sources"),
        Index(("stack",), "a stack's sources"),
    ),
)

PROBLEMS = Table(
    "problems",
    "What was wrong in the sources: one row for each problem of one.",
    (
        Column("id", "Number of the problem.", "INTEGER"),
        Column("source", "The source.", references="sources"),
        Column("severity", "error: the source was left out; warning: it was loaded."),
        Column("kind", "A short fixed word; the README's table of problems explains each."),
        Column("message", "What was found, and what was expected."),
    ),
    key=("id",),
    indexes=(Index(("source",), "a source's problems"),),
)

TARGETS = Table(
    "targets",
    "One row for each CPU target: those of the specs, and the others that archspec knows.",
    (
        Column("name", "Name of the microarchitecture, for example zen4."),
        Column("vendor", "Who makes it; NULL where archspec does not know it.", null=True),
        Column("family", "Its family, for example x86_64; NULL where unknown.", null=True),
        Column("num_specs", "How many specs were built for exactly this target.", "INTEGER"),
    ),
    key=("name",),
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
    NODES,
    DEPENDENCIES,
    SOURCES,
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
