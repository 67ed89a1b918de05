"""Every link of every page below a prefix: what plain addresses answer is what these answer."""

import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx
import pytest
from datasette.app import Datasette

from tests.pages import dag_hash
from tests.web.conftest import open_site
from tests.web.seen import tags
from web.immutable.asgi import App, Receive, Scope, Send

PREFIX = "/pre-fix/"
SITE = "http://site"

STARTS = [
    "/",
    "/spack-cache/specs?_facet_array=variants&_facet_size=1&_size=2&os=ubuntu22.04",
    "/spack-cache/specs?_size=2&_next=hdf5,hmac&_sort=package&_where=size+is+null",
    "/spack-cache/specs?_search=hdf5+~mpi&os=ubuntu22.04",
    "/spack-cache/specs.json?_size=2",
    "/spack-cache/releases?_facet_date=date&date__date=2025-07-13",
    "/spack-cache?sql=select+hash,+zeroblob(9)+as+z+from+specs",
    "/spack-cache.csv?sql=select+zeroblob(9)+as+z",
    "/spack-cache/sources",
    "/spack-cache/releases/v0.23.1",
    "/spack-cache/specs.install?_size=2&_next=hmac",
    "/spack-cache/packages/%2Bhdf5",
    "/spack-cache/packages/hdf",
    "/spack-cache/packages/",
    "/-/find?q=hdf5",
    "/-/find?q=hdf5+%2Bmpi",
    "/-/find?q=hdff",
    "/systems?machine=zen4",
    "/systems/ubuntu22~2E04?machine=zen4&stack=e4s&q=h",
    "/systems/ubuntu",
    "/spack-cache/packages/hdf5?os=sequoia&machine=m1",
    f"/spack-cache/specs/{dag_hash('hmpi')}",
    f"/-/compare?spec={dag_hash('hmpi')}&spec={dag_hash('harm')}",
]
"""Where the crawl begins: what links lead to, and what they seldom do."""

MOST_PAGES = 200
"""So many would take too long, and are a sign that no end is near."""

LEFT_OUT = {"/spack-cache.db", "/-/metadata"}
"""A file, and what Datasette writes down of the pages it has shown."""

ADDRESSES = {"a": "href", "link": "href", "form": "action", "script": "src"}
TIME = re.compile(r"The answer took [\d,]+ ms\.|\"query_ms\": [\d.]+")


def without_prefix(app: App) -> App:
    """A proxy that takes the prefix away."""

    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["path"].startswith(PREFIX)
        path, raw = ("/" + scope["path"][len(PREFIX) :], b"/" + scope["raw_path"][len(PREFIX) :])
        await app({**scope, "path": path, "raw_path": raw}, receive, send)

    return proxy


def visitor(app: App) -> httpx.AsyncClient:
    # The types of httpx's applications are narrower than they need to be.
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=SITE)  # type: ignore[arg-type]


def addresses(answer: httpx.Response) -> Iterator[str]:
    """The addresses in an answer that lead to this site, absolute ones without its name."""
    found = [link["url"] for link in answer.links.values()]
    found += re.findall(r'"(?:next_url|toggle_url)": "([^"]+)"', answer.text)
    if "html" in answer.headers.get("content-type", ""):
        found += [
            attributes[ADDRESSES[tag]] or ""
            for tag, attributes in tags(answer.text)
            if attributes.get(ADDRESSES.get(tag, ""))
        ]
    for address in [*found, answer.headers.get("location", "")]:
        local = address.removeprefix(SITE)
        if local.startswith("/"):
            yield local
        elif local.startswith("?"):
            yield answer.url.path + local


def news(address: str) -> set[str]:
    """What makes an address worth a visit: the kind of its page, and names of parameters."""
    parts = urlsplit(address)
    page = re.sub(r"^(/[^/]*/)[^/.]*(\.\w+)$", r"\1*\2", unquote(parts.path))
    page = re.sub(r"^(/[^/]*/[^/.]*/)[^.]*", r"\1*", page)
    return {page, *(name for name, _ in parse_qsl(parts.query, keep_blank_values=True))}


async def crawl(site: httpx.AsyncClient) -> dict[str, httpx.Response]:
    """The answers of `STARTS` and, from there, of what no address met before was like."""
    waiting = list(STARTS)
    known = set().union(*map(news, waiting))
    answers: dict[str, httpx.Response] = {}
    for address in waiting:
        answers[address] = await site.get(address)
        for found in addresses(answers[address]):
            if not news(found) <= known and found not in LEFT_OUT:
                known |= news(found)
                waiting.append(found)
    assert len(answers) < MOST_PAGES
    return answers


def compared(answer: httpx.Response, prefix: str) -> list[str]:
    """What of an answer must be the same with a prefix, which is taken away."""
    headers = [answer.headers.get(name, "") for name in ("location", "link")]
    text = [str(answer.status_code), *headers, TIME.sub("", answer.text)]
    return "\n".join(text).replace(prefix, "/").splitlines()


async def test_the_crawl_meets_every_kind_of_page_and_no_link_is_broken(site: Datasette) -> None:
    async with visitor(site.app()) as client:
        answers = await crawl(client)
    bad = {address: answer.status_code for address, answer in answers.items() if answer.is_error}
    assert bad == {"/spack-cache/packages/hdf": 404, "/systems/ubuntu": 404}
    assert len(answers) > 70


@pytest.mark.parametrize("proxy", ["keeps", "strips"])
async def test_each_page_is_the_same_below_a_prefix(
    site: Datasette, made_database: Path, proxy: str
) -> None:
    with open_site(made_database, base_url=PREFIX) as below:
        app = without_prefix(below.app()) if proxy == "strips" else below.app()
        async with visitor(site.app()) as plain, visitor(app) as client:
            for address, expected in (await crawl(plain)).items():
                answer = await client.get(PREFIX + address.removeprefix("/"))
                pairs = zip_longest(compared(answer, PREFIX), compared(expected, "/"))
                assert [pair for pair in pairs if pair[0] != pair[1]][:5] == [], address
                wrong = {each for each in addresses(answer) if not each.startswith(PREFIX)}
                assert wrong == set(), address
