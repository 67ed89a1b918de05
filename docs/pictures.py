"""Take the README's pictures of the pages that `make serve` shows.

`make serve` in one terminal, `make pictures` in another.
"""

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURES = {
    "home": "/",
    "package": "/spack-cache/packages/py-msgpack",
    "spec": "/spack-cache/specs/255hkvjjlmt7je7ljqabxkt4rcdwlcbh",
    "specs": "/spack-cache/specs?stacks__arraycontains=e4s",
    "charts": "/-/dashboards/spack-cache",
}
BROWSER = "/usr/bin/chromium"


def main(address: str) -> None:
    """Write a PNG for each of `PICTURES` beside this file."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox", "--disable-background-networking"]
        )
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        for name, path in PICTURES.items():
            page.goto(address + path, wait_until="networkidle")
            page.screenshot(path=Path(__file__).with_name(f"{name}.png"))
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
