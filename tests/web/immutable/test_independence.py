"""`web.immutable` is for any database, and stands by itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.conftest import ROOT

FOLDER = ROOT / "web" / "immutable"
OTHERS = {"benchmarks", "etl", "publish", "tests"}


def imported(file: Path) -> Iterator[str]:
    """The names that a module imports, wherever in it; relative ones begin with a dot."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("file", sorted(FOLDER.rglob("*.py")), ids=lambda file: file.stem)
def test_it_imports_nothing_else_of_the_project(file: Path) -> None:
    for name in imported(file):
        assert not name.startswith("web") or name.startswith("web.immutable."), name
        assert not name.startswith("."), name
        assert name.partition(".")[0] not in OTHERS, name


@pytest.mark.parametrize("file", sorted(FOLDER.rglob("*.*")), ids=lambda file: file.name)
def test_it_does_not_speak_of_spack(file: Path) -> None:
    if file.suffix != ".pyc":
        assert "spack" not in file.read_text().lower()
