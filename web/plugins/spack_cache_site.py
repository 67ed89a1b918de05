"""The one file that Datasette loads: registers the site's plugins, in an order that stands here.

Datasette takes the files of its plugins folder in whatever order the disk lists them, and none of
them can import another. So this folder holds one file, and the plugins are modules of the package
`web`. That, and `etl`, of which it uses the rules of Spack, are taken from beside this file (a
published copy has them in its plugins folder) or from two folders above it (the project has them
there), whatever else is installed.
"""

import importlib
import sys
from pathlib import Path

from datasette.plugins import pm

# Of a hook that several have, the last one registered is called first. That matters for
# - what wraps the application: who is called first wraps first, and is the innermost. From the
#   outside in: request_log and wrong_use (wrappers), connections, prefix, which completes addresses
#   for all others, answers, encoding and downloads (these say that they are last: of them the last
#   one is the outermost), the compression of datasette-gzip, graph, which lets wait, search, which
#   redirects, loop_turns, which measures what is left, and streams, which sees what is sent;
# - start: collecting comes last there, to set aside for good what all others have made, and files
#   says itself that it is first; graph comes after bitmaps, for which it waits;
# - facets and filters: bitmaps stands around arrays, whose classes it lets count by bitmaps.
PLUGINS = (
    "web.immutable.collecting",
    "web.immutable.files",
    "web.immutable.downloads",
    "web.immutable.encoding",
    "web.immutable.answers",
    "web.immutable.prefix",
    "web.immutable.connections",
    "web.immutable.wrong_use",
    "web.immutable.request_log",
    "web.spack.graph",
    "web.spack.needs",
    "web.spack.runs_on",
    "web.spack.fields",
    "web.spack.in_stack",
    "web.spack.inventory",
    "web.spack.system_pages",
    "web.spack.usage",
    "web.spack.search",
    "web.spack.suggest",
    "web.spack.typed",
    "web.spack.advice",
    "web.spack.compare",
    "web.spack.changes",
    "web.spack.growth",
    "web.spack.not_found",
    "web.spack.home",
    "web.spack.rows",
    "web.spack.dependencies",
    "web.spack.cells",
    "web.spack.formats",
    "web.spack.health",
    "web.immutable.llms",
    "web.immutable.forms",
    "web.immutable.shown_sql",
    "web.immutable.paging",
    "web.immutable.query_pages",
    "web.immutable.failed_queries",
    "web.immutable.arrays",
    "web.immutable.bitmaps",
    "web.immutable.database",
    "web.immutable.limits",
    "web.immutable.sql_turns",
    "web.immutable.loop_turns",
    "web.immutable.streams",
)

HERE = Path(__file__).resolve().parent
ROOT = next(folder for folder in (HERE, HERE.parents[1]) if (folder / "web" / "spack").is_dir())

SOURCES = (ROOT / "web" / "immutable", ROOT / "web" / "spack", ROOT / "etl")
"""The code that answers depend on (see `web.immutable.answers`)."""


def register() -> None:
    """Register the plugins that are not yet; every Datasette of the process loads this file."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    for name in PLUGINS:
        plugin = importlib.import_module(name)
        if not pm.is_registered(plugin):
            pm.register(plugin)


register()
