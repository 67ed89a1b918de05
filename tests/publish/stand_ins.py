"""Stand-ins for the hosts' command line tools: they keep what would be uploaded."""

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UPLOADING = ("builds submit", "deploy .", "deploy --prod", "builds:create")

# The path of Python can have a space, which the first line of a script cannot.
SCRIPT = """\
#!/bin/sh
'''exec' "{python}" -IS "$0" "$@"
' '''
import json, os, shutil, sys
from pathlib import Path

kept = Path({kept!r})
tool = Path(sys.argv[0]).name
said = " ".join(sys.argv[1:])
call = {{"tool": tool, "arguments": sys.argv[1:], "environment": dict(os.environ)}}
with (kept / "calls").open("a") as calls:
    calls.write(json.dumps(call) + "\\n")
if said.startswith({uploading!r}):
    shutil.copytree(".", kept / "upload", symlinks=True)
for start, answer in json.loads((kept / "answers").read_text()):
    if f"{{tool}} {{said}}".startswith(start):
        sys.stdout.write(answer.get("stdout", ""))
        sys.stderr.write(answer.get("stderr", ""))
        sys.exit(answer.get("status", 0))
"""

TOOLS_TO_USE = ("git", "make", "sh")
"""What tests may find beside the stand-ins."""


@dataclass(frozen=True)
class StandIns:
    """Tools that do nothing but note how they were called.

    Attributes:
        kept: the folder with what they kept.
        path: the folder that has them, alone on PATH.
    """

    kept: Path
    path: Path

    @classmethod
    def make(cls, folder: Path) -> "StandIns":
        """Start with git, make and a shell alone, in a new folder."""
        path, kept = folder / "bin", folder / "kept"
        path.mkdir(parents=True)
        kept.mkdir()
        (kept / "answers").write_text("[]")
        for tool in TOOLS_TO_USE:
            found = shutil.which(tool)
            assert found, f"{tool} is needed"
            (path / tool).symlink_to(found)
        return cls(kept, path)

    def add(self, *tools: str) -> None:
        """Install stand-ins of these names."""
        for tool in tools:
            file = self.path / tool
            file.write_text(
                SCRIPT.format(python=sys.executable, kept=str(self.kept), uploading=UPLOADING)
            )
            file.chmod(0o755)

    def answer(self, **answers: dict[str, Any]) -> None:
        """Say what a command answers; `__` stands for the space between its words."""
        known = json.loads((self.kept / "answers").read_text())
        new = [[start.replace("__", " "), answer] for start, answer in answers.items()]
        (self.kept / "answers").write_text(json.dumps(new + known))

    def calls(self) -> list[str]:
        """How the tools were called, in order."""
        return [f"{call['tool']} {' '.join(call['arguments'])}" for call in self.raw_calls()]

    def raw_calls(self) -> list[dict[str, Any]]:
        """The calls with their environments."""
        file = self.kept / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line) for line in lines]

    @property
    def upload(self) -> Path:
        """The folder that was handed to the host."""
        return self.kept / "upload"

    def uploaded(self) -> set[str]:
        """The files in it."""
        files = (file for file in self.upload.rglob("*") if file.is_file())
        return {str(file.relative_to(self.upload)) for file in files}
