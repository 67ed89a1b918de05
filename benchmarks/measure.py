"""Run commands in fresh processes, and measure their time and memory.

It reads /proc, so it needs Linux.
"""

import os
import platform
import resource
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
"""The project's folder."""

_SECONDS_BETWEEN_SAMPLES = 0.05
_LIBRARIES = ("datasette", "sqlite-utils", "msgspec", "pyyaml", "uvicorn")


class FailedError(Exception):
    """A measured command ended with an error; the message is what it printed."""


class Run(NamedTuple):
    """What one run of a command took.

    Attributes:
        seconds: from the start of its process to its end.
        cpu: seconds of computing, of all its processes on all cores together.
        memory: the most bytes that its processes had together in any sample: the sum of their
            proportional set sizes, which counts memory that they share once.
        each: the most bytes that each process ever had (resident set size), largest first.
        output: what it printed.
    """

    seconds: float
    cpu: float
    memory: int
    each: tuple[int, ...]
    output: str


def run(*command: str | Path) -> Run:
    """Run a command in the project's folder.

    Raises:
        FailedError: its exit status is not 0.
    """
    cpu, started = _cpu_of_children(), time.perf_counter()
    with subprocess.Popen(
        [*map(str, command)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        with sampled(process.pid) as memory:
            output, _ = process.communicate()
        seconds = time.perf_counter() - started
    if process.returncode:
        raise FailedError(output)
    each = tuple(sorted(memory.each.values(), reverse=True))
    return Run(seconds, _cpu_of_children() - cpu, memory.most, each, output)


def _cpu_of_children() -> float:
    """Seconds that processes which this one started and which have ended computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Memory:
    """The memory of a process and of all processes it started.

    Attributes:
        most: the most bytes that they had together in any sample.
        each: the most bytes that each of them ever had, until its last sample.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.most = 0
        self.each: dict[int, int] = {}

    def sample(self) -> int:
        """Look once, and tell how many bytes they have together."""
        together = 0
        for pid in _with_children(self._pid):
            try:
                together += _read_bytes(f"/proc/{pid}/smaps_rollup", "Pss")
                self.each[pid] = _read_bytes(f"/proc/{pid}/status", "VmHWM")
            except (OSError, LookupError):
                # It has just ended.
                continue
        self.most = max(self.most, together)
        return together


@contextmanager
def sampled(pid: int) -> Iterator[Memory]:
    """Sample a process's memory for as long as the block runs."""
    memory = Memory(pid)
    end = threading.Event()

    def sample() -> None:
        memory.sample()
        while not end.wait(_SECONDS_BETWEEN_SAMPLES):
            memory.sample()

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield memory
    finally:
        end.set()
        thread.join()


def _with_children(pid: int) -> Iterator[int]:
    yield pid
    try:
        tasks = [*Path(f"/proc/{pid}/task").iterdir()]
        children = [child for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        # It, or a thread of it, has just ended.
        return
    for child in children:
        yield from _with_children(int(child))


def _read_bytes(file: str, name: str) -> int:
    """A figure that the kernel gives as `name: 123 kB`."""
    for line in Path(file).read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    raise LookupError(f"{file} has no {name}")


def describe_machine() -> dict[str, str]:
    """What measured figures depend on."""
    models = (
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    memory = _read_bytes("/proc/meminfo", "MemTotal")
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    return {
        "CPU": next(models, platform.machine()),
        "Cores": str(os.cpu_count()),
        "Memory": f"{memory / 1e9:.1f} GB",
        "System": f"{system}, Linux {platform.release()}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "Libraries": ", ".join(f"{name} {version(name)}" for name in _LIBRARIES),
    }
