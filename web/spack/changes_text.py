"""What changed between two releases, as Markdown that can be pasted into a message."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from web.spack.changes import Changes, Total, Versions

MOST_NAMES = 100
"""So many packages of each kind are named; JSON has all."""


def as_markdown(found: Changes) -> str:
    """Return the changes with their totals."""
    return "\n".join([*_totals(found), *_lists(found), *_stacks(found)]) + "\n"


def _totals(found: Changes) -> Iterator[str]:
    yield f"# What changed between {_code(found.older)} and {_code(found.release)}"
    yield ""
    yield f"| | {_code(found.older)} | {_code(found.release)} | new | gone |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    yield f"| packages | {_numbers(found.packages)} |"
    yield f"| versions | {_numbers(found.versions)} |"
    yield f"| specs | {_numbers(found.specs)} |"
    yield ""
    same = "with another hash of the same version for the same system"
    yield f"Rebuilt, {same}: {found.rebuilt_specs:,}."


def _lists(found: Changes) -> Iterator[str]:
    yield from _named("New packages", _with_versions(found.added_packages))
    yield from _named("Packages gone", _with_versions(found.removed_packages))
    yield from _named("New versions", _with_versions(found.new_versions, "before"))
    yield from _named("Versions gone", _with_versions(found.removed_versions, "now"))
    yield from _named(
        "Rebuilt",
        [f"{_code(f'{each.package}@{each.version}')} ({each.specs:,})" for each in found.rebuilt],
    )


def _stacks(found: Changes) -> Iterator[str]:
    if not found.stacks:
        return
    yield from ("", "## Stacks", "", "| stack | before | now | new | gone |")
    yield "| --- | ---: | ---: | ---: | ---: |"
    for stack, specs in found.stacks:
        yield f"| {_code(stack)} | {_numbers(specs)} |"


def _named(title: str, lines: Sequence[str]) -> Iterator[str]:
    if not lines:
        return
    yield from ("", f"## {title} ({len(lines):,})", "")
    yield from (f"- {line}" for line in lines[:MOST_NAMES])
    if len(lines) > MOST_NAMES:
        yield f"- and {len(lines) - MOST_NAMES:,} more"


def _with_versions(listed: Sequence[Versions], when: str = "") -> list[str]:
    return [
        f"{_code(each.package)} {', '.join(each.versions)}"
        + (f" ({when}: {each.newest})" if when and each.newest else "")
        for each in listed
    ]


def _numbers(total: Total) -> str:
    return f"{total.older:,} | {total.newer:,} | {total.added:,} | {total.removed:,}"


def _code(name: str) -> str:
    """Return a name so that nothing in it is Markdown; no name has a line's end in it."""
    cleaned = name.replace("`", "'").replace("|", "/")
    return f"`{cleaned}`"
