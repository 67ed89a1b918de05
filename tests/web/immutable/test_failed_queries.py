"""The page of an error has the query that failed, to be mended there."""

import pytest
from datasette.app import Datasette

from tests.web.seen import sections, tags

HOSTILE = 'delete from "<script>alert(1)</script></textarea>"'


def fields(html: str) -> dict[str, str | None]:
    """The fields of the page's own form, and what is in them."""
    listed = list(tags(html))
    start = next(place for place, (_, each) in enumerate(listed) if each.get("class") == "sql")
    return {
        str(each["name"]): each.get("value")
        for tag, each in listed[start:]
        if tag in {"input", "textarea"} and "name" in each
    }


@pytest.mark.parametrize("sql", ["delete from specs", "", "explain", HOSTILE])
async def test_sql_that_is_refused_can_be_mended(sql: str, site: Datasette) -> None:
    sql = f"update {sql}"
    response = await site.client.get("/spack-cache", params={"sql": sql, "name": '"x"'})

    assert response.status_code == 400
    assert "Statement must be a SELECT" in sections(response.text)["Invalid SQL"]
    assert fields(response.text) == {"sql": None, "name": '"x"'}
    text = sql.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;")
    assert f">{text}</textarea>" in response.text


async def test_sql_that_takes_too_long_can_be_mended(site: Datasette) -> None:
    sql = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    response = await site.client.get("/spack-cache", params={"sql": sql, "_timelimit": "30"})

    assert response.status_code == 400
    assert sections(response.text)["SQL Interrupted"].startswith(
        "This query takes longer than a query may take here."
    )
    assert response.text.count("<textarea") == 1
    assert f">{sql}</textarea>" in response.text


async def test_a_question_with_a_number_that_is_none_can_be_asked_again(site: Datasette) -> None:
    response = await site.client.get("/spack-cache/find_a_binary?package=hdf5&os=rhel8&_page=x")

    assert response.status_code == 400
    assert fields(response.text) == {"package": "hdf5", "os": "rhel8"}


@pytest.mark.parametrize("path", ["/spack-cache/packages?_sort=nothing", "/nonesuch?sql=select"])
async def test_other_errors_have_no_form(path: str, site: Datasette) -> None:
    response = await site.client.get(path)

    assert response.status_code in {400, 404}
    assert 'class="sql"' not in response.text
