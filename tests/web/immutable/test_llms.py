"""What a language model is told: everything of the schema, and examples that work."""

import re
from pathlib import Path

import pytest
import yaml
from datasette.app import Datasette

METADATA = yaml.safe_load((Path(__file__).parents[3] / "metadata.yml").read_text())
DATABASE = METADATA["databases"]["spack-cache"]
EXAMPLES = METADATA["plugins"]["llms"]["examples"]
LINK = re.compile(r"- \[(?P<text>[^]]+)\]\(http://localhost(?P<path>[^)]+)\)")


async def text_of(site: Datasette) -> str:
    response = await site.client.get("/llms.txt")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    return response.text


async def test_it_has_the_form_of_an_llms_txt(site: Datasette) -> None:
    title, _, summary, *_ = (await text_of(site)).splitlines()

    assert title == "# Spack build cache"
    assert summary == f"> {METADATA['description']}"


async def test_it_tells_every_table_and_column(site: Datasette) -> None:
    text = await text_of(site)

    for name, table in DATABASE["tables"].items():
        assert (
            f"- [{name}](http://localhost/spack-cache/{name}.json): {table['description']}\n"
            in text
        )
        assert all(
            f"  - `{column}`: {meaning}\n" in text for column, meaning in table["columns"].items()
        )


async def test_it_tells_every_question_and_its_parameters(site: Datasette) -> None:
    questions = (await text_of(site)).partition("## Questions")[2]
    parameters = DATABASE["plugins"]["queries"]["parameters"]

    for name, query in DATABASE["queries"].items():
        address = f"http://localhost/spack-cache/{name}.json?_shape=array"
        after = questions.partition(f"- [{query['title']}]({address}): {query['description']}\n")[2]
        described = [parameters[parameter] for parameter in query["params"]]
        assert after.splitlines()[: len(described)] == [
            f"  - `{parameter}`: {about['label']}. {about.get('description', '')}".rstrip()
            for parameter, about in zip(query["params"], described, strict=True)
        ]


async def test_it_has_five_examples(site: Datasette) -> None:
    examples = (await text_of(site)).partition("## Examples")[2].partition("## Tables")[0]

    assert [match["text"] for match in LINK.finditer(examples)] == [
        example["question"] for example in EXAMPLES
    ]
    assert len(EXAMPLES) == 5


FIRST_ROWS = [
    ("hash", "hmpi".ljust(32, "a")),
    ("package", "xz"),
    ("package", "<img src=x onerror=alert(1)> `reboot`;"),
    ("os", "ubuntu22.04"),
    ("variant", "languages=c"),
]


@pytest.mark.parametrize("number", range(5))
async def test_an_example_works(number: int, site: Datasette) -> None:
    path = [match["path"] for match in LINK.finditer(await text_of(site))][number]
    column, value = FIRST_ROWS[number]

    assert (await site.client.get(path)).json()[0][column] == value


async def test_its_limits_are_those_of_the_site(site: Datasette) -> None:
    assert "at most 1000 rows and takes at most 3 s" in await text_of(site)
