"""Rows as commands and as an environment for Spack: all of them, and nothing else."""

import itertools
import shlex
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from datasette.app import Datasette
from datasette.database import Database, Results

from tests.conftest import build
from tests.pages import HOSTILE_PACKAGE, dag_hash, spec, write_specs
from tests.web.conftest import open_site
from web.immutable.limits import RESULT_BYTES
from web.spack.formats import MAX_HASHES
from web.spack.names import HASH_LENGTH

MIRROR = "https://binaries.spack.io/"


def script(*names: str, mirrors: tuple[str, ...] = ("develop",)) -> str:
    return "".join(
        [
            "#!/bin/sh\n",
            f"# Installs {len(names)} spec{'s' * (len(names) > 1)} from Spack's public build cache.\n",
            "# A mirror that is there already is reported and does no harm.\n",
            *(f"spack mirror add {mirror} {MIRROR}{mirror}\n" for mirror in mirrors),
            "spack buildcache keys --install --trust\n",
            *(f"spack install --cache-only /{dag_hash(name)}\n" for name in names),
        ]
    )


async def get(site: Datasette, path: str, **parameters: str) -> str:
    response = await site.client.get(f"/spack-cache{path}?{urlencode(parameters)}")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    return response.text


async def refusal(site: Datasette, path: str, **parameters: str) -> str:
    response = await site.client.get(f"/spack-cache{path}?{urlencode(parameters)}")
    assert response.status_code == 400
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    return response.text


async def test_a_filter_becomes_commands(site: Datasette) -> None:
    assert await get(site, "/specs.install", package="hdf5", os="ubuntu22.04") == script(
        "hmpi", "hold", "hser", "htwin", mirrors=("develop", "develop-2025-07-13")
    )


async def test_commands_take_all_pages_of_a_filter(site: Datasette) -> None:
    everything = await get(site, "/specs.install")

    assert everything.count("spack install") == 11
    assert await get(site, "/specs.install", _size="2") == everything
    assert await get(site, "/specs.install", _size="2", _sort_desc="version") == everything


async def test_a_later_page_s_link_leads_to_all_of_them(site: Datasette) -> None:
    response = await site.client.get("/spack-cache/specs.install?_size=2&_next=hmac&os=sequoia")

    assert response.status_code == 302
    assert response.headers["location"] == "/spack-cache/specs.install?_size=2&os=sequoia"


async def test_filters_of_all_kinds_count(site: Datasette) -> None:
    assert await get(
        site,
        "/specs.install",
        variants__arraycontains="~mpi",
        _search="hdf5",
        _where="os <> 'sequoia' --",
        _nofacet="1",
    ) == script("hser")


async def test_a_row_a_query_and_sql_become_commands(site: Datasette) -> None:
    assert await get(site, f"/specs/{dag_hash('hser')}.install") == script("hser")
    assert await get(site, "/twins.install") == script("hmpi", "htwin")
    assert await get(site, "/find_a_binary.install", stack="e4s") == script(
        "hmpi", "hser", "htwin", "xz"
    )
    assert await get(
        site, ".install", sql="select hash from specs where package = :name", name="xz"
    ) == script("xz")


async def test_tables_that_refer_to_specs_become_commands(site: Datasette) -> None:
    assert await get(site, "/spec_stacks.install", stack="e4s-neoverse-v2", _labels="on") == script(
        "harm"
    )


async def test_an_environment(site: Datasette) -> None:
    text = await get(site, "/specs.spack_yaml", package="hdf5", version="1.12.2")

    assert text == (
        "# 1 spec of Spack's public build cache. In the folder of this file:\n"
        "#   spack -D . buildcache keys --install --trust\n"
        "#   spack -D . install --cache-only\n"
        "spack:\n"
        "  specs:\n"
        f'  - "hdf5/{dag_hash("hold")}"\n'
        "  mirrors:\n"
        f'    "develop-2025-07-13": "{MIRROR}develop-2025-07-13"\n'
        "  concretizer:\n"
        "    unify: false\n"
        "  view: false\n"
    )


async def test_an_environment_is_yaml_with_all_specs(site: Datasette) -> None:
    environment = yaml.safe_load(await get(site, "/specs.spack_yaml", _size="1"))

    assert list(environment) == ["spack"]
    assert environment["spack"] == {
        "specs": [
            f"/{dag_hash('evil')}",
            *(
                f"hdf5/{dag_hash(name)}"
                for name in ("harm", "hmac", "hmpi", "hold", "hser", "htwin")
            ),
            f"py-cloudpickle/{dag_hash('pickle')}",
            f"py-numpy/{dag_hash('np2')}",
            f"py-numpy/{dag_hash('np')}",
            f"xz/{dag_hash('xz')}",
        ],
        "mirrors": {
            name: MIRROR + name for name in ("develop", "develop-2025-07-13", "develop-2025-07-06")
        },
        "concretizer": {"unify": False},
        "view": False,
    }


async def test_an_environment_is_saved_as_spack_yaml(site: Datasette) -> None:
    response = await site.client.get("/spack-cache/specs.spack_yaml")

    assert response.headers["content-disposition"] == 'attachment; filename="spack.yaml"'
    assert response.headers["access-control-allow-origin"] == "*"


def lines(*names: str) -> str:
    return "".join(f"/{dag_hash(name)}\n" for name in names)


async def test_a_filter_becomes_a_list_of_hashes(site: Datasette) -> None:
    response = await site.client.get("/spack-cache/specs.hashes?package=hdf5&os=ubuntu22.04")

    assert response.text == lines("hmpi", "hold", "hser", "htwin")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["content-disposition"] == 'inline; filename="hashes.txt"'
    assert response.headers["access-control-allow-origin"] == "*"


async def test_a_list_of_hashes_takes_all_pages_of_a_filter(site: Datasette) -> None:
    everything = lines(
        *("evil", "harm", "hmac", "hmpi", "hold", "hser", "htwin"),
        *("pickle", "np2", "np", "xz"),
    )

    assert await get(site, "/specs.hashes") == everything
    assert await get(site, "/specs.hashes", _size="2", _sort_desc="version") == everything
    assert (await get(site, "/spec_stacks.hashes", _size="2", _labels="on")) == everything
    response = await site.client.get("/spack-cache/specs.hashes?_size=2&_next=hmac")
    assert response.headers["location"] == "/spack-cache/specs.hashes?_size=2"


async def test_a_row_a_query_and_sql_become_lists_of_hashes(site: Datasette) -> None:
    assert await get(site, f"/specs/{dag_hash('hser')}.hashes") == lines("hser")
    assert await get(site, "/twins.hashes") == lines("hmpi", "htwin")
    assert await get(site, ".hashes", sql="select hash from specs where os = 'sequoia'; -- x") == (
        lines("hmac")
    )


@pytest.mark.parametrize("extension", ["install", "spack_yaml", "hashes"])
async def test_hostile_names_are_never_written(extension: str, site: Datasette) -> None:
    text = await get(site, f"/specs.{extension}", package=HOSTILE_PACKAGE)

    assert dag_hash("evil") in text
    assert not any(sign in text for sign in ("<", "`", ";", "onerror", "reboot"))


async def test_a_shell_reads_nothing_but_spack_s_commands(site: Datasette) -> None:
    commands = [
        shlex.split(line)
        for line in (await get(site, "/specs.install")).splitlines()
        if not line.startswith("#")
    ]

    assert {tuple(command[:2]) for command in commands} == {
        ("spack", "mirror"),
        ("spack", "buildcache"),
        ("spack", "install"),
    }


REFUSED = [
    ("/packages", {}, "These rows have no column hash."),
    ("/specs", {"os": "nonesuch"}, "No specs were found."),
    ("/find_a_binary", {"os": "nonesuch"}, "No specs were found."),
    ("/stack_difference", {}, "Not all rows have the hash of a spec."),
    ("", {"sql": "select '; reboot' as hash"}, "Not all rows have the hash of a spec."),
    ("", {"sql": "select null as hash"}, "Not all rows have the hash of a spec."),
    ("", {"sql": "select x'00' as hash"}, "Not all rows have the hash of a spec."),
    (
        "",
        {"sql": "select hash || char(10) || 'reboot' as hash from specs"},
        "Not all rows have the hash of a spec.",
    ),
    (
        "",
        {"sql": f"select '{dag_hash('nonesuch')}' as hash"},
        "Not all hashes are of specs in this database.",
    ),
    ("", {"sql": "select hash from nonesuch"}, "no such table: nonesuch"),
]


@pytest.mark.parametrize(("path", "parameters", "message"), REFUSED)
@pytest.mark.parametrize("extension", ["install", "spack_yaml", "hashes"])
async def test_what_cannot_be_installed_is_refused(
    path: str, parameters: dict[str, str], message: str, extension: str, site: Datasette
) -> None:
    assert await refusal(site, f"{path}.{extension}", **parameters) == f"{message}\n"


MANY = ["".join(letters) for letters in itertools.product("bcdefghijk", repeat=3)]


@pytest.fixture(scope="module")
def large_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datasette]:
    """1,000 specs of one package, and one of another, each in two stacks."""
    folder = tmp_path_factory.mktemp("large")
    write_specs(folder / "pages", "develop", "many", *(spec(name) for name in MANY))
    write_specs(folder / "pages", "develop", "one", spec("one"))
    database = build(Path(folder / "spack-cache.db"), folder / "pages")
    with open_site(database) as datasette:
        yield datasette


TOO_MANY = (
    "These are more than 1,000 specs, too many for one file. "
    "Filter by package, version, os, target, stack or release, and try again.\n"
)


@pytest.mark.parametrize("path", ["/specs", "/find_a_binary", "/spec_stacks"])
async def test_too_many_specs_are_refused(path: str, large_site: Datasette) -> None:
    assert await refusal(large_site, f"{path}.install") == TOO_MANY


async def test_the_bound_is_on_specs_not_on_rows(large_site: Datasette) -> None:
    text = await get(large_site, "/specs.install", package="many")

    assert text.count("spack install") == 1000
    # 2,000 rows, of 1,000 specs.
    text = await get(large_site, "/spec_stacks.install", spec__not=dag_hash("one"))
    assert text.count("spack install") == 1000
    sql = f"select spec from spec_stacks where spec <> '{dag_hash('one')}'"
    assert (await get(large_site, ".install", sql=sql)).count("spack install") == 1000


@pytest.mark.parametrize(
    ("path", "sql"),
    [
        ("/specs", None),
        ("/find_a_binary", None),
        ("/spec_stacks", None),
        ("", "select hash from specs"),
        ("", "select hash, 1 as one from specs where package <> :none order by hash -- all"),
        ("", "with them as (select spec from spec_stacks) select * from them ; "),
    ],
)
async def test_a_list_of_hashes_can_be_much_longer(
    path: str, sql: str | None, large_site: Datasette
) -> None:
    parameters = {"sql": sql, "none": ""} if sql else {}
    text = await get(large_site, f"{path}.hashes", **parameters)

    assert text == lines(*MANY, "one")


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ("'; reboot'", "Not all rows have the hash of a spec."),
        (f"'{dag_hash('nonesuch')}'", "Not all hashes are of specs in this database."),
    ],
)
async def test_rows_that_are_not_shown_are_looked_at(
    last: str, message: str, large_site: Datasette
) -> None:
    sql = f"select hash from specs union all select {last}"

    assert await refusal(large_site, ".hashes", sql=sql) == f"{message}\n"


async def test_all_rows_of_some_sql_cannot_be_found(large_site: Datasette) -> None:
    sql = "select hash from specs; -- all"

    assert await refusal(large_site, ".hashes", sql=sql) == (
        'Not all rows could be found: near ";": syntax error\n'
    )


async def test_the_longest_list_is_a_result_that_a_query_may_have() -> None:
    assert MAX_HASHES * HASH_LENGTH < RESULT_BYTES


async def test_a_list_does_not_depend_on_where_binaries_are(
    site: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    execute = Database.execute

    async def noted(self: Database, sql: str, *args: Any, **options: Any) -> Results:
        asked.append(sql)
        return await execute(self, sql, *args, **options)

    monkeypatch.setattr(Database, "execute", noted)
    await get(site, "/specs.hashes", package="xz", _nofacet="1", _where="1 = 1")

    assert asked
    assert not any("mirror" in sql for sql in asked)


async def test_the_bound_can_be_set(site: Datasette, monkeypatch: pytest.MonkeyPatch) -> None:
    plugins = {**site.metadata("plugins"), "formats": {"max_specs": 5, "max_hashes": 6}}
    monkeypatch.setitem(site._metadata_local, "plugins", plugins)

    assert "more than 5 specs" in await refusal(site, "/specs.install", package="hdf5")
    assert (await get(site, "/specs.install", os="ubuntu24.04")) == script("harm")
    assert "more than 6 specs" in await refusal(site, "/specs.hashes", _sort="os")
    assert (await get(site, "/specs.hashes", package="hdf5", _sort="os")).count("\n") == 6


FORMATS = (".install", ".spack_yaml", ".hashes")


class Formats(HTMLParser):
    """The links of a page that lead to a format for Spack."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self._path = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        path = (dict(attrs).get("href") or "").partition("?")[0]
        self._path = path if tag == "a" and path.endswith(FORMATS) else ""

    def handle_data(self, data: str) -> None:
        if self._path:
            self.texts[self._path] = data
        self._path = ""


@pytest.mark.parametrize("path", ["/specs", "/twins", "/find_a_binary", "/spec_releases"])
async def test_pages_of_specs_lead_to_the_formats(path: str, site: Datasette) -> None:
    links = Formats((await site.client.get(f"/spack-cache{path}")).text).texts

    assert links == {
        f"/spack-cache{path}.install": "install commands",
        f"/spack-cache{path}.spack_yaml": "spack.yaml",
        f"/spack-cache{path}.hashes": "list of hashes",
    }


@pytest.mark.parametrize(
    "path", ["/packages", "/stack_packages", "/stack_difference", "/find_a_binary?os=nonesuch"]
)
async def test_other_pages_do_not(path: str, site: Datasette) -> None:
    assert Formats((await site.client.get(f"/spack-cache{path}")).text).texts == {}


@pytest.mark.parametrize("extension", [".install", ".spack_yaml", ".hashes"])
async def test_without_sql_it_says_what_is_missing(site: Datasette, extension: str) -> None:
    said = await refusal(site, extension)

    assert said == (
        "No SQL was given. An example: ?sql=select+hash+from+specs+where+package='hdf5'\n"
    )
    assert await get(site, extension, sql="select hash from specs where package = 'xz'")
