"""Sites that several tests share: Datasette as `make serve` starts it, on small databases."""

import gc
import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from datasette.app import Datasette
from datasette.utils import parse_metadata

from tests.conftest import build
from tests.etl import samples

ROOT = Path(__file__).parents[2]


@contextmanager
def opened(*arguments: Any, **options: Any) -> Iterator[Datasette]:
    """Datasette, made with these arguments; closes its files and threads."""
    datasette = Datasette(*arguments, **options)
    try:
        yield datasette
    finally:
        datasette.executor.shutdown()
        for database in datasette.databases.values():
            database.close()


@contextmanager
def measured() -> Iterator[Callable[[], int]]:
    """Tells by how many bytes the memory that Python has given out grew since the beginning."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]

    def grown() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before

    try:
        yield grown
    finally:
        tracemalloc.stop()


@contextmanager
def open_site(database: Path, *, is_fixed: bool = True, base_url: str = "/") -> Iterator[Datasette]:
    """Datasette on a database, with the files and settings of `make serve`.

    Args:
        database: the file.
        is_fixed: whether Datasette is told that it cannot change, as `make serve` does.
        base_url: the prefix of all addresses.
    """
    with opened(
        [] if is_fixed else [str(database)],
        immutables=[str(database)] if is_fixed else [],
        metadata=parse_metadata((ROOT / "metadata.yml").read_text()),
        template_dir=str(ROOT / "web" / "templates"),
        plugins_dir=str(ROOT / "web" / "plugins"),
        static_mounts=[("static", str(ROOT / "web" / "static"))],
        cors=True,
        settings=json.loads((ROOT / "web" / "settings.json").read_text()) | {"base_url": base_url},
    ) as datasette:
        yield datasette


@pytest.fixture(scope="session")
def site(made_database: Path) -> Iterator[Datasette]:
    """The site of the made-up pages."""
    with open_site(made_database) as datasette:
        yield datasette


@pytest.fixture(scope="session")
def real_site(real_database: Path) -> Iterator[Datasette]:
    """The site of the real pages."""
    with open_site(real_database) as datasette:
        yield datasette


@pytest.fixture(scope="session")
def cache_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of the build caches in the repository; only for reading."""
    caches = (samples.SAMPLE, samples.CACHES / "v0.23.1", samples.CACHES / "clingo-bootstrap")
    return build(tmp_path_factory.mktemp("caches") / "spack-cache.db", *caches)


@pytest.fixture(scope="session")
def cache_site(cache_database: Path) -> Iterator[Datasette]:
    """The site of the build caches in the repository."""
    with open_site(cache_database) as datasette:
        yield datasette


@contextmanager
def serve(database: Path) -> Iterator[str]:
    """The address of a real server of a database, without a slash at the end."""
    with open_site(database) as datasette, socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(datasette.app(), ws="none", log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            assert thread.is_alive(), "The server did not start"
            time.sleep(0.01)
        host, port = listener.getsockname()
        yield f"http://{host}:{port}"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def served(made_database: Path) -> Iterator[str]:
    """The address of a real server of the made-up pages."""
    with serve(made_database) as address:
        yield address


@pytest.fixture(scope="session")
def served_caches(cache_database: Path) -> Iterator[str]:
    """The address of a real server of the build caches in the repository."""
    with serve(cache_database) as address:
        yield address
