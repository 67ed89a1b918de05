"""Sort the records of all indexes by package: what the build does before it reads packages.

An index holds all packages of a stack, and a package's specs are in many indexes. So every index is
read once, in parts and by several processes, to see that each record is as it must be, and where it
is; `records.db` in the staging folder then tells, package by package, where to read each of them
again. Memory and disk follow neither the length of records nor that of an index; compressed ones
are unpacked on disk.
"""

import os
import re
import sqlite3
import zlib
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from etl.errors import Refusal, RefusedError, changed
from etl.problems import MOST_NAMES
from etl.sources.caches import Faults, fast, general, grammar, read_record, record_at
from etl.sources.caches.general import Unknown
from etl.sources.caches.grammar import Record
from etl.sources.caches.listing import ListedIndex, is_as_hashed
from etl.sources.caches.manifests import DATABASE_VERSIONS
from etl.sources.caches.sizes import Size, SizesTask, read_sizes, size_tasks
from etl.sources.caches.spans import Header, Span
from etl.sources.content import GZIP, FileBytes, open_source, too_large
from etl.sources.find import as_text
from etl.sources.listing import INDEX_COLUMNS
from etl.spelling import as_json
from etl.staging import insert_rows, writing
from etl.workers import Workers

_PART = 8 * 1024 * 1024
_CHUNK = 1024 * 1024
# What is left of it is copied behind each member of a gzip file.
_PACKED_CHUNK = 16 * 1024
_MAX_MEMBERS = 100_000
_ROWS_AT_ONCE = 1000
_DIGEST_BYTES = 16

_MOST_KEPT = 50_000
"""So many specs that were read are known again in another index; of a release there are as many."""

# Of one spec the indexes say the same but for this.
_OWN_TAIL = re.compile(rb',"ref_count":(?:0|[1-9]\d*)(?:,"in_buildcache":(true|false))?\}\Z')
_IN_BUILDCACHE = {b"true": True, b"false": False, None: None}
_LONGEST_TAIL = 64

_COLUMNS = "package, hash, source, is_binary, digest, start, end"


@dataclass
class SortedIndex:
    """What was learnt of an index while its records were sorted.

    Attributes:
        number: its row in the table `indexes`.
        listed: the index.
        version: of the database; None if it was refused before that was known.
        num_records: its records.
        num_silent: those of them that do not say whether there is a binary.
        unknown: (place, key) → how often a key that nobody knows occurs.
        refusals: why it is refused; empty if it is not.
    """

    number: int
    listed: ListedIndex
    version: str | None = None
    num_records: int = 0
    num_silent: int = 0
    unknown: Unknown = field(default_factory=Counter)
    refusals: list[Refusal] = field(default_factory=list)


class _Task(NamedTuple):
    """A part of an index to read, or all of it where no header is given."""

    folder: Path
    number: int
    listed: ListedIndex
    header: Header | None = None
    start: int = 0
    end: int = 0


class _Part(NamedTuple):
    """What was learnt from a part of an index; `is_ordinary` if it could be read so."""

    number: int
    version: str | None
    num_records: int
    num_silent: int
    unknown: Mapping[tuple[str, str], int]
    compilers: frozenset[str]
    refusals: Sequence[Refusal] = ()
    is_ordinary: bool = True


def sort_records(folder: Path, workers: Workers) -> Generator[int, None, list[SortedIndex]]:
    """Write `records.db` into the staging folder.

    Args:
        folder: the staging folder, in which `files.db` lists the indexes.
        workers: who reads.

    Yields:
        Numbers of indexes as they are read.

    Returns:
        All indexes, in the order in which they count.
    """
    found = {number: SortedIndex(number, listed) for number, listed in listed_indexes(folder)}
    if not found:
        return []
    for index in found.values():
        if index.listed.refusal:
            index.refusals.append(index.listed.refusal)
    readable = [_Task(folder, n, index.listed) for n, index in found.items() if not index.refusals]
    headers: dict[int, Header | None] = {}
    for number, header, refusal in workers.run(_prepare, readable):
        headers[number] = header
        if refusal:
            found[number].refusals.append(refusal)
    compilers = yield from _read_all(folder, found, headers, workers)
    _merge(folder, found, _sizes(found, workers))
    indexes = list(found.values())
    _resolve(folder, indexes, compilers)
    return indexes


def listed_indexes(folder: Path) -> Iterator[tuple[int, ListedIndex]]:
    """The indexes that `files.db` lists, by number, in the order in which they count."""
    with closing(sqlite3.connect(folder / "files.db")) as files:
        rows = f"SELECT rowid, {INDEX_COLUMNS} FROM indexes ORDER BY rowid"
        for number, *values in files.execute(rows):
            yield number, ListedIndex(*values)


def _prepare(task: _Task) -> tuple[int, Header | None, Refusal | None]:
    """Unpack an index if need be, and find where its records are."""
    try:
        with unpacked(task.folder, task.number, task.listed) as data:
            return task.number, fast.read_header(data), None
    except RefusedError as error:
        return task.number, None, error.refusals[0]
    except OSError as error:
        if error.filename and os.fsencode(error.filename) == task.listed.real:
            reason = Refusal(0, "unreadable", f"cannot be read: {error.strerror}")
            return task.number, None, reason
        raise


def data_file(folder: Path, number: int, listed: ListedIndex) -> bytes:
    """Path of an index as it is read: the file itself, or what it was unpacked to."""
    unpacked = _unpacked_file(folder, number)
    return os.fsencode(unpacked) if unpacked.exists() else listed.real


def _unpacked_file(folder: Path, number: int) -> Path:
    return folder / f"index-{number}.json"


def unpack(folder: Path, number: int, listed: ListedIndex) -> None:
    """Unpack an index into the staging folder, if it is compressed.

    Raises:
        RefusedError: it is damaged, or too large.
        OSError: it cannot be read, or there is no room.
    """
    with open_source(listed.real) as packed:
        start = packed.read(_PACKED_CHUNK)
        is_gzip = start.startswith(GZIP)
        if listed.compression == "gzip" and not is_gzip:
            raise RefusedError(Refusal(0, "checksum", "it is not compressed with gzip as is said"))
        if not is_gzip:
            return
        try:
            _unpack(start, packed.read, _unpacked_file(folder, number))
        except RefusedError:
            # There may be many such indexes, and no room for all of them.
            _unpacked_file(folder, number).unlink()
            raise


def _unpack(start: bytes, read: Callable[[int], bytes], to: Path) -> None:
    size = 0
    try:
        with to.open("wb") as file:
            for chunk in _inflated(start, read):
                size += file.write(chunk)
                if size > grammar.MAX_BYTES:
                    break
    except (zlib.error, EOFError):
        message = "it is damaged: it cannot be unpacked with gzip"
        raise RefusedError(Refusal(0, "checksum", message)) from None
    if size > grammar.MAX_BYTES:
        raise RefusedError(too_large(size, grammar.MAX_BYTES))


def _inflated(start: bytes, read: Callable[[int], bytes]) -> Iterator[bytes]:
    """What is in a gzip file, a bounded part of it at a time; it may have several members.

    Raises:
        RefusedError: it has too many members.
        zlib.error: it is damaged.
        EOFError: it ends too early.
    """
    packed = start
    for _ in range(_MAX_MEMBERS):
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            if not packed and not (packed := read(_PACKED_CHUNK)):
                raise EOFError
            yield member.decompress(packed, _CHUNK)
            packed = member.unconsumed_tail
        packed = member.unused_data or read(_PACKED_CHUNK)
        if not packed:
            return
    raise grammar.refuse("too-large", f"more than {_MAX_MEMBERS:,} gzip files in one")


@contextmanager
def unpacked(folder: Path, number: int, listed: ListedIndex) -> Iterator[FileBytes]:
    """The bytes of an index, which is unpacked into the staging folder if it is compressed.

    Raises:
        RefusedError: it is empty, damaged, or too large.
        OSError: it cannot be read, or there is no room.
    """
    unpack(folder, number, listed)
    with _opened(data_file(folder, number, listed)) as data:
        yield data


@contextmanager
def _opened(file: bytes) -> Iterator[FileBytes]:
    """The bytes of an index.

    Raises:
        RefusedError: there are none.
        OSError: it cannot be read.
    """
    with open_source(file) as source:
        if not os.fstat(source.fileno()).st_size:
            raise grammar.refuse("empty", "the index holds nothing")
        yield FileBytes(source.fileno(), as_text(os.fsdecode(file)))


def _read_all(
    folder: Path,
    found: Mapping[int, SortedIndex],
    headers: Mapping[int, Header | None],
    workers: Workers,
) -> Generator[int, None, set[str]]:
    """Read every record; the hashes of those that are compilers are returned."""
    tasks = [
        task
        for number, header in headers.items()
        if not found[number].refusals
        for task in _tasks(_Task(folder, number, found[number].listed), header)
    ]
    waiting = Counter(task.number for task in tasks)
    yield len(found) - len(waiting)
    parts: dict[int, list[_Part]] = defaultdict(list)
    for part in workers.run(_read_part, tasks):
        parts[part.number].append(part)
        waiting[part.number] -= 1
        yield int(not waiting[part.number])
    odd = [number for number, read in parts.items() if not _are_enough(read)]
    _forget(folder, odd)
    again = [_Task(folder, number, found[number].listed) for number in odd]
    for part in workers.run(_read_part, again):
        parts[part.number] = [part]
    for number, read in parts.items():
        for part in read:
            _add(found[number], part)
    return {compiler for read in parts.values() for part in read for compiler in part.compilers}


def _are_enough(parts: Sequence[_Part]) -> bool:
    """Whether an index need not be read again as a whole."""
    # Which keys are named, of more than can be, depends on where a part begins.
    names = {name for part in parts for name in part.unknown}
    is_whole = len(parts) == 1 or len(names) <= MOST_NAMES
    return is_whole and all(part.is_ordinary for part in parts)


def _add(index: SortedIndex, part: _Part) -> None:
    index.version = part.version
    index.num_records += part.num_records
    index.num_silent += part.num_silent
    index.unknown.update(part.unknown)
    index.refusals.extend(part.refusals)


def _tasks(index: _Task, header: Header | None) -> Iterator[_Task]:
    if header is None or header.version not in map(str, DATABASE_VERSIONS):
        yield index
        return
    for start in range(header.start, max(header.end, header.start + 1), _PART):
        end = min(start + _PART, header.end)
        yield index._replace(header=header, start=start, end=end)


def _read_part(task: _Task) -> _Part:
    with _opened(data_file(task.folder, task.number, task.listed)) as data:
        return _Reader(task, data).read()


class _Known(NamedTuple):
    """What the sorting of a record needs to know of it, as `Record` has it."""

    hash: str
    package: str
    is_binary: bool | None
    is_external: bool
    compiler_from: str | None


# Of a plain dict it takes ever longer to find the first.
_read_before: OrderedDict[bytes, _Known] = OrderedDict()
"""The specs that were read last, by digest: most are in the next index too."""


class _Reader:
    """Reads a part of an index, and stages where its records are."""

    def __init__(self, task: _Task, data: FileBytes) -> None:
        self._task = task
        self._data = data
        self._version = task.header.version if task.header else None
        self._records = 0
        self._silent = 0
        self._unknown: Unknown = Counter()
        self._compilers: set[str] = set()
        self._faults = Faults()

    def read(self) -> _Part:
        with writing(self._task.folder / f"sorted-{os.getpid()}.db") as rows:
            rows.execute(f"CREATE TABLE IF NOT EXISTS records ({_COLUMNS})")
            is_ordinary = self._read_ordinary(rows) if self._task.header else self._read_any(rows)
        return _Part(
            self._task.number,
            self._version,
            self._records,
            self._silent,
            self._unknown,
            frozenset(self._compilers),
            self._faults.refusals(),
            is_ordinary,
        )

    def _read_ordinary(self, rows: sqlite3.Connection) -> bool:
        task = self._task
        found = fast.spans(self._data, task.header, task.start, task.end) if task.header else None
        if found is None:
            return False
        self._stage(rows, found)
        return not self._faults

    def _read_any(self, rows: sqlite3.Connection) -> bool:
        try:
            self._version = general.read_version(self._data)
            self._stage(rows, general.spans(self._data, self._unknown))
        except RefusedError as error:
            self._faults.add(error)
        return True

    def _stage(self, connection: sqlite3.Connection, found: Iterable[Span]) -> None:
        rows: list[tuple[object, ...]] = []
        for span in found:
            data = self._data[span.start : span.end]
            tail = _OWN_TAIL.search(data, max(0, len(data) - _LONGEST_TAIL))
            digest = _digest(data, tail)
            known = self._known(span, data, digest, tail)
            if known is None:
                if self._task.header:
                    # The index will be read again as a whole, and then all faults are told.
                    return
                continue
            self._records += 1
            is_binary = known.is_binary
            if is_binary is None:
                self._silent += 1
                is_binary = not known.is_external
            if known.compiler_from:
                self._compilers.add(known.compiler_from)
            key = (known.package, known.hash, self._task.number)
            rows.append((*key, int(is_binary), digest, span.start, span.end))
            if len(rows) == _ROWS_AT_ONCE:
                insert_rows(connection, "records", rows)
                rows.clear()
        insert_rows(connection, "records", rows)

    def _known(
        self, span: Span, data: bytes, digest: bytes, tail: re.Match[bytes] | None
    ) -> _Known | None:
        """What is known of a record, maybe from another index; None if it cannot be loaded."""
        known = _read_before.get(digest) if self._version != general.NODES_BY_NAME else None
        if known and tail and known.hash == span.hash:
            return known._replace(is_binary=_IN_BUILDCACHE[tail[1]])
        num_unknown = self._unknown.total()
        record = record_at(span, data, self._version or "", self._unknown, self._faults)
        if record is None:
            return None
        is_external = record.facts.external is not None
        known = _Known(
            record.hash, record.package, record.in_buildcache, is_external, record.compiler_from
        )
        is_told_by_tail = tail and record.in_buildcache is _IN_BUILDCACHE[tail[1]]
        is_plain = self._version != general.NODES_BY_NAME and self._unknown.total() == num_unknown
        if is_told_by_tail and is_plain:
            if len(_read_before) == _MOST_KEPT:
                _read_before.popitem(last=False)
            _read_before[digest] = known
        return known


def _digest(record: bytes, tail: re.Match[bytes] | None) -> bytes:
    """The same for records that say the same of their spec."""
    told = memoryview(record)[: tail.start()] if tail else record
    return blake2b(told, digest_size=_DIGEST_BYTES).digest()


def _forget(folder: Path, numbers: Sequence[int]) -> None:
    for file in _sorted(folder) if numbers else ():
        with writing(file) as rows:
            rows.executemany("DELETE FROM records WHERE source = ?", [(n,) for n in numbers])


def _sorted(folder: Path) -> list[Path]:
    return sorted(folder.glob("sorted-*.db"))


def _sizes(found: Mapping[int, SortedIndex], workers: Workers) -> Iterator[tuple[int, Size]]:
    tasks = (
        task
        for number, index in found.items()
        if not index.refusals
        for task in size_tasks(number, index.listed)
    )
    for number, sizes in workers.run(read_numbered_sizes, tasks):
        yield from ((number, size) for size in sizes)


def read_numbered_sizes(task: SizesTask) -> tuple[int, list[Size]]:
    """The sizes that files tell, and the number of the index that they belong to."""
    return task.number, read_sizes(task)


_RECORDS = """
CREATE TABLE records (
    package TEXT, hash TEXT, source INTEGER, is_binary INTEGER, digest BLOB,
    start INTEGER, end INTEGER, size INTEGER, tarball TEXT, fault TEXT,
    PRIMARY KEY (package, hash, source)
) WITHOUT ROWID;
CREATE TABLE sources (
    number INTEGER PRIMARY KEY, path TEXT, release TEXT, stack TEXT, mirror TEXT, file BLOB,
    version TEXT
);
CREATE TABLE compilers (hash TEXT PRIMARY KEY, version TEXT) WITHOUT ROWID;
CREATE TABLE sizes (
    source INTEGER, hash TEXT, size INTEGER, tarball TEXT, fault TEXT,
    PRIMARY KEY (source, hash)
) WITHOUT ROWID;
"""


def _merge(
    folder: Path, found: Mapping[int, SortedIndex], sizes: Iterable[tuple[int, Size]]
) -> None:
    """Put the records of all good indexes into one table, in order of packages."""
    with writing(folder / "records.db") as records:
        records.executescript(_RECORDS)
        records.executemany(
            "INSERT OR IGNORE INTO sizes VALUES (?, ?, ?, ?, ?)",
            ((number, *size) for number, size in sizes),
        )
        parts = _sorted(folder)
        for number, file in enumerate(parts):
            records.execute(f"ATTACH ? AS part{number}", [str(file)])
        columns = [f"SELECT {_COLUMNS} FROM part{number}.records" for number in range(len(parts))]
        if not columns:
            return
        records.execute(f"CREATE TEMP VIEW sorted AS {' UNION ALL '.join(columns)}")
        refused = [number for number, index in found.items() if index.refusals]
        records.execute("CREATE TEMP TABLE refused (source INTEGER PRIMARY KEY)")
        records.executemany("INSERT INTO refused VALUES (?)", [(number,) for number in refused])
        # A record that is there twice is left out, for now.
        records.execute(
            f"INSERT OR IGNORE INTO records SELECT {_COLUMNS}, size, tarball, fault"
            " FROM sorted LEFT JOIN sizes USING (source, hash)"
            " WHERE source NOT IN (SELECT source FROM refused) ORDER BY package, hash, source"
        )
        _refuse_repeated(records, found)


def _refuse_repeated(records: sqlite3.Connection, found: Mapping[int, SortedIndex]) -> None:
    """Refuse the indexes that have a hash twice, be it under another name."""
    kept = dict(
        records.execute(
            "SELECT source, count(*) FROM (SELECT DISTINCT source, hash FROM records)"
            " GROUP BY source"
        ).fetchall()
    )
    for number, index in found.items():
        if index.refusals or kept.get(number, 0) == index.num_records:
            continue
        index.refusals = repeated(
            spec
            for (spec,) in records.execute(
                "SELECT hash FROM sorted WHERE source = ? GROUP BY hash HAVING count(*) > 1"
                " ORDER BY hash",
                [number],
            )
        )
        records.execute("DELETE FROM records WHERE source = ?", [number])


def repeated(hashes: Iterable[str]) -> list[Refusal]:
    """Why an index is refused that has these hashes twice."""
    faults = Faults()
    for spec in hashes:
        faults.add(grammar.refuse("duplicate-key", f"record {spec}: it is there twice"))
    return faults.refusals()


def _resolve(folder: Path, indexes: Sequence[SortedIndex], compilers: Iterable[str]) -> None:
    """Find the versions of the specs that are compilers: those of the records that count."""
    with writing(folder / "records.db") as records:
        records.execute("DELETE FROM sources")
        records.executemany(
            "INSERT INTO sources VALUES (?, ?, ?, ?, ?, ?, ?)",
            (_source_row(folder, index) for index in indexes if not index.refusals),
        )
        records.execute("DELETE FROM compilers")
        records.executemany(
            "INSERT INTO compilers VALUES (?, NULL)", [(one,) for one in {*compilers}]
        )
        places = records.execute(
            "SELECT hash, source, start, end, min(source) FROM records"
            " WHERE hash IN (SELECT hash FROM compilers) GROUP BY hash"
        ).fetchall()
        for spec, number, start, end, _ in places:
            index = indexes[number - 1]
            file = data_file(folder, number, index.listed)
            with opened_again(file) as data:
                record = read_again(data, Span(spec, start, end), index.version or "", file)
            row = (record.facts.version, spec)
            records.execute("UPDATE compilers SET version = ? WHERE hash = ?", row)


def _source_row(folder: Path, index: SortedIndex) -> tuple[object, ...]:
    listed, number = index.listed, index.number
    where = (listed.release, listed.stack, listed.mirror, data_file(folder, number, listed))
    return (number, listed.path, *where, index.version)


def refuse_indexes(folder: Path, indexes: Sequence[SortedIndex]) -> None:
    """Leave out the records of indexes that were refused after they had been sorted."""
    with writing(folder / "records.db") as records:
        for index in indexes:
            if index.refusals:
                records.execute("DELETE FROM records WHERE source = ?", [index.number])
        compilers = [hash_ for (hash_,) in records.execute("SELECT hash FROM compilers")]
    _resolve(folder, indexes, compilers)


def check_unchanged(indexes: Iterable[SortedIndex]) -> None:
    """Make sure that all indexes are still the files that were hashed.

    Raises:
        ChangedError: one is not.
    """
    for index in indexes:
        if index.listed.stamp and not is_as_hashed(index.listed):
            raise changed(index.listed.file)


def count_records(folder: Path) -> list[tuple[str, int]]:
    """How many records each package has, in order of packages."""
    return _asked(folder, "SELECT package, count(*) FROM records GROUP BY package")


def records_of(folder: Path, hashes: Iterable[str]) -> list[tuple[str, int, str]]:
    """Hash, number of the index and package of the records with one of these hashes."""
    wanted = (
        "SELECT hash, source, package FROM records WHERE hash IN (SELECT value FROM json_each(?))"
    )
    return _asked(folder, wanted, [as_json(sorted(hashes))])


def count_binaries(folder: Path, packages: Sequence[str]) -> dict[int, int]:
    """How many binaries each index has, of these packages or of all."""
    counted = (
        "SELECT source, count(*) FROM records WHERE is_binary"
        " AND (? = '[]' OR package IN (SELECT value FROM json_each(?))) GROUP BY source"
    )
    return dict(_asked(folder, counted, [as_json(packages)] * 2))


def _asked(folder: Path, sql: str, values: Sequence[str] = ()) -> list[Any]:
    file = folder / "records.db"
    if not file.exists():
        return []
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as records:
        return records.execute(sql, values).fetchall()


@contextmanager
def opened_again(file: bytes) -> Iterator[int]:
    """The handle of an index whose records were sorted.

    Raises:
        ChangedError: it cannot be opened now.
    """
    with ExitStack() as files:
        try:
            source = files.enter_context(open_source(file))
        except (OSError, RefusedError):
            raise changed(as_text(os.fsdecode(file))) from None
        yield source.fileno()


def read_again(handle: int, span: Span, version: str, file: bytes) -> Record:
    """Read a record that was sorted.

    Args:
        handle: of the index.
        span: where the record is.
        version: of the database.
        file: path of the index, for messages.

    Raises:
        ChangedError: it is not what it was a moment before.
    """
    data = os.pread(handle, span.end - span.start, span.start)
    try:
        record = read_record(data, version, Counter())
    except RefusedError:
        record = None
    if record is None or record.hash != span.hash:
        raise changed(as_text(os.fsdecode(file)))
    return record
