"""`python -m etl` is `spack-cache-to-sqlite`.

What takes time to import is imported inside, so that ctrl-C ends in a message from the start.
"""

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Run the command line."""
    try:
        signal.signal(signal.SIGTERM, _end)
        _open_standard_files()
        from etl.cli import main as command

        command(prog_name="spack-cache-to-sqlite")
    except KeyboardInterrupt:
        # One more while Python ends would be told with a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.exit("Error: Interrupted.")
    except SystemExit:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise


def _end(_number: int, _frame: FrameType | None) -> None:
    # As an exception it lets everything be tidied up, which a second one must not cut short; the
    # status is a shell's for this signal.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + signal.SIGTERM)


def _open_standard_files() -> None:
    """Give back what the caller closed, lest a database takes the number of the standard error."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


if __name__ == "__main__":
    main()
