"""What is odd about a page that loads all the same: its warnings."""

from collections.abc import Iterator

from etl import problems
from etl.problems import Problem
from etl.sources.pages import grammar
from etl.sources.pages.grammar import Page


def review(path: str, page: Page, *, in_layout: bool) -> Iterator[Problem]:
    """The warnings of one page, but for keys nobody knows, which are told once for all pages.

    Args:
        path: the page's path in the database.
        page: the page.
        in_layout: whether the path's folders name the release and the package.
    """
    if in_layout:
        yield from review_path(path, page)
    if page.layout != "cache":
        yield Problem(path, 0, "layout", problems.layout(page.layout))
    if page.body:
        yield Problem(path, 0, "body", problems.body(page.body))
    if page.unknown_more:
        yield Problem(path, 0, "unknown-key", problems.unknown_keys(page.unknown_more))
    for message in disagreements(page):
        yield Problem(path, page.meta_line, "meta", message)
    yield from problems.limited(
        Problem(path, page.specs_line, kind, message) for kind, message in _odd_specs(page)
    )


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
    meta, names = page.meta, page.names
    if meta.num_specs != len(page.specs):
        yield problems.meta_number("num_specs", meta.num_specs, len(page.specs))
    said = {stack: count for stack, count in meta.num_specs_by_stack.items() if count}
    if said != names.stacks:
        yield problems.meta_counts("num_specs_by_stack", said, names.stacks)
    for key in grammar.META_LISTS:
        if getattr(meta, key) != (found := frozenset(getattr(names, key))):
            yield problems.meta_list(key, getattr(meta, key), found)


def _odd_specs(page: Page) -> Iterator[tuple[str, str]]:
    for spec in page.specs:
        for value in spec.facts.variants.repeated:
            yield "repeated-value", problems.repeated_value(spec.hash, "variants", value)
        for value in spec.stacks.repeated:
            yield "repeated-value", problems.repeated_value(spec.hash, "stacks", value)
        if spec.tarball is not None and not grammar.WEB_ADDRESS.match(spec.tarball):
            yield "tarball", problems.tarball(spec.hash, spec.tarball)
