"""What can I use on my machine? From the home page, in a real browser; and what it remembers of it."""

import json
import re
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.web import test_browser as shared
from tests.web.test_browser import OpenPage

browser, open_page, pytestmark = shared.browser, shared.open_page, shared.pytestmark

SYSTEM = {"os": "ubuntu22.04", "machine": "zen4", "release": "develop"}
ASKED = "os=ubuntu22.04&machine=zen4&release=develop"
NAME = "ubuntu22.04 · zen4 · develop"


async def remembered(page: Page) -> dict[str, str] | None:
    kept: dict[str, str] | None = json.loads(
        await page.evaluate("localStorage.getItem('system') ?? 'null'")
    )
    return kept


async def remember(page: Page, **changes: Any) -> None:
    """Let the browser know a system from before, and load the page anew."""
    kept = json.dumps(SYSTEM | changes)
    await page.evaluate("(kept) => localStorage.setItem('system', kept)", kept)
    await page.reload()


async def choose(page: Page) -> None:
    await page.get_by_label("Operating system").select_option("ubuntu22.04")
    await page.get_by_label("CPU").select_option("zen4")


async def packages(page: Page, which: str) -> list[str]:
    return await page.locator(f"ul.{which} li a:first-child").all_inner_texts()


@pytest.mark.parametrize("has_script", [True, False], ids=["with script", "without"])
async def test_what_runs_on_my_system_takes_a_click_from_home(
    open_page: OpenPage, has_script: bool
) -> None:
    async with open_page("/", java_script_enabled=has_script) as page:
        await choose(page)
        await page.get_by_role("button", name="See what runs there").click()

        await expect(page).to_have_url(re.compile(r"/systems/ubuntu22~2E04\?machine=zen4&"))
        await expect(page.get_by_role("heading", level=1)).to_have_text(
            "What runs on ubuntu22.04 and zen4"
        )
        await expect(page.locator(".lead")).to_contain_text("3 of 4 packages in develop have")
        assert await packages(page, "have") == ["hdf5", "py-numpy", "xz"]
        assert len(await packages(page, "missing")) == 1

        await page.get_by_label("Part of the name").fill("num")
        await page.get_by_role("button", name="Filter").click()
        await expect(page).to_have_url(re.compile("q=num"))
        assert await packages(page, "have") == ["py-numpy"]


async def test_home_says_how_many_packages_run_there_while_one_chooses(open_page: OpenPage) -> None:
    async with open_page("/") as page:
        count = page.locator(".my-system-count")
        await expect(count).to_have_text("All systems that have binaries")
        await choose(page)
        await expect(count).to_have_text("3 of 4 packages have a binary that runs there. See them")
        await page.get_by_label("Release").select_option("v0.23.1")
        await expect(count).to_contain_text("2 of 2 packages")
        await page.get_by_role("link", name="See them").click()
        await expect(page.locator(".lead")).to_contain_text("2 of 2 packages in v0.23.1")


async def test_the_lists_follow_what_is_typed(open_page: OpenPage) -> None:
    async with open_page("/systems/ubuntu22~2E04?machine=zen4") as page:
        await page.get_by_label("Part of the name").press_sequentially("x")
        await expect(page.locator("ul.have li")).to_have_count(1)
        assert await packages(page, "have") == ["xz"]
        await expect(page).to_have_url(re.compile("q=x$|q=x&"))
        await page.get_by_label("Part of the name").fill("")
        await expect(page.locator("ul.have li")).to_have_count(3)


async def test_a_system_is_remembered_and_acts_visibly(open_page: OpenPage) -> None:
    async with open_page("/") as page:
        shown = page.get_by_role("group", name="My system")
        await expect(shown).to_be_hidden()
        await choose(page)
        await page.get_by_role("button", name="See what runs there").click()
        assert await remembered(page) == SYSTEM
        await expect(shown.get_by_role("link", name=NAME)).to_be_visible()

        await page.goto("/spack-cache/stacks/e4s")
        await page.get_by_role("link", name="hdf5 3").click()
        await expect(page).to_have_url(re.compile(rf"/packages/hdf5\?{re.escape(ASKED)}$"))
        await expect(page.locator(".lead")).to_contain_text(
            "3 binaries that run on ubuntu22.04 and zen4 in develop."
        )
        await page.get_by_role("link", name="Any CPU instead of zen4").click()
        await expect(page).to_have_url(re.compile(r"\?os=ubuntu22\.04&machine=&release=develop$"))

        await page.get_by_role("navigation", name="Main").get_by_text("Specs").click()
        await expect(page).to_have_url(
            re.compile(r"\?os=ubuntu22\.04&_runs_on=zen4&releases__arraycontains=develop$")
        )
        await shown.get_by_role("link", name=NAME).click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("ubuntu22.04 and zen4")
        await shown.get_by_role("link", name="Change my system").click()
        await expect(page.get_by_label("CPU")).to_have_value("zen4")


async def test_a_search_says_the_system_in_its_address(open_page: OpenPage) -> None:
    async with open_page("/about") as page:
        await remember(page)
        box = page.get_by_role("search")
        await box.get_by_role("combobox").fill("nothing like it")
        async with page.expect_request(re.compile(r"/-/find\?")) as request:
            await page.keyboard.press("Enter")
        assert (await request.value).url.endswith(f"/-/find?q=nothing+like+it&{ASKED}")


async def test_a_system_is_forgotten_everywhere(open_page: OpenPage) -> None:
    async with open_page("/spack-cache/stacks/e4s") as page:
        package = page.get_by_role("link", name="xz 1")
        await expect(package).to_have_attribute("href", "/spack-cache/packages/xz")
        await remember(page)
        await expect(package).to_have_attribute("href", f"/spack-cache/packages/xz?{ASKED}")

        await page.get_by_role("button", name="Forget my system").click()
        assert await remembered(page) is None
        await expect(page.get_by_role("group", name="My system")).to_be_hidden()
        await expect(page.get_by_role("status")).to_have_text("Your system is forgotten")
        await expect(package).to_have_attribute("href", "/spack-cache/packages/xz")
        await expect(page.locator("form[role=search] input[type=hidden]")).to_have_count(0)


async def test_a_link_that_says_a_system_is_left_as_it_is(open_page: OpenPage) -> None:
    async with open_page("/spack-cache/packages/hdf5?os=sequoia&release=develop") as page:
        await remember(page)
        await expect(page.locator(".lead")).to_contain_text("1 binary that runs on sequoia")
        await page.get_by_role("link", name="Any operating system instead of sequoia").click()
        await expect(page.locator(".lead")).to_contain_text("5 binaries in develop.")


@pytest.mark.parametrize(
    "kept", ["no JSON", "[]", "null", '{"os": 5}', '{"os": "%s"}' % ("x" * 999)]
)
async def test_what_is_no_system_is_not_remembered(open_page: OpenPage, kept: str) -> None:
    async with open_page("/spack-cache/stacks/e4s") as page:
        await page.evaluate("(kept) => localStorage.setItem('system', kept)", kept)
        await page.reload()
        await expect(page.get_by_role("link", name="xz 1")).to_have_attribute(
            "href", "/spack-cache/packages/xz"
        )
        await expect(page.get_by_role("group", name="My system")).to_be_hidden()


@pytest.mark.parametrize("viewport", [{"width": 1280, "height": 800}, shared.PHONE])
@pytest.mark.parametrize("path", ["/", "/systems/ubuntu22~2E04?machine=zen4", "/spack-cache/specs"])
async def test_nothing_shifts_where_a_system_is_remembered(
    open_page: OpenPage, path: str, viewport: dict[str, int]
) -> None:
    async with open_page(path, viewport=viewport) as page:
        await remember(page, os="windows10.0.20348", machine="graniterapids")
        await expect(page.get_by_role("group", name="My system")).to_be_visible()
        shifts = await page.evaluate(
            """new Promise((resolve) => {
                const found = [];
                new PerformanceObserver((list) => found.push(...list.getEntries()))
                    .observe({type: "layout-shift", buffered: true});
                requestAnimationFrame(() => setTimeout(() =>
                    resolve(found.map((shift) => shift.value)), 100));
            })"""
        )
        assert sum(shifts) < 0.001
        widths = await page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert widths[0] <= widths[1]
        found = await shared.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
