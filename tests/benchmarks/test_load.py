"""The load test: that it asks for everything, and that it notices what should not happen."""

from collections import Counter
from pathlib import Path

from click.testing import CliRunner

from benchmarks.load import HOSTILE, OWN_SQL, Times, faults, kinds_of_harm, main, report


def test_it_loads_a_site(made_database: Path) -> None:
    # Without hostile SQL: how long that takes on a busy machine is no matter for a test.
    options = ("--seconds", "0.2", "--clients", "3", "--hostile", "0")
    done = CliRunner().invoke(main, [str(made_database), *options])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("| page | requests | p50 ms | p95 ms |")
    assert "Most memory of the server: " in done.output


def test_hostile_queries_are_asked_for_in_every_form() -> None:
    kinds = kinds_of_harm()
    assert set(kinds) == set(HOSTILE)
    addresses = [next(kinds["cross join"]).partition("?")[0] for _ in range(4)]
    assert addresses == [
        *("/spack-cache.json", "/spack-cache.csv", "/spack-cache", "/spack-cache.json"),
    ]


def test_the_report() -> None:
    alone = {"home": Times([10.0, 20.0, 30.0], Counter({200: 3}))}
    beside = {
        "home": Times([40.0], Counter({200: 1})),
        "cross join": Times([3000.0, 6000.0], Counter({400: 1, 503: 1})),
    }
    assert list(report(alone, beside)) == [
        "| page | requests | p50 ms | p95 ms | p50 beside hostile SQL | p95 | times slower |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| home | 3 | 20 | 30 | 40 | 40 | 2.0 |",
        "",
        "| hostile SQL | HTTP statuses | longest, s |",
        "| --- | --- | ---: |",
        "| cross join | 1 of 400, 1 of 503 | 6.0 |",
    ]


def test_what_should_not_happen() -> None:
    assert not list(faults({"home": Times([1.0], Counter({200: 1, 302: 1}))}))
    assert not list(faults({OWN_SQL: Times([1.0], Counter({200: 1, 503: 1}))}))
    assert not list(faults({"cross join": Times([6000.0], Counter({400: 1, 503: 1}))}))
    assert list(faults({"home": Times([1.0], Counter({200: 1, 0: 1, 503: 1}))})) == [
        "home: status 0, 503"
    ]
    assert list(faults({"cross join": Times([8001.0], Counter({500: 1}))})) == [
        "cross join: 8.0 s",
        "cross join: status 500",
    ]
