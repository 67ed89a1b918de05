"""Requests that nobody would make: no answer to one may be a fault of the server.

Each is put together, from a seed, of what Datasette reads from a request: a path, arguments with
values that are wrong for them, methods, headers, bytes that are no text. They are written to the
socket as they are, because no library for clients lets all of them pass.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

TABLES = (
    *("specs", "packages", "stacks", "releases", "variants", "spec_stacks", "spec_variants"),
    *("problems", "targets", "specs_fts", "sqlite_master", "find_a_binary", "nonesuch"),
)
FORMATS = (
    *("", "", "", ".json", ".csv", ".jsono", ".blob"),
    *(".install", ".spack_yaml", ".hashes", ".x", "."),
)
KEYS = (
    *("_sort", "_sort_desc", "_size", "_next", "_where", "_through", "_facet", "_facet_array"),
    *("_facet_date", "_facet_size", "_facet_", "_facetx", "_search", "_search_spec", "_searchmode"),
    *("_search_", "_fts_table", "_fts_pk", "_col", "_nocol", "_timelimit", "_shape", "_labels"),
    *("_label", "_json", "_trace", "_ttl", "_nl", "_stream", "_header", "_dl", "_extras"),
    *("_filter_column", "_filter_op", "_filter_value", "_filter_column_1", "_sort_by_desc"),
    *("_blob_column", "_blob_hash", "_nofacet", "_nocount", "_show_sql", "sql", "os", "hash"),
    *("package", "size__gt", "size__lte", "os__in", "os__notin", "os__isnull", "os__x", "os__"),
    *("__", "_", "", "nonesuch", "stacks__arraycontains", "q", "release", "machine", "variant"),
)
VALUES = (
    *("", "1", "-1", "0", "x", "on", "max", "9" * 30, "9" * 5000, "1e9", "1.5", "²", "nan", " 1"),
    *("{", "{}", "[", "[]", "[[1]]", "[" * 3000, '{"table":"specs"}', '{"column":"os"}', "null"),
    *('{"table":"spec_variants","column":"variant","value":"+mpi"}', '{"table":1,"column":2}'),
    *('{"table":"spec_variants","column":"x","value":[1]}', '{"column":[]}', '["a",["b"]]'),
    *("specs", "os", "hash", "spec", "stacks", "select 1", "select", "select :x", "select 1;"),
    *("select 1; select 2", "select * from specs", "select '", "with a as (select 1)", "explain"),
    *("explain select 1", "1=1", "1=", "os = ':p0'", "'", '"', "[os]", "]", "`", "--", "/*", "\0"),
    *("a\0b", "%", "%zz", "a,b", ",", "$null", "~", "~2", "~ZZ", "~FF", "../..", "//x", "\\", "\n"),
    *("\x7f", "ä", "\N{BOMB}", "\ud800", "<script>", "{{ 7 * 7 }}", "match", "a*", '"a', "a AND"),
    *("javascript:1", "objects", "array", "arrays", "object", "arrayfirst", "raw", "escaped"),
)
METHODS = (*["GET"] * 30, "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE", "DATA")
HOSTS = (*["localhost"] * 30, "", "[::1", "[::1]", "[x]", "a:b", "a:99999", "a b", "ä", "a/b", "@")
HEADERS = (
    *[""] * 20,
    *("Cookie: a=b", "Cookie: ds_actor=x", "Cookie: ds_messages=x", "Cookie: =;=,", "Accept: \xff"),
    *("Authorization: Bearer x", "If-None-Match: *", 'If-None-Match: "a', "If-None-Match: W/"),
    *("Accept-Encoding: gzip;q=0", "Accept-Encoding: ,", "Range: bytes=0-", "Range: bytes=9-1"),
    *("X-Forwarded-Host: [", "Content-Type: x", "Content-Length: 0", "Expect: 100-continue"),
)

CLIENTS = 4
ANSWER_SECONDS = 60


@dataclass
class Odd:
    """What the answers were.

    Attributes:
        statuses: how often each HTTP status was the answer; 0 where there was none.
        failed: the requests that ended in a fault of the server.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)


def odd_requests(seed: int) -> Iterator[bytes]:
    """Requests without end, the same for the same seed."""
    chance = random.Random(seed)
    while True:
        method, host, extra = (chance.choice(each) for each in (METHODS, HOSTS, HEADERS))
        lines = [f"{method} {_address(chance)} HTTP/1.1", f"Host: {host}", "Connection: close"]
        if extra:
            lines.append(extra)
        yield "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def _address(chance: random.Random) -> str:
    pairs = (
        f"{_encoded(chance, chance.choice(KEYS))}={_encoded(chance, chance.choice(VALUES))}"
        for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 5)))
    )
    query_string = "&".join(pairs)
    return _path(chance) + (f"?{query_string}" if query_string else "")


def _path(chance: random.Random) -> str:
    table, value = chance.choice(TABLES), _encoded(chance, chance.choice(VALUES))
    ending = chance.choice(FORMATS)
    return chance.choice(
        (
            *[f"/spack-cache/{table}{ending}"] * 6,
            *[f"/spack-cache{ending}"] * 2,
            *[f"/spack-cache/{table}/{value}{ending}"] * 2,
            *(f"/{value}{ending}", f"/spack-cache/{value}{ending}", f"/-/{value}{ending}"),
            *("/", "/.json", "/-/find", "/-/health", "/-/dashboards", "/-/static/../x", "/_memory"),
            *("/about", "/llms.txt", "/robots.txt", "/-/dashboards/x/y", "/-/logout", "/:memory:x"),
            *("/_internal", "//spack-cache", "/spack-cache/", "/static/%00", "/-/plugins.json?all"),
        )
    )


def _encoded(chance: random.Random, text: str) -> str:
    """Write a text for an address, now and then with characters encoded that need not be."""
    if chance.random() < 0.1:
        return "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))[:6000]
    return quote(text.encode("utf-8", "surrogatepass"), safe="{}[]:,;'()!*")


async def ask_oddly(port: int, number: int) -> Odd:
    """Send odd requests to a server on this machine.

    Args:
        port: where it listens.
        number: of requests.
    """
    odd, requests = Odd(), odd_requests(seed=1)
    left = iter(range(number))

    async def ask_in_turn() -> None:
        for _ in left:
            request = next(requests)
            status = await _status(port, request)
            odd.statuses[status] += 1
            if status >= 500 and status != 503:
                odd.failed.append(f"{status} {request[:300]!r}")

    await asyncio.gather(*(ask_in_turn() for _ in range(CLIENTS)))
    return odd


async def _status(port: int, request: bytes) -> int:
    async with asyncio.timeout(ANSWER_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(request)
            line = await reader.readline()
            while await reader.read(65_536):
                pass
        except ConnectionError:
            return 0
        finally:
            writer.close()
    words = line.split()
    return int(words[1]) if len(words) > 1 else 0


def report_odd(odd: Odd) -> Iterator[str]:
    """The lines to print."""
    statuses = ", ".join(f"{count} of {status}" for status, count in sorted(odd.statuses.items()))
    yield f"\nOf {odd.statuses.total():,} odd requests: {statuses}"


def odd_faults(odd: Odd) -> Sequence[str]:
    """Those that ended in a fault of the server."""
    return odd.failed
