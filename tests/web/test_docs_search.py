"""What docs/search.md promises is so."""

import re
from urllib.parse import urlencode

import pytest
from datasette.app import Datasette

from tests.web.conftest import ROOT

SEARCH = (ROOT / "docs" / "search.md").read_text()

TYPED = [
    text
    for first in re.findall(r"^\| (`.*?) \|", SEARCH, re.MULTILINE)
    for text in re.findall(r"`([^`]*)`", first)
    if "hdf5" not in text and not text.startswith(("/", "languages"))
]


def test_the_table_is_read() -> None:
    assert len(TYPED) == 21


@pytest.mark.parametrize("text", TYPED)
async def test_what_is_typed_leads_somewhere(text: str, real_site: Datasette) -> None:
    response = await real_site.client.get(f"/-/find?{urlencode({'q': text})}")

    assert response.status_code == (200 if text == "pickle" else 302), response.text


async def test_the_addresses_answer(real_site: Datasette) -> None:
    asked = re.findall(r"curl (?:-L )?'http://127.0.0.1:8001(\S+)'", SEARCH)
    assert len(asked) == 3
    for address in asked:
        response = await real_site.client.get(address, follow_redirects=True)
        assert response.status_code == 200
        assert "py-msgpack" in response.text
