"""The workflows for GitHub Actions name only what there is."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from publish.site import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").iterdir())
MAKEFILES = (ROOT / "Makefile", ROOT / "publish.mk")


def targets() -> set[str]:
    """The targets of the Makefile."""
    text = "".join(file.read_text() for file in MAKEFILES)
    return {
        name for line in re.findall(r"^\.PHONY: (.*)", text, re.MULTILINE) for name in line.split()
    }


def steps(workflow: Path) -> Iterator[dict[str, Any]]:
    """All steps of all jobs."""
    for job in yaml.safe_load(workflow.read_text())["jobs"].values():
        yield from job["steps"]


def test_there_is_one_for_each_purpose() -> None:
    assert [workflow.name for workflow in WORKFLOWS] == ["check.yml", "publish.yml"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_every_command_is_a_target_of_the_makefile(workflow: Path) -> None:
    commands = [shlex.split(step["run"]) for step in steps(workflow) if "run" in step]
    assert {command[0] for command in commands} == {"make"}
    words = {word for command in commands for word in command[1:] if "=" not in word}
    assert words <= targets()


def test_what_they_do() -> None:
    check, publish = (
        [step["run"] for step in steps(workflow) if "run" in step] for workflow in WORKFLOWS
    )
    assert check == ["make test", "make check"]
    assert [command.split()[1] for command in publish] == [
        *("pages", "build", "verify", "test", "publish"),
    ]


def test_when_they_run() -> None:
    # YAML reads the word "on" as true.
    check, publish = (yaml.safe_load(workflow.read_text())[True] for workflow in WORKFLOWS)
    assert set(check) == {"pull_request", "push"}
    assert set(publish) == {"schedule", "workflow_dispatch"}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_has_an_exact_version(workflow: Path) -> None:
    lines = re.findall(r"uses: (.*)", workflow.read_text())
    exact = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert lines
    assert [line for line in lines if not exact.fullmatch(line)] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_none_may_write_to_the_repository(workflow: Path) -> None:
    permissions = yaml.safe_load(workflow.read_text())["permissions"]
    assert permissions["contents"] == "read"
    assert set(permissions) <= {"contents", "id-token"}
