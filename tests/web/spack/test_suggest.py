"""What a search may become while it is typed."""

from pathlib import Path
from urllib.parse import urlencode

import pytest
from datasette.app import Datasette

from tests.pages import HOSTILE_PACKAGE
from tests.web.conftest import open_site


async def suggested(site: Datasette, text: str) -> list[tuple[str, str, str]]:
    response = await site.client.get(f"/-/suggest?{urlencode({'q': text})}")
    assert response.status_code == 200
    answer = response.json()
    assert answer["q"] == text[:500]
    return [(each["kind"], each["text"], each["url"]) for each in answer["suggestions"]]


async def texts(site: Datasette, text: str) -> list[str]:
    return [each for _, each, _ in await suggested(site, text)]


async def test_each_kind_of_names_is_suggested_with_where_it_leads(site: Datasette) -> None:
    assert await suggested(site, "hdf") == [("package", "hdf5", "/spack-cache/packages/hdf5")]
    assert await suggested(site, "ubuntu24") == [("system", "ubuntu24.04", "/-/find?q=ubuntu24.04")]
    assert await suggested(site, "zen4") == [("target", "zen4", "/-/find?q=zen4")]
    assert await suggested(site, "E4S") == [
        ("stack", "e4s", "/spack-cache/stacks/e4s"),
        ("stack", "e4s-neoverse-v2", "/spack-cache/stacks/e4s-neoverse-v2"),
    ]
    assert (await suggested(site, "v0.23"))[0] == (
        ("release", "v0.23.1", "/spack-cache/releases/v0~2E23~2E1")
    )


COMPLETED = [
    ("develop", ["develop", "developer-tools-darwin", "develop-2025-07-13", "develop-2025-07-06"]),
    ("pickle", ["py-cloudpickle"]),
    ("numpy", ["py-numpy"]),
    ("hdf5 ubuntu22", ["hdf5 ubuntu22.04"]),
    ("hdf5 os=UB", ["hdf5 os=ubuntu22.04", "hdf5 os=ubuntu24.04"]),
    ("hdf5 stack=e4s-", ["hdf5 stack=e4s-neoverse-v2"]),
    ("hdf5 release=v", ["hdf5 release=v0.23.1"]),
    ("hdf5 target=neoverse_v2", ["hdf5 target=neoverse_v2"]),
    ("hdf5 %g", ["hdf5 %gcc"]),
    ("hdf5 ^x", ["hdf5 ^xz", "hdf5 ^<img src=x onerror=alert(1)> `reboot`;"]),
    ("hdf5 +m", ["hdf5 +mpi"]),
    ("hdf5 -m", ["hdf5 ~mpi"]),
    ("hdf5 mp", ["hdf5 +mpi"]),
    ("2025-07-06", ["develop-2025-07-06"]),
    ("spack install hd", ["hdf5"]),
    ("", []),
    ("hdf5 ", []),
    ("nonesuch", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), COMPLETED)
async def test_the_last_word_is_completed(text: str, expected: list[str], site: Datasette) -> None:
    assert await texts(site, text) == expected


async def test_variants_are_those_of_the_package(real_site: Datasette) -> None:
    assert await texts(real_site, "py-msgpack +") == []
    assert await texts(real_site, "py-msgpack build_sys") == []


async def test_they_are_few(real_site: Datasette) -> None:
    assert len(await texts(real_site, "e")) == 10


@pytest.mark.parametrize("text", ["<script>", "%%%", "\0", "x" * 5000, "\N{BOMB}", "+", "^", "os="])
async def test_whatever_is_typed_has_an_answer(text: str, site: Datasette) -> None:
    response = await site.client.get(f"/-/suggest?{urlencode({'q': text})}")

    assert response.status_code == 200
    assert isinstance(response.json()["suggestions"], list)


async def test_a_name_full_of_signs_is_suggested_as_it_is(site: Datasette) -> None:
    assert await texts(site, "<img") == [HOSTILE_PACKAGE]


async def test_answers_may_be_kept_and_used_by_others(site: Datasette) -> None:
    headers = (await site.client.get("/-/suggest?q=hdf")).headers

    assert headers["cache-control"] == "max-age=3600"
    assert headers["access-control-allow-origin"] == "*"
    assert headers["content-type"].startswith("application/json")


async def test_addresses_have_the_prefix(made_database: Path) -> None:
    with open_site(made_database, base_url="/cache/") as site:
        assert await suggested(site, "hdf") == [
            ("package", "hdf5", "/cache/spack-cache/packages/hdf5")
        ]
