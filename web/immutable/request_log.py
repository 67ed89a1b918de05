"""One line on stderr for each request, in place of uvicorn's: with bytes and milliseconds.

    time=2025-07-13T08:00:00.123Z method=GET path="/shop?sql=…" status=200 bytes=5213 ms=7.1

The bytes are those of the body as it was sent, compressed if it was. A line ends with `cut=true` if
not all of the answer was. No address and no cookie of a visitor is written. Off with
`{"plugins": {"request-log": {"enabled": false}}}` in the metadata; uvicorn's own lines are written
then.
"""

import json
import logging
import sys
import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime

from datasette import hookimpl
from datasette.app import Datasette

from web.immutable.asgi import App, Message, Receive, Scope, Send

Wrapper = Callable[[App], App]


@hookimpl(wrapper=True)  # type: ignore[untyped-decorator]
def asgi_wrapper(datasette: Datasette) -> Generator[None, list[Wrapper], list[Wrapper]]:
    """Wrap everything else, whichever plugins there are: caches and compression too."""
    wrappers = yield
    enabled = (datasette.plugin_config("request-log") or {}).get("enabled", True)
    return [*wrappers, _logged] if enabled else wrappers


def _logged(app: App) -> App:
    async def logged(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # The server starts now and has set its own log up.
            logging.getLogger("uvicorn.access").disabled = True
            await app(scope, receive, send)
            return
        sent = {"status": 0, "bytes": 0, "more": True}

        async def count(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent["status"] = message["status"]
            sent["bytes"] += len(message.get("body", b""))
            await send(message)
            sent["more"] = message["type"] != "http.response.body" or message.get(
                "more_body", False
            )

        started = time.perf_counter()
        try:
            await app(scope, receive, count)
        finally:
            milliseconds = (time.perf_counter() - started) * 1000
            line = _line(scope, sent["status"], sent["bytes"], milliseconds)
            sys.stderr.write(f"{line} cut=true\n" if sent["more"] else f"{line}\n")

    return logged


def _line(scope: Scope, status: int, size: int, milliseconds: float) -> str:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    path = scope.get("raw_path") or scope["path"].encode()
    if scope["query_string"]:
        path = path.partition(b"?")[0] + b"?" + scope["query_string"]
    return (
        f"time={now} method={scope['method']} path={json.dumps(path.decode('latin-1'))} "
        f"status={status or '-'} bytes={size} ms={milliseconds:.1f}"
    )
