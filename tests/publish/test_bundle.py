"""`make bundle`: a folder from which Docker builds the site."""

import json
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from datasette.inspect import inspect_hash

from publish.cli import main
from publish.note import version_note
from publish.site import LICENSE, LOCK, METADATA, WEB
from tests.pages import REAL
from tests.publish.test_deploy import SITE_FILES


@pytest.fixture(scope="module")
def bundle(real_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder; only for reading."""
    folder = tmp_path_factory.mktemp("dist") / "bundle"
    done = CliRunner().invoke(main, ["bundle", str(real_database), str(REAL), str(folder)])
    assert done.exit_code == 0, done.output
    assert done.output == (
        f"{folder} is complete: docker compose --project-directory {folder} up --build\n"
    )
    return folder


def test_everything_is_in_it(bundle: Path, real_database: Path) -> None:
    files = {str(file.relative_to(bundle)) for file in bundle.rglob("*") if file.is_file()}
    own = {"spack-cache.db", "inspect-data.json", "metadata.yml", "settings.json"}
    assert files == {
        *("Dockerfile", "compose.yml", "LICENSE", "requirements.lock"),
        *(f"site/{file}" for file in SITE_FILES | own),
    }
    for name, source in (
        ("site/spack-cache.db", real_database),
        ("site/metadata.yml", METADATA),
        ("site/settings.json", WEB / "settings.json"),
        ("requirements.lock", LOCK),
        ("LICENSE", LICENSE),
    ):
        assert (bundle / name).read_bytes() == source.read_bytes()


def test_the_inspect_data_names_the_database_as_it_will_be_found(
    bundle: Path, real_database: Path
) -> None:
    inspected = json.loads((bundle / "site" / "inspect-data.json").read_text())["spack-cache"]
    assert inspected["file"] == "spack-cache.db"
    assert inspected["hash"] == inspect_hash(real_database)
    assert inspected["tables"]["specs"]["count"] == 414


def test_the_dockerfile(bundle: Path, real_database: Path) -> None:
    text = (bundle / "Dockerfile").read_text()
    (image,) = re.findall(r"^FROM (.*)", text, re.MULTILINE)
    assert re.fullmatch(r"python:3\.13\.\d+-slim-trixie@sha256:[0-9a-f]{64}", image)
    assert re.findall(r"^(?:RUN|USER|CMD) .*", text, re.MULTILINE) == [
        "RUN python -m pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock",
        "USER 10001:10001",
        'CMD exec datasette serve site --cors --host 0.0.0.0 --port "$PORT"'
        ' --version-note "$VERSION_NOTE"',
    ]
    assert f"VERSION_NOTE={version_note(real_database, [REAL])}\n" in text
    assert "/-/health" in text.partition("HEALTHCHECK")[2].partition("\nCMD exec")[0]


def test_no_secret_is_in_it(bundle: Path) -> None:
    assert "SECRET" not in (bundle / "Dockerfile").read_text()
    service = yaml.safe_load((bundle / "compose.yml").read_text())["services"]["spack-cache"]
    # Without a value it is the one of who starts it.
    assert service["environment"] == ["DATASETTE_SECRET", "FORWARDED_ALLOW_IPS"]


def test_compose_gives_little_away(bundle: Path) -> None:
    service = yaml.safe_load((bundle / "compose.yml").read_text())["services"]["spack-cache"]
    assert service["build"] == "."
    assert service["ports"] == ["${PORT:-8001}:8001"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["mem_limit"] == "1g"
    assert service["stop_grace_period"] == "30s"


def test_a_second_time_replaces_it(real_database: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    command = ["bundle", str(real_database), str(REAL), str(folder)]
    assert CliRunner().invoke(main, command).exit_code == 0
    (folder / "site" / "plugins" / "old.py").touch()
    assert CliRunner().invoke(main, command).exit_code == 0
    assert not (folder / "site" / "plugins" / "old.py").exists()
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith("bundle")] == [
        "bundle"
    ]


def test_a_folder_with_something_else_is_left_alone(real_database: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    done = CliRunner().invoke(main, ["bundle", str(real_database), str(REAL), str(tmp_path)])
    assert done.exit_code == 1
    assert done.output == f"Error: {tmp_path} is there and is no bundle, so it is not replaced.\n"
    assert (tmp_path / "thesis.txt").read_text() == "precious"
