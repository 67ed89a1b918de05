"""The one file that Datasette loads registers the plugins in its order, and each once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from publish.site import copy_site
from tests.web.conftest import ROOT

# Run by itself, because the plugins of a process are shared by all tests in it.
SCRIPT = """
import glob, json, sys
from datasette.app import Datasette
from datasette.plugins import pm

disk_lists = glob.glob
glob.glob = lambda *given: sorted(disk_lists(*given), reverse=sys.argv[2] == "backwards")
for number in range(2):
    Datasette(memory=True, plugins_dir=sys.argv[1])
names = [name for name, plugin in pm.list_name_plugin() if plugin]
called = {
    hook: [each.plugin_name for each in getattr(pm.hook, hook).get_hookimpls()]
    for hook in ("asgi_wrapper", "startup")
}
site = pm.get_plugin("spack_cache_site.py")
print(json.dumps([names, called, site.PLUGINS, [str(path) for path in site.SOURCES],
    [sys.modules[name].__file__ for name in site.PLUGINS]]))
"""


def registered(plugins: Path, order: str = "forwards") -> list[list[str]]:
    """What is registered by two Datasettes that load this folder, and from which files."""
    command = [sys.executable, "-c", SCRIPT, str(plugins), order]
    done = subprocess.run(command, cwd=plugins, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer: list[list[str]] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("order", ["forwards", "backwards"])
def test_plugins_are_registered_once_in_the_stated_order(order: str) -> None:
    names, _, stated, *_ = registered(ROOT / "web" / "plugins", order)
    assert [name for name in names if name.startswith("web.")] == stated
    assert names.count("spack_cache_site.py") == 1


def test_every_plugin_is_stated() -> None:
    _, _, stated, *_ = registered(ROOT / "web" / "plugins")
    files = [*(ROOT / "web").glob("immutable/*.py"), *(ROOT / "web").glob("spack/*.py")]
    assert sorted(stated) == sorted(
        f"web.{file.parent.name}.{file.stem}" for file in files if "@hookimpl" in file.read_text()
    )


def test_no_other_file_is_for_datasette_to_load() -> None:
    assert [file.name for file in (ROOT / "web" / "plugins").glob("*.py")] == [
        "spack_cache_site.py"
    ]


def test_hooks_are_called_in_the_order_that_is_meant() -> None:
    # Pluggy calls them from the last to the first, and wrappers are at the end of its list.
    _, called, *_ = registered(ROOT / "web" / "plugins")
    assert called["asgi_wrapper"] == [
        "web.immutable.connections",
        "web.immutable.prefix",
        "web.immutable.answers",
        "web.immutable.encoding",
        "web.immutable.downloads",
        "gzip",
        "web.spack.graph",
        "web.spack.search",
        "web.immutable.sql_turns",
        "web.immutable.loop_turns",
        "web.immutable.streams",
        "web.immutable.wrong_use",
        "web.immutable.request_log",
    ]
    assert [name for name in called["startup"] if name.startswith("web.")] == [
        "web.immutable.collecting",
        "web.immutable.downloads",
        "web.immutable.answers",
        "web.immutable.prefix",
        "web.spack.graph",
        "web.spack.inventory",
        "web.immutable.shown_sql",
        "web.immutable.paging",
        "web.immutable.query_pages",
        "web.immutable.arrays",
        "web.immutable.bitmaps",
        "web.immutable.database",
        "web.immutable.limits",
        "web.immutable.files",
    ]


def test_a_published_copy_has_its_own_code(tmp_path: Path) -> None:
    copy_site(tmp_path)
    folder = tmp_path / "plugins"
    names, _, stated, sources, files = registered(folder)
    assert [name for name in names if name.startswith("web.")] == stated
    assert sources == [str(folder / part) for part in ("web/immutable", "web/spack", "etl")]
    assert all(Path(path).is_dir() for path in sources)
    assert all(Path(file).is_relative_to(folder) for file in files)
