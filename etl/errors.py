"""What can end a command, and what a source is refused with."""

from typing import NamedTuple


class WrongUseError(Exception):
    """What was asked for cannot be done as asked; the message says what to change."""


class FailedError(Exception):
    """What was asked for could not be finished; the message says why and what to do."""


class ChangedError(FailedError):
    """A source changed between two readings."""


def changed(file: str) -> ChangedError:
    """How a command ends when a source changed between two readings."""
    return ChangedError(f"{file} changed while it was read; run the command again")


class WorkerDiedError(FailedError):
    """A process was ended from outside, for example because the machine's memory ran out."""


class Refusal(NamedTuple):
    """One reason why a source is refused: line in the file (0 for none), kind, what was found."""

    line: int
    kind: str
    message: str


class RefusedError(Exception):
    """A source that cannot be loaded.

    Attributes:
        refusals: the reasons that were found, at least one.
    """

    def __init__(self, *refusals: Refusal) -> None:
        super().__init__(*refusals)
        self.refusals = refusals
