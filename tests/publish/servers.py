"""Run a server as a process of its own, and stop it."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx

START_SECONDS = 60


class Server(NamedTuple):
    """A server that runs.

    Attributes:
        address: where it answers, without a slash at the end.
        process: its process.
    """

    address: str
    process: subprocess.Popen[bytes]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running(
    command: Sequence[str] | str,
    folder: Path,
    port: int,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """A server for as long as the block runs; a command that is a text is run by a shell."""
    address = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        command,
        cwd=folder,
        shell=isinstance(command, str),
        env={**os.environ, **(environment or {})},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        # So that a shell and what it started can be stopped together.
        start_new_session=True,
    ) as process:
        try:
            _await_answer(address, process)
            yield Server(address, process)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.communicate()


def _await_answer(address: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            httpx.get(f"{address}/-/health")
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    assert process.stderr
    os.killpg(process.pid, signal.SIGKILL)
    raise AssertionError(process.stderr.read().decode())
