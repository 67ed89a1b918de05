"""The load test: that it asks for everything, and that it notices what should not happen."""

from collections import Counter
from pathlib import Path

from click.testing import CliRunner

from benchmarks.load import HEAVY, HOSTILE, Times, faults, kinds_of_harm, main, report


def test_it_loads_a_site(made_database: Path) -> None:
    # Without hostile SQL: how long that takes on a busy machine is no matter for a test.
    options = ("--seconds", "0.2", "--clients", "3", "--hostile", "0", "--odd", "20")
    done = CliRunner().invoke(main, [str(made_database), *options])
    assert done.exit_code == 0, done.output
    assert "Of 20 odd requests: " in done.output
    assert done.output.startswith("| page | requests | p50 ms | p95 ms |")
    assert "Most memory of the server: " in done.output


def test_hostile_requests_are_made_in_every_form_and_never_twice() -> None:
    kinds = kinds_of_harm()
    assert set(kinds) == set(HOSTILE) | set(HEAVY)
    addresses = [next(kinds["cross join"]) for _ in range(4)]
    sql = "select+count%28%2A%29+from+specs+a%2C+specs+b%2C+specs+c"
    assert addresses == [
        f"/spack-cache.json?sql={sql}&_n=0",
        f"/spack-cache.csv?sql={sql}&_n=1",
        f"/spack-cache?sql={sql}&_n=2",
        f"/spack-cache.json?sql={sql}&_n=3",
    ]
    assert [next(kinds["most rows"]) for _ in range(2)] == [
        "/spack-cache/specs?_size=max&_n=0",
        "/spack-cache/specs?_size=max&_n=1",
    ]


def test_hostile_requests_are_short_enough_to_be_looked_at() -> None:
    assert max(len(next(addresses)) for addresses in kinds_of_harm().values()) < 8_000


def test_the_report() -> None:
    alone = {"home": Times([10.0, 20.0, 30.0], Counter({200: 3}))}
    beside = {"home": Times([40.0], Counter({200: 1}))}
    harm = {"cross join": Times([3000.0, 6000.0], Counter({400: 1, 503: 1}))}
    assert list(report(alone, beside, harm)) == [
        "| page | requests | p50 ms | p95 ms | p50 beside hostile ones | p95 | times slower |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| home | 3 | 20 | 30 | 40 | 40 | 2.0 |",
        "",
        "| hostile request | HTTP statuses | longest, s |",
        "| --- | --- | ---: |",
        "| cross join | 1 of 400, 1 of 503 | 6.0 |",
    ]


def test_what_should_not_happen() -> None:
    good = {"home": Times([1.0], Counter({200: 1, 302: 1}))}
    assert not list(faults(good, good, {"cross join": Times([6e4], Counter({400: 1, 503: 1}))}))
    slow = {"home": Times([1.6], Counter({200: 1, 0: 1, 503: 1}))}
    assert list(faults(good, slow, {"cross join": Times([60001.0], Counter({500: 1}))})) == [
        "pages took 1.6 times as long beside hostile clients",
        "cross join: 60.0 s",
        "home: status 0, 503",
        "cross join: status 500",
    ]
    # Half of all kinds may be slower than that.
    some = {name: Times([1.0], Counter({200: 1})) for name in ("home", "health", "spec")}
    beside = {**some, "home": Times([100.0], Counter({200: 1}))}
    assert not list(faults(some, beside, {}))
