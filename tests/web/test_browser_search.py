"""The search in a real browser: suggestions while typing, and ways out of finding nothing."""

import re

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Locator, Page, expect

from tests.web import test_browser
from tests.web.test_browser import PHONE, OpenPage

browser = test_browser.browser
open_page = test_browser.open_page
pytestmark = test_browser.pytestmark


def box(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Search packages")


def options(page: Page) -> Locator:
    return page.get_by_role("listbox").get_by_role("option")


async def test_a_suggestion_is_chosen_by_keyboard(open_page: OpenPage) -> None:
    async with open_page("/") as page:
        await expect(box(page)).to_have_attribute("aria-expanded", "false")
        await box(page).press_sequentially("e4")
        await expect(options(page)).to_have_text(["e4sstack", "e4s-neoverse-v2stack"])
        await expect(box(page)).to_have_attribute("aria-expanded", "true")

        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("ArrowDown")
        await expect(options(page).nth(1)).to_have_attribute("aria-selected", "true")
        await expect(box(page)).to_have_attribute(
            "aria-activedescendant", await options(page).nth(1).get_attribute("id") or ""
        )
        await page.keyboard.press("ArrowUp")
        await page.keyboard.press("Enter")

        await page.wait_for_url("**/spack-cache/stacks/e4s")


async def test_a_suggestion_is_chosen_by_mouse(open_page: OpenPage) -> None:
    async with open_page("/") as page:
        await box(page).press_sequentially("pickle")
        await options(page).first.click()

        await page.wait_for_url("**/spack-cache/packages/py-cloudpickle")


async def test_escape_leaves_what_was_typed(open_page: OpenPage) -> None:
    async with open_page("/") as page:
        await box(page).press_sequentially("hdf")
        await expect(options(page)).to_have_count(1)
        await page.keyboard.press("Escape")

        await expect(page.get_by_role("listbox")).to_have_count(0)
        await expect(box(page)).to_have_value("hdf")
        await expect(box(page)).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Search for “hdf”")


async def test_the_last_word_of_several_is_completed_and_gone_on_with(open_page: OpenPage) -> None:
    async with open_page("/spack-cache/specs") as page:
        field = page.get_by_role("combobox", name="Words in the spec")
        await field.press_sequentially("hdf5 os=ubuntu22")
        await options(page).first.click()
        await expect(field).to_have_value("hdf5 os=ubuntu22.04")
        await expect(field).to_be_focused()
        await page.keyboard.press("Enter")

        await expect(page.get_by_role("list", name="Filters in use")).to_contain_text(
            "os = ubuntu22.04"
        )
        await expect(page.locator("a.hash")).to_have_count(3)


async def test_leaving_the_box_closes_the_list(open_page: OpenPage) -> None:
    async with open_page("/") as page:
        await box(page).press_sequentially("hdf")
        await expect(options(page)).to_have_count(1)
        await page.keyboard.press("Tab")

        await expect(page.get_by_role("listbox")).to_have_count(0)


@pytest.mark.parametrize("look", [{}, {"color_scheme": "dark", "viewport": PHONE}])
async def test_the_list_can_be_used_by_everybody_and_moves_nothing(
    look: dict[str, object], open_page: OpenPage
) -> None:
    async with open_page("/", **look) as page:
        before = await page.locator("main").bounding_box()
        await box(page).press_sequentially("e4")
        await expect(options(page)).to_have_count(2)
        await page.keyboard.press("ArrowDown")
        results = await Axe().run(page)
        shown = await page.get_by_role("listbox").bounding_box()
        sizes = [await option.bounding_box() for option in await options(page).all()]

        assert results.violations_count == 0, results.generate_report()
        assert await page.locator("main").bounding_box() == before
        assert shown
        assert shown["x"] >= 0
        assert shown["x"] + shown["width"] <= page.viewport_size["width"]  # type: ignore[index]
        assert all(size and size["height"] >= 24 for size in sizes)


async def test_without_javascript_the_box_is_a_form(open_page: OpenPage) -> None:
    async with open_page("/", java_script_enabled=False) as page:
        await page.get_by_role("searchbox").fill("hdf5 +mpi")
        await page.keyboard.press("Enter")

        await expect(page.locator("a.hash")).to_have_count(3)


async def test_obsolete_binaries_are_one_click_away(open_page: OpenPage) -> None:
    async with open_page("/") as page:
        await box(page).fill("hdf5 +mpi")
        await page.keyboard.press("Enter")
        await expect(page.locator("a.hash")).to_have_count(3)
        await page.get_by_role("link", name="1 more in older releases").click()

        await expect(page.locator("a.hash")).to_have_count(4)


async def test_nothing_found_leads_on(open_page: OpenPage) -> None:
    async with open_page("/") as page:
        await box(page).fill("hdf5 +mpi os=sequoia")
        await page.keyboard.press("Enter")
        advice = page.get_by_role("region", name="What would be found")
        await expect(advice).to_contain_text("without os=sequoia: 3")
        assert (await Axe().run(page)).violations_count == 0
        await advice.get_by_role("link", name="without os=sequoia").click()

        await expect(page.locator("a.hash")).to_have_count(3)


async def test_nothing_for_exactly_a_target_shows_what_runs_on_it(open_page: OpenPage) -> None:
    async with open_page("/") as page:
        await box(page).fill("hdf5 target=zen4")
        await page.keyboard.press("Enter")
        await page.get_by_role("link", name=re.compile("3 run on it")).click()

        await expect(page.get_by_role("list", name="Filters in use")).to_contain_text(
            "runs on zen4"
        )
        await expect(page.locator("a.hash")).to_have_count(3)
