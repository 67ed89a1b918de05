"""The canned queries: exact answers, defaults, hostile parameters, and the form that asks."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from datasette.app import Datasette

from tests.conftest import build
from tests.pages import HOSTILE_PACKAGE, page, spec, write, write_specs
from tests.web.conftest import open_site
from web.immutable.forms import default_expression, fields

METADATA = yaml.safe_load((Path(__file__).parents[3] / "metadata.yml").read_text())
QUERIES = METADATA["databases"]["spack-cache"]["queries"]

HOSTILE = [
    "'; drop table specs; --",
    '"',
    "')) or 1=1 --",
    "%",
    "_",
    "*",
    "[",
    "\\",
    "\0",
    "<script>alert(1)</script>",
    "{{ 7 * 7 }}",
    "x" * 5000,
    "\ud7ff\N{BOMB}",
]


async def ask(site: Datasette, query: str, **parameters: str) -> list[list[Any]]:
    """The rows of a query's answer; hashes without the letters that only fill them up."""
    response = await site.client.get(f"/spack-cache/{query}.json?{urlencode(parameters)}")
    assert response.status_code == 200, response.text
    return [
        [cell.rstrip("a") if len(str(cell)) == 32 else cell for cell in row]
        for row in response.json()["rows"]
    ]


async def hashes(site: Datasette, **parameters: str) -> list[str]:
    return [row[0] for row in await ask(site, "find_a_binary", **parameters)]


async def test_find_a_binary_lists_the_newest_release_unless_told_otherwise(
    site: Datasette,
) -> None:
    # By package, then version (newest first), operating system, target, compiler and hash.
    assert await hashes(site) == [
        "evil", "hmac", "hmpi", "hser", "htwin", "harm", "np2", "np", "xz",
    ]  # fmt: skip


FOUND = [
    ({"package": "hdf5"}, "hmac hmpi hser htwin harm"),
    ({"package": "hdf5", "version": "1.14.5"}, "hmac hmpi hser htwin harm"),
    ({"package": "hdf5", "version": "1.14"}, "hmac hmpi hser htwin harm"),
    ({"package": "hdf5", "version": "1.1"}, ""),
    ({"version": "2"}, "np2"),
    ({"package": "hdf5", "os": "ubuntu24.04"}, "harm"),
    ({"package": "hdf5", "target": "m1"}, "hmac"),
    ({"package": "hdf5", "target": "zen4"}, ""),
    ({"package": "hdf5", "machine": "zen4"}, "hmpi hser htwin"),
    ({"package": "hdf5", "machine": "x86_64_v2"}, ""),
    ({"machine": "neoverse_v2"}, "harm"),
    ({"machine": "zen4", "os": "ubuntu22.04", "package": "hdf5"}, "hmpi hser htwin"),
    ({"package": "hdf5", "compiler": "gcc"}, "hmpi hser htwin harm"),
    ({"package": "hdf5", "compiler": "gcc@13.2.0"}, "hmpi hser htwin"),
    ({"package": "hdf5", "compiler": "gc"}, ""),
    ({"compiler": "none"}, "xz"),
    ({"package": "hdf5", "variant": "+mpi"}, "hmpi htwin harm"),
    ({"package": "hdf5", "variant": " +mpi  ~cxx "}, "hmpi htwin"),
    ({"variant": "languages=c++"}, "hmpi htwin"),
    ({"variant": "+mpi ~mpi"}, ""),
    ({"variant": "mpi"}, "hmpi htwin harm"),
    ({"variant": "mpi=True cxx=false"}, "hmpi htwin"),
    ({"variant": "-mpi"}, "hmac hser"),
    ({"variant": "+mpi~cxx"}, "hmpi htwin"),
    ({"variant": "++mpi"}, "hmpi htwin harm"),
    ({"variant": "languages='c,c++'"}, "hmpi htwin"),
    ({"variant": "languages=c", "package": "hdf5"}, "hmac hmpi hser htwin harm"),
    ({"variant": "languages:=c", "package": "hdf5"}, "hmac hser harm"),
    ({"variant": "languages:=c++,c"}, "hmpi htwin"),
    ({"package": "hdf5", "version": "@1.12:"}, "hmac hmpi hser htwin harm"),
    ({"package": "hdf5", "version": ":1.12"}, ""),
    ({"package": "hdf5", "version": "=1.14"}, ""),
    ({"package": "hdf5", "version": "=1.14.5"}, "hmac hmpi hser htwin harm"),
    ({"package": "hdf5", "version": "???"}, ""),
    ({"package": "hdf5", "compiler": "%gcc"}, "hmpi hser htwin harm"),
    ({"package": "hdf5", "compiler": "GCC@13"}, "hmpi hser htwin"),
    ({"package": "hdf5", "compiler": "gcc@=13.2.0"}, "hmpi hser htwin"),
    ({"package": "hdf5", "compiler": "gcc@:12"}, "harm"),
    ({"package": "hdf5", "target": "x86_64:"}, "hmpi hser htwin"),
    ({"package": "hdf5", "target": ":zen4"}, "hmpi hser htwin"),
    ({"package": "hdf5", "target": "x86_64_v4:"}, ""),
    ({"package": "hdf5", "target": "m1, neoverse_v2"}, "hmac harm"),
    ({"stack": "e4s"}, "hmpi hser htwin xz"),
    ({"stack": "e4s", "variant": "~mpi"}, "hser"),
    ({"release": "v0.23.1"}, "hold xz"),
    ({"release": "v0.23.1", "package": "hdf5", "stack": "e4s", "variant": "+mpi"}, "hold"),
    ({"release": "nonesuch"}, ""),
    ({"package": HOSTILE_PACKAGE, "os": "o's", "target": "<i>t"}, "evil"),
]


@pytest.mark.parametrize(("parameters", "expected"), FOUND)
async def test_find_a_binary(parameters: dict[str, str], expected: str, site: Datasette) -> None:
    assert await hashes(site, **parameters) == expected.split()


async def test_find_a_binary_on_the_real_pages_agrees_with_sql(
    real_site: Datasette, real_database: Path
) -> None:
    with closing(sqlite3.connect(real_database)) as connection:
        expected = {
            row[0]
            for row in connection.execute(
                "SELECT hash FROM specs JOIN target_compatibility ON runs = specs.target"
                " WHERE package = 'py-msgpack' AND os = 'ubuntu22.04'"
                " AND target_compatibility.target = 'zen4' AND compiler_name = 'gcc'"
                " AND EXISTS (SELECT 1 FROM spec_stacks WHERE spec = hash AND stack = 'e4s')"
            )
        }
    parameters = {"os": "ubuntu22.04", "machine": "zen4", "compiler": "gcc", "stack": "e4s"}

    found = await hashes(real_site, package="py-msgpack", **parameters)

    assert len(found) == 16
    assert {name.ljust(32, "a") for name in found} == expected


async def test_find_a_binary_says_everything_of_a_spec(site: Datasette) -> None:
    assert await ask(site, "find_a_binary", package="hdf5", target="neoverse_v2") == [
        [
            "harm",
            "hdf5",
            "1.14.5",
            "gcc@12.3.0",
            "ubuntu24.04",
            "neoverse_v2",
            '["+mpi","+cxx","build_type=Release","languages=c"]',
            '["e4s-neoverse-v2","root"]',
        ]
    ]


MISSING = [
    # The target with the most specs is x86_64_v3.
    ({}, [HOSTILE_PACKAGE]),
    ({"os": "ubuntu24.04"}, [HOSTILE_PACKAGE, "hdf5", "py-numpy", "xz"]),
    ({"machine": "zen4", "os": "ubuntu22.04"}, [HOSTILE_PACKAGE]),
    ({"machine": "neoverse_v2"}, [HOSTILE_PACKAGE, "py-numpy", "xz"]),
    ({"machine": "neoverse_v2", "stack": "e4s"}, ["xz"]),
    ({"machine": "m1", "stack": "root"}, [HOSTILE_PACKAGE, "py-numpy", "xz"]),
    ({"target": "zen4", "stack": "e4s"}, ["hdf5", "xz"]),
    ({"target": "m1", "machine": "zen4", "stack": "e4s"}, ["xz"]),
    ({"machine": "m1", "release": "v0.23.1"}, ["hdf5", "xz"]),
    ({"machine": "nonesuch", "stack": "e4s"}, ["hdf5", "xz"]),
    ({"release": "nonesuch"}, []),
]


@pytest.mark.parametrize(("parameters", "expected"), MISSING)
async def test_missing_packages(
    parameters: dict[str, str], expected: list[str], site: Datasette
) -> None:
    assert [row[0] for row in await ask(site, "missing_packages", **parameters)] == expected


async def test_missing_packages_says_what_there_is(site: Datasette) -> None:
    assert await ask(site, "missing_packages", machine="m1", stack="e4s") == [
        ["xz", '["ubuntu22.04 x86_64_v3"]', '["develop","v0.23.1"]']
    ]


CHANGES = [
    (
        {},
        [
            [HOSTILE_PACKAGE, "package added", '["1.0;reboot"]', "[]", 1, 0],
            ["py-numpy", "package added", '["2.2.6","1.26.4"]', "[]", 2, 0],
            ["xz", "package added", '["5.6.3"]', "[]", 1, 0],
            ["hdf5", "versions removed", "[]", '["1.12.2"]', 3, 1],
        ],
    ),
    (
        {"release": "develop-2025-07-13"},
        [
            ["py-cloudpickle", "package removed", "[]", '["3.0.0"]', 0, 1],
            ["hdf5", "other specs", "[]", "[]", 1, 0],
        ],
    ),
    (
        {"release": "develop", "older": "v0.23.1", "package": "hdf5"},
        [["hdf5", "new versions", '["1.14.5"]', '["1.12.2"]', 5, 1]],
    ),
    ({"release": "develop", "older": "develop"}, []),
    ({"release": "v0.23.1"}, []),
    ({"release": "nonesuch"}, []),
    ({"older": "nonesuch"}, []),
]


@pytest.mark.parametrize(("parameters", "expected"), CHANGES)
async def test_release_changes(
    parameters: dict[str, str], expected: list[Any], site: Datasette
) -> None:
    assert await ask(site, "release_changes", **parameters) == expected


async def test_release_changes_of_a_single_release_are_none(real_site: Datasette) -> None:
    assert await ask(real_site, "release_changes") == []


STACK_PACKAGES = [
    ({}, [["hdf5", '["1.14.5"]', 3], ["xz", '["5.6.3"]', 1]]),
    ({"stack": "ml-linux-x86_64-cpu"}, [["py-numpy", '["2.2.6","1.26.4"]', 2]]),
    (
        {"stack": "e4s", "release": "develop-2025-07-06"},
        [["hdf5", '["1.14.5","1.12.2"]', 2], ["py-cloudpickle", '["3.0.0"]', 1]],
    ),
    ({"stack": "nonesuch"}, []),
]


@pytest.mark.parametrize(("parameters", "expected"), STACK_PACKAGES)
async def test_stack_packages(
    parameters: dict[str, str], expected: list[Any], site: Datasette
) -> None:
    assert await ask(site, "stack_packages", **parameters) == expected


async def test_stack_packages_of_the_real_pages(real_site: Datasette) -> None:
    assert await ask(real_site, "stack_packages", stack="e4s-neoverse-v2") == [
        ["py-msgpack", '["1.0.3"]', 8],
        ["py-pdm-backend", '["2.4.3"]', 9],
    ]


DIFFERENCES = [
    ({}, [["hdf5", 3, None, None], ["xz", 1, None, None]]),
    ({"stack": "e4s", "other_stack": "e4s-neoverse-v2"}, [["xz", 1, None, None]]),
    ({"stack": "e4s-neoverse-v2", "other_stack": "e4s"}, []),
    (
        {"stack": "e4s-neoverse-v2", "other_stack": "e4s", "by": "spec"},
        [
            [
                "hdf5",
                1,
                "harm",
                "hdf5@1.14.5 +mpi +cxx build_type=Release languages=c"
                " arch=linux-ubuntu24.04-neoverse_v2 %gcc@12.3.0",
            ]
        ],
    ),
    ({"stack": "e4s", "other_stack": "root", "by": "spec"}, []),
    ({"stack": "e4s", "other_stack": "root", "release": "nonesuch"}, []),
]


@pytest.mark.parametrize(("parameters", "expected"), DIFFERENCES)
async def test_stack_difference(
    parameters: dict[str, str], expected: list[Any], site: Datasette
) -> None:
    assert await ask(site, "stack_difference", **parameters) == expected


async def test_stack_growth(site: Datasette) -> None:
    expected = [
        ["develop", None, 2, 4, 1],
        ["develop-2025-07-13", "2025-07-13", 1, 3, 0],
        ["develop-2025-07-06", "2025-07-06", 2, 3, 1],
        ["v0.23.1", None, 2, 2, None],
    ]

    assert await ask(site, "stack_growth") == expected
    assert await ask(site, "stack_growth", stack="e4s") == expected
    assert await ask(site, "stack_growth", stack="root") == [
        ["develop", None, 4, 9, 6],
        *expected[1:],
    ]


async def test_spec_differences_leaves_out_what_all_have(site: Datasette) -> None:
    assert await ask(site, "spec_differences") == [
        [attribute, value, count, 5]
        for attribute, value, count in [
            ("compiler", "gcc@13.2.0", 3),
            ("compiler", "apple-clang@16.0.0", 1),
            ("compiler", "gcc@12.3.0", 1),
            ("os", "ubuntu22.04", 3),
            ("os", "sequoia", 1),
            ("os", "ubuntu24.04", 1),
            ("platform", "linux", 4),
            ("platform", "darwin", 1),
            ("target", "x86_64_v3", 3),
            ("target", "m1", 1),
            ("target", "neoverse_v2", 1),
            ("variant build_type", "build_type=Release", 4),
            ("variant build_type", "build_type=Debug", 1),
            ("variant cxx", "~cxx", 4),
            ("variant cxx", "+cxx", 1),
            ("variant languages", "languages=c++", 2),
            ("variant mpi", "+mpi", 3),
            ("variant mpi", "~mpi", 2),
            ("stack", "e4s", 3),
            ("stack", "developer-tools-darwin", 1),
            ("stack", "e4s-neoverse-v2", 1),
        ]
    ]


async def test_spec_differences_of_other_packages_releases_and_versions(site: Datasette) -> None:
    versions = [["version", "1.26.4", 1, 2], ["version", "2.2.6", 1, 2]]

    assert await ask(site, "spec_differences", package="py-numpy") == versions
    assert await ask(site, "spec_differences", package="py-numpy", version="2") == []
    assert await ask(site, "spec_differences", release="develop-2025-07-06", package="xz") == []
    assert [
        row[:2]
        for row in await ask(site, "spec_differences", package="hdf5", release="develop-2025-07-06")
    ] == [
        ["version", "1.12.2"],
        ["version", "1.14.5"],
        ["compiler", "gcc@13.2.0"],
        ["compiler", "gcc@9.4.0"],
        ["variant build_type", "build_type=Release"],
        ["variant cxx", "~cxx"],
        ["variant mpi", "+mpi"],
        ["variant mpi", "~mpi"],
    ]


async def test_package_variants(site: Datasette) -> None:
    expected = [
        ["build_type", "Release", "build_type=Release", 4, 5],
        ["build_type", "Debug", "build_type=Debug", 1, 5],
        ["cxx", "false", "~cxx", 4, 5],
        ["cxx", "true", "+cxx", 1, 5],
        ["languages", "c", "languages=c", 5, 5],
        ["languages", "c++", "languages=c++", 2, 5],
        ["mpi", "true", "+mpi", 3, 5],
        ["mpi", "false", "~mpi", 2, 5],
    ]

    assert await ask(site, "package_variants") == expected
    assert await ask(site, "package_variants", package="hdf5", release="v0.23.1") == [
        ["languages", "c", "languages=c", 1, 1],
        ["mpi", "true", "+mpi", 1, 1],
    ]


async def test_twins(site: Datasette) -> None:
    text = (
        "hdf5@1.14.5 +mpi ~cxx build_type=Release languages='c,c++'"
        " arch=linux-ubuntu22.04-x86_64_v3 %gcc@13.2.0"
    )
    stacks = '["e4s","root"]'

    assert await ask(site, "twins") == [
        [text, 2, "hmpi", stacks, '["develop","develop-2025-07-13"]'],
        [text, 2, "htwin", stacks, '["develop"]'],
    ]
    assert await ask(site, "twins", release="develop-2025-07-13", package="hdf5") == []


async def test_hash_releases_takes_a_hash_or_its_beginning(site: Datasette) -> None:
    old = "hdf5@1.12.2 +mpi languages=c arch=linux-ubuntu22.04-x86_64_v3 %gcc@9.4.0"
    stacks = '["e4s","root"]'
    expected = [
        ["hold", old, "develop-2025-07-13", stacks, None],
        ["hold", old, "develop-2025-07-06", stacks, None],
        [
            "hold",
            old,
            "v0.23.1",
            stacks,
            "https://binaries.spack.io/v0.23.1/build_cache/hdf5.spack",
        ],
    ]

    assert await ask(site, "hash_releases", hash="hold".ljust(32, "a")) == expected
    assert await ask(site, "hash_releases", hash=" /HOL") == expected
    # Whatever its name, the first hash.
    assert [row[:1] + row[2:3] for row in await ask(site, "hash_releases")] == [["evil", "develop"]]


@pytest.fixture(scope="module")
def faulty_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datasette]:
    """A page without specs that can be read, and a page in the wrong folder."""
    folder = tmp_path_factory.mktemp("faulty")
    write(folder / "pages", "develop", "broken", "no front matter")
    write(folder / "pages", "develop", "other", page("xz", "develop", [spec("xz")]))
    write_specs(folder / "pages", "v0.23.1", "xz", spec("xz"))
    database = build(folder / "spack-cache.db", "--skip-bad", folder / "pages")
    with open_site(database) as datasette:
        yield datasette


async def test_source_problems(faulty_site: Datasette) -> None:
    rows = await ask(faulty_site, "source_problems")
    error, warning = rows

    assert error[:5] == ["error", error[1], None, None, "develop/broken/specs.md"]
    assert warning[:5] == ["warning", warning[1], "develop", "xz", "develop/other/specs.md"]
    assert await ask(faulty_site, "source_problems", severity="error") == [error]
    assert await ask(faulty_site, "source_problems", kind=warning[1]) == [warning]
    assert await ask(faulty_site, "source_problems", package="xz") == [warning]
    assert await ask(faulty_site, "source_problems", release="v0.23.1") == []


async def test_source_problems_of_clean_pages_are_none(real_site: Datasette) -> None:
    assert await ask(real_site, "source_problems") == []


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("query", QUERIES)
async def test_hostile_parameters_are_only_values(query: str, value: str, site: Datasette) -> None:
    for parameter in QUERIES[query]["params"]:
        response = await site.client.get(f"/spack-cache/{query}?{urlencode({parameter: value})}")

        # What is no version cannot be found between two others.
        is_refused = parameter == "versions" and not re.fullmatch(
            r"[\w.,:=+-]{0,500}", value.replace(" ", "")
        )
        assert response.status_code == (400 if is_refused else 200)
        assert "<script>alert" not in response.text
        assert Form(response.text).fields[parameter]["value"] == value


NOT_FOUND_THEN = {
    ("missing_packages", "os"),
    ("missing_packages", "machine"),
    ("missing_packages", "target"),
    ("stack_difference", "other_stack"),
    ("stack_difference", "by"),
}
"""Where a name that does not exist is an answer: everything is missing there."""


@pytest.mark.parametrize("query", QUERIES)
async def test_names_that_do_not_exist_find_nothing(query: str, site: Datasette) -> None:
    for parameter in QUERIES[query]["params"]:
        if parameter != "versions" and (query, parameter) not in NOT_FOUND_THEN:
            assert await ask(site, query, **{parameter: "')) or 1=1 --"}) == []


class Form(HTMLParser):
    """The fields of a query's form: what each is called, its default and its choices."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fields: dict[str, dict[str, Any]] = {}
        self._labels: dict[str, str] = {}
        self._label = ""
        self._field: dict[str, Any] | None = None
        self._in_form = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._in_form |= tag == "form" and given.get("class") == "sql"
        if tag == "label":
            self._label = given["for"] or ""
            self._labels[self._label] = ""
        if self._in_form and tag in {"input", "select"} and given["name"]:
            self._field = {
                "label": self._labels[given["id"] or ""],
                "value": given.get("value", ""),
                "empty": given.get("placeholder"),
                "choices": [],
            }
            self.fields[given["name"]] = self._field
        if tag == "option" and self._field and "value" not in given:
            self._field["selected"] = "selected" in given

    def handle_endtag(self, tag: str) -> None:
        self._in_form &= tag != "form"
        if tag == "label":
            self._label = ""

    def handle_data(self, data: str) -> None:
        if self._label:
            self._labels[self._label] += data
        elif self._field and self.lasttag == "option" and data.strip():
            self._option(data)

    def _option(self, text: str) -> None:
        assert self._field is not None
        if self._field["empty"] is None:
            self._field["empty"] = text
            return
        self._field["choices"].append(text)
        if self._field.pop("selected", False):
            self._field["value"] = text


async def form(site: Datasette, query: str, **parameters: str) -> dict[str, dict[str, Any]]:
    return Form(
        (await site.client.get(f"/spack-cache/{query}?{urlencode(parameters)}")).text
    ).fields


async def test_a_form_has_a_labelled_field_for_every_parameter(site: Datasette) -> None:
    described = METADATA["databases"]["spack-cache"]["plugins"]["queries"]["parameters"]

    for name, query in QUERIES.items():
        fields = await form(site, name)
        assert [(key, field["label"]) for key, field in fields.items()] == [
            (parameter, described[parameter]["label"]) for parameter in query["params"]
        ]


async def test_a_form_offers_what_can_be_chosen_and_shows_what_was(site: Datasette) -> None:
    fields = await form(site, "missing_packages", machine="zen4", release="gone")

    assert fields["os"]["choices"] == ["o's", "sequoia", "ubuntu22.04", "ubuntu24.04"]
    assert fields["os"]["empty"] == "any"
    assert fields["machine"]["value"] == "zen4"
    assert fields["machine"]["empty"] == "x86_64_v3 (default)"
    assert fields["release"]["value"] == "gone"
    assert fields["release"]["empty"] == "develop (default)"


DEFAULTS = {
    "find_a_binary": {"release": "develop"},
    "missing_packages": {"machine": "x86_64_v3", "release": "develop"},
    "release_changes": {"release": "develop", "older": "develop-2025-07-13"},
    "stack_packages": {"stack": "e4s", "release": "develop"},
    "stack_difference": {
        "stack": "e4s",
        "other_stack": "ml-linux-x86_64-cpu",
        "by": "package",
        "release": "develop",
    },
    "stack_growth": {"stack": "e4s"},
    "spec_differences": {"package": "hdf5", "release": "develop"},
    "package_variants": {"package": "hdf5", "release": "develop"},
    "twins": {"package": "hdf5", "release": "develop"},
    "hash_releases": {"hash": "evil".ljust(32, "a")},
    "source_problems": {},
    "dependents": {"package": "xz", "how": "to the end", "release": "develop"},
    "dependent_specs": {"package": "xz", "how": "to the end", "release": "develop"},
    "needed_to_run": {"hash": "evil".ljust(32, "a")},
    "stack_holes": {"stack": "e4s", "release": "develop"},
    "most_needed_dependencies": {"release": "develop"},
    "most_needed_packages": {"release": "develop"},
    "built_against_externals": {"release": "develop"},
}


@pytest.mark.parametrize("query", QUERIES)
async def test_the_form_shows_the_defaults_that_the_sql_takes(query: str, site: Datasette) -> None:
    shown = {
        name: field["empty"].removesuffix(" (default)")
        for name, field in (await form(site, query)).items()
        if (field["empty"] or "").endswith(" (default)")
    }

    assert shown == DEFAULTS[query]
    assert await ask(site, query, **shown) == await ask(site, query)


async def test_a_default_follows_from_other_parameters(site: Datasette) -> None:
    fields = await form(site, "release_changes", release="develop-2025-07-13")

    assert fields["older"]["empty"] == "develop-2025-07-06 (default)"


async def test_sql_of_one_s_own_has_labels_too(site: Datasette) -> None:
    sql = "select :release, :some_thing"
    response = await site.client.get(f"/spack-cache?{urlencode({'sql': sql, 'some_thing': 'x'})}")
    fields = Form(response.text).fields

    assert {name: field["label"] for name, field in fields.items()} == {
        "release": "Release",
        "some_thing": "Some thing",
    }
    assert fields["some_thing"]["value"] == "x"


EXPRESSIONS = [
    ("select coalesce(nullif(:os, ''), 'rhel8')", "'rhel8'"),
    (
        "select COALESCE( NULLIF(:os,'') , (select max(os) from specs)) + 1",
        "(select max(os) from specs)",
    ),
    ("select coalesce(nullif(:os, ''), ')') || coalesce(nullif(:os, ''), 1)", "')'"),
    ("select coalesce(nullif(:target, ''), 1), :os", ""),
    ("select coalesce(nullif(:os, ''), (1", ""),
]


@pytest.mark.parametrize(("sql", "expected"), EXPRESSIONS)
def test_the_default_is_read_from_the_sql(sql: str, expected: str) -> None:
    assert default_expression(sql, "os") == expected


def let_it_be_canned(monkeypatch: pytest.MonkeyPatch, site: Datasette, sql: str) -> None:
    async def queries(*_: object) -> dict[str, dict[str, str]]:
        return {"canned": {"sql": sql}}

    monkeypatch.setattr(site, "get_canned_queries", queries)


NO_DEFAULTS = [
    "select coalesce(nullif(:os, ''), specs.os) from specs",
    "select coalesce(nullif(:os, ''), 1; select 2)",
    "select coalesce(nullif(:os, ''), 1, 2 from specs)",
]


@pytest.mark.parametrize("sql", NO_DEFAULTS)
async def test_a_default_that_is_no_sql_by_itself_is_not_shown(
    sql: str, site: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_it_be_canned(monkeypatch, site, sql)
    (field,) = await fields(site, "spack-cache", sql, {"os": ""})
    assert field.default == ""


async def test_what_a_visitor_wrote_is_not_run_to_find_a_default(
    site: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = "select coalesce(nullif(:thing, ''), 'mine')"
    (field,) = await fields(site, "spack-cache", sql, {"thing": ""})
    assert (field.label, field.default) == ("Thing", "")
    let_it_be_canned(monkeypatch, site, sql)
    (field,) = await fields(site, "spack-cache", sql, {"thing": ""})
    assert (field.label, field.default) == ("Thing", "mine")


async def test_an_answer_that_is_cut_off_says_so_and_where_all_is(site: Datasette) -> None:
    sql = "with recursive n(i) as (select 1 union all select i + 1 from n where i < {}) select i from n"
    long, short = [
        (await site.client.get(f"/spack-cache?{urlencode({'sql': sql.format(count)})}")).text
        for count in (1001, 1000)
    ]

    assert "An answer to SQL ends after 1,000 rows, in JSON and CSV too." in long
    assert 'href="/spack-cache.db"' in long
    assert "An answer to SQL ends" not in short


async def test_a_query_s_answer_is_json_and_csv(site: Datasette) -> None:
    csv = await site.client.get("/spack-cache/twins.csv")
    array = await site.client.get("/spack-cache/twins.json?_shape=array")

    assert csv.text.splitlines()[0] == "spec,num_twins,hash,stacks,releases"
    assert [json.loads(row["stacks"]) for row in array.json()] == [["e4s", "root"]] * 2
