"""What is odd about a page that loads all the same: its warnings."""

from collections import Counter
from collections.abc import Iterator

from etl import problems
from etl.extract import META_LISTS, Page
from etl.problems import Problem
from etl.transform import spell_compiler

_ENTRY_FIELDS = {
    "compilers": "compiler",
    "oss": "os",
    "platforms": "platform",
    "targets": "target",
    "versions": "version",
}


def review(path: str, page: Page, *, in_layout: bool) -> Iterator[Problem]:
    """The warnings of one page.

    Args:
        path: the page's path in the database.
        page: the page.
        in_layout: whether the path's folders name the release and the package.
    """
    if in_layout:
        yield from review_path(path, page)
    if page.layout not in (None, "cache"):
        yield Problem(path, 0, "layout", problems.layout(str(page.layout)))
    if page.body:
        yield Problem(path, 0, "body", problems.body(page.body))
    for message in disagreements(page):
        yield Problem(path, page.meta_line, "meta", message)


def review_path(path: str, page: Page) -> Iterator[Problem]:
    """Where the folders of a page in upstream's layout disagree with its front matter."""
    release, package = path.split("/")[:2]
    if release != page.release:
        message = problems.path_release(release, page.release)
        yield Problem(path, 0, "path-release", message)
    if package != page.package:
        message = problems.path_package(package, page.package)
        yield Problem(path, 0, "path-package", message)


def disagreements(page: Page) -> Iterator[str]:
    """Where `meta` and `spec_details` of a page say different things, in all eight keys."""
    meta = page.meta
    if meta.num_specs != len(page.entries):
        yield problems.meta_number("num_specs", meta.num_specs, len(page.entries))
    by_stack = _specs_by_stack(page)
    if dict(meta.num_specs_by_stack) != by_stack:
        said = {stack: n for stack, n in meta.num_specs_by_stack.items() if n}
        if said != by_stack:
            yield problems.meta_counts("num_specs_by_stack", said, by_stack)
    for key in META_LISTS:
        said_names: set[str] | frozenset[str] = getattr(meta, key)
        if key == "stacks":
            found = set(by_stack)
        else:
            found = {getattr(entry, _ENTRY_FIELDS[key]) for entry in page.entries}
        if key == "compilers":
            said_names = {spell_compiler(name) for name in said_names}
            found = {spell_compiler(name) for name in found}
        if said_names != found:
            yield problems.meta_list(key, said_names, found)


def _specs_by_stack(page: Page) -> dict[str, int]:
    """How many specs each stack has; lists that are alike are counted first, then unfolded."""
    counts: Counter[str] = Counter()
    for stacks, count in Counter(entry.stacks for entry in page.entries).items():
        for stack in set(stacks):
            counts[stack] += count
    return dict(counts)
