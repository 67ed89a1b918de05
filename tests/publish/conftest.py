"""No test here finds a real tool of a host, whatever is installed on the machine."""

from pathlib import Path

import pytest

from tests.publish.stand_ins import StandIns

VARIABLES = (
    *("TARGET", "SERVICE", "PROJECT", "REGION", "LIVE", "FORCE", "OPTIONS", "RELEASES", "SOURCE"),
    *("SOURCES", "PAGES", "CACHES", "STACKS", "MIRROR", "SIZES", "SKIP_BAD"),
    *("CLOUDSDK_CORE_PROJECT", "CLOUDSDK_RUN_REGION", "DATASETTE_PUBLISH_SECRET"),
)


@pytest.fixture(autouse=True)
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIns:
    """The stand-ins that a test adds, alone on PATH with git, make and a shell."""
    made = StandIns.make(tmp_path / "tools")
    monkeypatch.setenv("PATH", str(made.path))
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return made
