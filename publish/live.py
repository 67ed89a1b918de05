"""What a published copy says of itself."""

import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass

SECONDS = 60
"""How long a copy may take to answer: hosts start one that nobody used only when it is asked."""


@dataclass(frozen=True, slots=True)
class Live:
    """A published copy.

    Attributes:
        address: of the copy, without a slash at the end.
        hash: of its database, as `datasette inspect` gives it.
        version_note: as it was deployed with; None if with none.
    """

    address: str
    hash: str
    version_note: str | None


def ask_live(address: str) -> Live | None:
    """Ask a copy which database it serves; None if nothing of this site answers there.

    Args:
        address: of the copy, `https://…`; anything but http and https is no copy.
    """
    address = address.rstrip("/")
    if not address.startswith(("https://", "http://")):
        return None
    request = urllib.request.Request(f"{address}/-/health", headers={"Accept": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
            facts = json.load(answer)
        return Live(address, facts["hash"], facts["version_note"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
