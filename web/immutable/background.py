"""Work that the server begins when it starts, beside the pages that it serves."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Made = TypeVar("Made")


def begin(work: Callable[[], Made], name: str) -> Future[Made]:
    """Begin work in a thread of its own; its result, or what it raises, is in the future.

    Nobody waits for it when the process ends, as for the threads of an executor.

    Args:
        work: What to do.
        name: What the thread is called.
    """
    future: Future[Made] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
