"""Problems are told in one wording, and not too many of one kind."""

from etl.problems import KINDS, Problem, limited


def told(*problems: Problem) -> list[str]:
    return [f"{one.source}:{one.line} {one.kind} {one.message}" for one in limited(problems)]


def test_the_first_twenty_of_a_source_and_kind_are_told_and_how_many_more() -> None:
    many = [Problem("a", 6, "meta", f"number {number}") for number in range(1020)]
    few = [Problem("b", 6, "meta", "one"), Problem("a", 5, "size", "other")]
    found = told(*many[:500], *few, *many[500:])
    assert found == [
        *(f"a:6 meta number {number}" for number in range(20)),
        "b:6 meta one",
        "a:5 size other",
        "a:6 meta … and 1,000 more of this kind",
    ]


def test_twenty_are_told_one_by_one() -> None:
    assert len(told(*(Problem("a", 6, "meta", f"{number}") for number in range(20)))) == 20


def test_problems_that_are_limited_already_are_not_limited_again() -> None:
    many = [Problem("a", 6, "meta", f"number {number}") for number in range(100)]
    assert [*limited(limited(many))] == [*limited(many)]


def test_problems_sort_by_source_and_line() -> None:
    problems = [
        Problem("b", 1, "meta", "x"),
        Problem("a", 7, "meta", "x"),
        Problem("a", 6, "size", "x"),
    ]
    assert [(one.source, one.line) for one in sorted(problems)] == [("a", 6), ("a", 7), ("b", 1)]


def test_every_kind_has_a_severity_and_says_what_to_do() -> None:
    assert {kind.severity for kind in KINDS.values()} == {"error", "warning"}
    assert [name for name, kind in KINDS.items() if kind.name != name] == []
    assert [
        kind.name
        for kind in KINDS.values()
        if not (kind.meaning.endswith(".") and kind.fix.endswith("."))
    ] == []
    assert Problem("a", 1, "two-pages", "x").severity == "error"
    assert Problem("a", 1, "tarball", "x").severity == "warning"
