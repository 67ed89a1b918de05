"""Work that the server does beside its pages."""

import threading

import pytest

from web.immutable.background import begin


def test_the_future_has_what_was_made() -> None:
    assert begin(lambda: 2 + 2, "sum").result(10) == 4


def test_the_future_raises_what_the_work_raises() -> None:
    with pytest.raises(ZeroDivisionError):
        begin(lambda: 1 // 0, "mistake").result(10)


def test_nobody_waits_for_it_when_the_process_ends() -> None:
    may_end = threading.Event()
    future = begin(may_end.wait, "waiting")
    (thread,) = [each for each in threading.enumerate() if each.name == "waiting"]
    assert thread.daemon
    may_end.set()
    assert future.result(10)
