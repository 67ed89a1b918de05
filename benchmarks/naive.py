"""The build as one would write it first, for the measurements to be compared with.

    python -m benchmarks.naive DB PATH

Every page is read by a YAML parser and written with sqlite-utils before the next one is read.
Nothing is checked, and a fact keeps the spelling of the page that was read last.
"""

import time
from pathlib import Path
from typing import Any

import click
import sqlite_utils
import yaml

Row = dict[str, Any]


def build(db: sqlite_utils.Database, path: Path) -> int:
    """Read all pages under a folder into a database; the number of pages read."""
    pages = sorted(path.glob("**/specs.md"))
    for page in pages:
        save(db, read(page))
    index(db)
    return len(pages)


def read(page: Path) -> Row:
    """The front matter of a page."""
    text = page.read_text(encoding="utf-8")
    front_matter: Row = next(yaml.load_all(text, Loader=yaml.CSafeLoader))
    return front_matter


def save(db: sqlite_utils.Database, page: Row) -> None:
    """Write what a page says: its package, release, specs, and what these belong to."""
    package, release, details = page["title"], page["categories"][1], page["spec_details"]
    db.table("packages").upsert({"name": package}, pk="name")
    db.table("releases").upsert({"name": release}, pk="name")
    db.table("specs").upsert_all(
        [_spec(package, spec) for spec in details],
        pk="hash",
        foreign_keys=[("package", "packages", "name")],
    )
    db.table("stacks").upsert_all([{"name": stack} for stack in page["meta"]["stacks"]], pk="name")
    db.table("variants").upsert_all(
        [{"variant": variant} for spec in details for variant in spec["variants"]], pk="variant"
    )
    _save_links(db, release, details)


def _spec(package: str, spec: Row) -> Row:
    return {
        "hash": spec["hash"],
        "package": package,
        "version": spec["versions"][0],
        "compiler": spec["compiler"],
        "os": spec["os"],
        "platform": spec["platform"],
        "target": spec["target"],
        "variants": spec["variants"],
        "size": spec["size"],
        "spec": f"{package}@{spec['versions'][0]} {' '.join(spec['variants'])}",
    }


def _save_links(db: sqlite_utils.Database, release: str, details: list[Row]) -> None:
    db.table("spec_releases").upsert_all(
        [
            {"spec": spec["hash"], "release": release, "tarball": spec.get("tarball")}
            for spec in details
        ],
        pk=("spec", "release"),
        foreign_keys=[("spec", "specs", "hash"), ("release", "releases", "name")],
    )
    db.table("spec_stacks").upsert_all(
        [
            {"spec": spec["hash"], "stack": stack, "release": release}
            for spec in details
            for stack in spec["stacks"]
        ],
        pk=("spec", "stack", "release"),
        foreign_keys=[
            ("spec", "specs", "hash"),
            ("stack", "stacks", "name"),
            ("release", "releases", "name"),
        ],
    )
    db.table("spec_variants").upsert_all(
        [
            {"spec": spec["hash"], "variant": variant}
            for spec in details
            for variant in spec["variants"]
        ],
        pk=("spec", "variant"),
        foreign_keys=[("spec", "specs", "hash"), ("variant", "variants", "variant")],
    )


def index(db: sqlite_utils.Database) -> None:
    """Add search, and an index for every foreign key and every column to filter by."""
    db.table("packages").enable_fts(["name"])
    db.table("specs").enable_fts(["spec"])
    for column in ("version", "compiler", "os", "platform", "target"):
        db.table("specs").create_index([column])
    db.index_foreign_keys()


@click.command()
@click.argument("db_path", metavar="DB", type=click.Path(dir_okay=False))
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(db_path: str, path: Path) -> None:
    """Build DB from the pages under PATH, the naive way."""
    start = time.perf_counter()
    with sqlite_utils.Database(db_path) as db:
        pages = build(db, path)
    click.echo(f"{pages:,} pages in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
