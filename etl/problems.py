"""What can be wrong with a source: the kinds, their severity and the wording of the warnings.

The kinds are the rows of the README's table of problems, and what `problems.kind` can hold.
Warnings are worded here because both sides word them: the build that records them and `verify`,
which works them out again and expects the same text.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from etl.spelling import as_json

Severity = Literal["error", "warning"]

MOST_OF_A_KIND = 20
"""So many problems of one kind in one file are told one by one; of more, how many there are."""

_LONGEST_VALUE = 500

MOST_NAMES = 20
"""So many names are listed in a message."""


class Kind(NamedTuple):
    """One kind of problem.

    Attributes:
        name: the short fixed word in `problems.kind`.
        severity: "error" leaves the source out, "warning" loads it.
        meaning: what was found, for a person.
        fix: what that person can do about it.
    """

    name: str
    severity: Severity
    meaning: str
    fix: str


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong with one source; sorts by source and line.

    Attributes:
        source: the source's path, as `sources.path` has it.
        line: 1-based line in the file, or 0 where no line can be named.
        kind: the name of a `Kind`.
        message: what was found and what was expected, in one line.
    """

    source: str
    line: int
    kind: str
    message: str

    @property
    def severity(self) -> Severity:
        """How bad it is: "error" or "warning"."""
        return KINDS[self.kind].severity


_KINDS = (
    Kind(
        "unreadable",
        "error",
        "The file cannot be read, or is a link that leads out of the folder that was named.",
        "Check that it is a file and that you may read it; name what a link leads to.",
    ),
    Kind(
        "too-large",
        "error",
        "The file, or something in it, is larger than in any real page, or than the site can show.",
        "Check that it is a page; fetch it again.",
    ),
    Kind(
        "encoding",
        "error",
        "The text is not UTF-8, or holds a NUL, another control character or half a character.",
        "Fetch the page again; it was damaged or saved in another encoding.",
    ),
    Kind(
        "empty",
        "error",
        "The file holds nothing.",
        "Fetch the page again.",
    ),
    Kind(
        "front-matter",
        "error",
        "The page does not begin with front matter between two `---` lines.",
        "Name pages only; fetch the page again if its end is missing.",
    ),
    Kind(
        "yaml",
        "error",
        "The front matter is not valid YAML, or uses tags, anchors, aliases or deep nesting.",
        "Correct the line, or fetch the page again.",
    ),
    Kind(
        "json",
        "error",
        "`meta` or `spec_details` is not valid JSON, for example because it is cut off.",
        "Fetch the page again.",
    ),
    Kind(
        "duplicate-key",
        "error",
        "A key occurs twice in one object, so one of the two values would be lost.",
        "Remove one of the two.",
    ),
    Kind(
        "missing-key",
        "error",
        "A key that every page has is missing.",
        "Fetch the page again, or ask upstream what became of the key.",
    ),
    Kind(
        "type",
        "error",
        "A value is of another type than it must be; NaN and Infinity are no numbers of bytes.",
        "Correct the value; quote a text that looks like a number.",
    ),
    Kind(
        "old-format",
        "error",
        "The page was generated before pages had `spec_details`; it does not hold the facts.",
        "Have upstream generate it again, or leave it out with `--skip-bad`.",
    ),
    Kind(
        "categories",
        "error",
        "`categories` is not the word `package` followed by the release.",
        "Correct the line.",
    ),
    Kind(
        "release",
        "error",
        "The release is neither `develop`, `develop-YYYY-MM-DD` nor a version such as `v0.23.1`.",
        "Correct the name; a new kind of release needs a new version of this tool.",
    ),
    Kind(
        "name",
        "error",
        "A name is empty or holds a slash, `..` or a control character.",
        "Correct the name.",
    ),
    Kind(
        "hash",
        "error",
        "A hash is not 32 characters of a-z and 2-7.",
        "Correct the hash, or fetch the page again.",
    ),
    Kind(
        "repeated-hash",
        "error",
        "One hash occurs twice on one page, so it is unclear which of the two is right.",
        "Remove one of the two.",
    ),
    Kind(
        "versions",
        "error",
        "`versions` of a spec does not hold exactly one version.",
        "Correct the list.",
    ),
    Kind(
        "variant",
        "error",
        "A variant is not in Spack's syntax: `+name`, `~name`, `name=value` or `name:=value`.",
        "Correct the variant.",
    ),
    Kind(
        "size",
        "error",
        'A size is neither "-" nor a whole number of bytes from 0 to 2^63-1.',
        "Correct the size.",
    ),
    Kind(
        "manifest",
        "error",
        "The manifest of a build cache's index is damaged, or names a blob that is not there.",
        "Fetch the cache again, or have Spack write its index again.",
    ),
    Kind(
        "checksum",
        "error",
        "An index has another length or SHA-256 than its manifest, hash file or list says.",
        "Fetch the cache again; it was cut off or changed.",
    ),
    Kind(
        "database-version",
        "error",
        "An index is of a version that this tool does not know, or says none.",
        "Have Spack write the index again; a newer version needs a new version of this tool.",
    ),
    Kind(
        "record-hash",
        "error",
        "A record of an index stands under another hash than its own.",
        "Have Spack write the index again.",
    ),
    Kind(
        "abstract",
        "error",
        "A spec of an index is not concrete, so it cannot be a binary.",
        "Have Spack write the index again.",
    ),
    Kind(
        "fetched",
        "error",
        "The list of what was fetched is damaged.",
        "Run `spack-cache-to-sqlite fetch` again.",
    ),
    Kind(
        "two-packages",
        "error",
        "A hash of this page belongs to another package on a page that comes first.",
        "Find out which of the two pages is right and remove the other.",
    ),
    Kind(
        "two-pages",
        "error",
        "Another page, which comes first, has the same release and package and differs.",
        "Remove one of the two.",
    ),
    Kind(
        "two-indexes",
        "error",
        "Another index, which comes first, is of the same release and stack and differs.",
        "Name one of the two, or give it another name: `NAME=PATH`.",
    ),
    Kind(
        "path-release",
        "warning",
        "The folder names another release than the front matter, which counts.",
        "Move the page, or correct `categories`.",
    ),
    Kind(
        "path-package",
        "warning",
        "The folder names another package than the front matter, which counts.",
        "Move the page, or correct `title`.",
    ),
    Kind(
        "meta",
        "warning",
        "The summary in `meta` disagrees with the specs; the specs count.",
        "None needed; the database holds what the specs say.",
    ),
    Kind(
        "unknown-key",
        "warning",
        "A key that this tool does not know; its values are not in the database.",
        "Ask for a new version of this tool if the key matters to you.",
    ),
    Kind(
        "conflict",
        "warning",
        "Two releases say different things of one hash; the newest release is believed.",
        "None needed; a hash should mean one thing, so tell upstream.",
    ),
    Kind(
        "missing-record",
        "warning",
        "An index names a dependency of which no index has a record; it is a node of kind missing.",
        "None needed; only the name and hash of that dependency are known.",
    ),
    Kind(
        "in-buildcache",
        "warning",
        "Records of an index do not say whether there is a binary (Spack before 0.17); all that"
        " are not external are taken as binaries.",
        "Have a newer Spack write the index again.",
    ),
    Kind(
        "stack",
        "warning",
        "A page puts specs into a stack whose index, which counts, has no binary of them.",
        "None needed; pages also name stacks that only depend on a spec.",
    ),
    Kind(
        "size-unknown",
        "warning",
        "The manifest or file of a binary cannot be read, so its size is unknown.",
        "Fetch the cache again.",
    ),
    Kind(
        "tarball",
        "warning",
        "The address of a tarball is not one of http or https, so the site does not link to it.",
        "Correct the address.",
    ),
    Kind(
        "repeated-value",
        "warning",
        "A list of a spec names one value twice; it is kept once.",
        "None needed.",
    ),
    Kind(
        "layout",
        "warning",
        "`layout` is not `cache`, so the page may be meant for something else.",
        "None needed if the page looks right.",
    ),
    Kind(
        "body",
        "warning",
        "There is text behind the front matter; it is not read.",
        "None needed; a page's body is empty.",
    ),
)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _KINDS}
"""Every kind of problem by its name."""


def path_release(folder: str, release: str) -> str:
    """Wording of `path-release`: the release in the path and the one in the front matter."""
    return f"the folder says release {folder!r}, the front matter {release!r}, which counts"


def path_package(folder: str, package: str) -> str:
    """Wording of `path-package`: the package in the path and the one in the front matter."""
    return f"the folder says package {folder!r}, the front matter {package!r}, which counts"


def meta_number(key: str, said: int, found: int) -> str:
    """Wording of `meta` for a number that was counted otherwise."""
    return f"meta says {key} {said}, spec_details has {found}"


def meta_counts(key: str, said: Mapping[str, int], found: Mapping[str, int]) -> str:
    """Wording of `meta` for counts by name; only the names that differ, absent ones as 0."""
    names = sorted(n for n in {*said, *found} if said.get(n, 0) != found.get(n, 0))
    first = names[:MOST_NAMES]
    left = as_json({n: said.get(n, 0) for n in first})
    right = as_json({n: found.get(n, 0) for n in first})
    return f"meta says {key} {left}, spec_details has {right}{_more(len(names) - len(first))}"


def meta_list(key: str, said: Iterable[str], found: Iterable[str]) -> str:
    """Wording of `meta` for a list of names: how many on each side, and those of one side only."""
    left, right = set(said), set(found)
    return (
        f"meta lists {len(left)} {key}, spec_details has {len(right)}; "
        f"only in meta: {_names(left - right)}; "
        f"only in spec_details: {_names(right - left)}"
    )


def _names(names: Iterable[str]) -> str:
    """Names as a JSON array; of many, the first and how many more there are."""
    in_order = sorted(names)
    return as_json(in_order[:MOST_NAMES]) + _more(len(in_order) - MOST_NAMES)


def _more(number: int) -> str:
    return f" and {number:,} more" if number > 0 else ""


def unknown_key(place: str, key: str, count: int) -> str:
    """Wording of `unknown-key`.

    Args:
        place: "front matter", "meta" or "spec_details".
        key: the key nobody knows.
        count: how often it occurs in all pages of the build.
    """
    return f"{place} has a key nobody knows, {key!r}; in this build: {count}; not loaded"


def unknown_keys(count: int) -> str:
    """Wording of `unknown-key` for the keys of a page beyond those that are named."""
    return f"{count:,} more keys nobody knows; not loaded"


def tarball(spec: str, address: str) -> str:
    """Wording of `tarball`: the hash and the address that cannot be linked to."""
    return f"hash {spec}: tarball {address!r} is no http or https address; kept as text"


def more_of_a_kind(count: int) -> str:
    """Wording of any kind for those of it that are not told one by one."""
    # It sorts behind what it adds to.
    return f"… and {count:,} more of this kind"


def limited(problems: Iterable[Problem]) -> Iterator[Problem]:
    """The first problems of each source and kind, and one that says how many more there are.

    One more than these is told as it is, for it takes no more room; so what was limited once
    stays as it is.

    Args:
        problems: in any order; of one source or of several.
    """
    counts: Counter[tuple[str, str]] = Counter()
    held: dict[tuple[str, str], Problem] = {}
    for problem in problems:
        place = problem.source, problem.kind
        counts[place] += 1
        if counts[place] <= MOST_OF_A_KIND:
            yield problem
        else:
            held.setdefault(place, problem)
    for place, problem in held.items():
        if (more := counts[place] - MOST_OF_A_KIND) > 1:
            yield replace(problem, message=more_of_a_kind(more))
        else:
            yield problem


def conflict(spec: str, column: str, kept: object, newest: str, other: object) -> str:
    """Wording of `conflict` on the page whose value is not kept.

    Args:
        spec: the hash.
        column: the column of `specs` in which the two differ.
        kept: the value in the database.
        newest: where the kept value is from: the newest release that has a known one; in the same
            release the path of the index.
        other: this page's value.
    """
    why = "which counts" if "/" in newest else "which is newer and counts"
    return (
        f"hash {spec}: {column} is {_shortened(other)} here and {_shortened(kept)} in {newest}, "
        f"{why}"
    )


def dependency(
    spec: str, name: str, build: int, link: int, run: int, test: int, virtuals: Iterable[str]
) -> str:
    """A dependency in a message: name and hash, types, and what it provides."""
    flags = {"build": build, "link": link, "run": run, "test": test}
    types = ",".join(key for key, value in flags.items() if value)
    return " ".join([f"{name}/{spec}", types, *virtuals])


def overruled(stack: str, hashes: Iterable[str]) -> str:
    """Wording of `stack`: specs that a page puts there, and the stack's index does not."""
    in_order = sorted(hashes)
    return f"the index of stack {stack!r} has no binary of {len(in_order):,}: {_names(in_order)}"


def missing_record(spec: str, name: str, dependency: str) -> str:
    """Wording of `missing-record`: the first spec that names a dependency, and that."""
    return f"record {spec}: no index has a record of its dependency {name}/{dependency}"


def other_name(spec: str, dependency: str, said: str, found: str) -> str:
    """Wording of `conflict` where a record gives a dependency another name than its own record."""
    return (
        f"record {spec}: dependency {dependency} is named {said!r}, and its record says {found!r},"
        " which counts"
    )


def silent(count: int) -> str:
    """Wording of `in-buildcache`: how many records do not say whether there is a binary."""
    return f"{count:,} records do not say whether there is a binary; taken so unless external"


def _shortened(value: object) -> str:
    text = as_json(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def repeated_value(spec: str, key: str, value: str) -> str:
    """Wording of `repeated-value`: the hash, the list and the value it names twice."""
    return f"hash {spec}: {key} names {value!r} more than once; kept once"


def layout(found: str) -> str:
    """Wording of `layout`."""
    return f"layout is {found!r}, expected 'cache'"


def body(characters: int) -> str:
    """Wording of `body`: how many characters but white space stand behind the front matter."""
    return f"{characters} characters behind the front matter are not read"
