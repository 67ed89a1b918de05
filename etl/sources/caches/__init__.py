"""The indexes of build caches: manifests, lists, records."""

from collections import Counter, defaultdict
from collections.abc import Callable

from etl.errors import Refusal, RefusedError
from etl.problems import MOST_OF_A_KIND, more_of_a_kind
from etl.sources.caches import fast, general, grammar
from etl.sources.caches.general import Unknown
from etl.sources.caches.grammar import Record
from etl.sources.caches.spans import Span

ReadRecord = Callable[[bytes, str, Unknown], Record]
"""How to read the bytes of a record, of a version of database; unknown keys are counted."""


def read_record(data: bytes, version: str, unknown: Unknown) -> Record:
    """Read the bytes of a record: fast where it is an ordinary one.

    Raises:
        RefusedError: with the reason why it cannot be loaded.
    """
    found = None if version == general.NODES_BY_NAME else fast.read_record(data)
    return found or general.read_record(data, version, unknown)


class Faults:
    """What is wrong with an index: of one kind only the first faults are told one by one."""

    def __init__(self) -> None:
        self._told: dict[str, list[Refusal]] = defaultdict(list)
        self._untold: Counter[str] = Counter()

    def add(self, error: RefusedError, where: str = "") -> None:
        """Note the reasons of a refusal."""
        for line, kind, message in error.refusals:
            if len(self._told[kind]) < MOST_OF_A_KIND:
                self._told[kind].append(Refusal(line, kind, f"{where}{message}"))
            else:
                self._untold[kind] += 1

    def refusals(self) -> list[Refusal]:
        """All that was noted."""
        more = [Refusal(0, kind, more_of_a_kind(n)) for kind, n in self._untold.items()]
        return [*(fault for told in self._told.values() for fault in told), *more]

    def __bool__(self) -> bool:
        return bool(self._told)


def record_at(
    span: Span,
    data: bytes,
    version: str,
    unknown: Unknown,
    faults: Faults,
    read: ReadRecord = read_record,
) -> Record | None:
    """Read a record of an index; None if something is wrong with it, which is noted.

    Args:
        span: where it is.
        data: its bytes.
        version: of the database.
        unknown: where keys that nobody knows are counted.
        faults: where it is noted.
        read: how to read one.
    """
    try:
        record = read(data, version, unknown)
        if record.hash != span.hash:
            raise grammar.refuse("record-hash", f"its spec has the hash {record.hash}")
    except RefusedError as error:
        faults.add(error, f"record {span.hash}: ")
        return None
    return record
