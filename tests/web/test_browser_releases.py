"""Releases compared, charts and answers in pages, in a real browser."""

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from tests.web import test_browser
from tests.web.test_browser import OpenPage, copied

browser, open_page = test_browser.browser, test_browser.open_page
pytestmark = test_browser.pytestmark

PHONE = {"width": 390, "height": 844}
PAGES = {
    "changes": "/changes",
    "no release": "/changes?release=nonesuch",
    "charts": "/-/dashboards/spack-cache",
    "package": "/spack-cache/packages/hdf5",
    "question": "/spack-cache/stack_difference",
    "sql": "/spack-cache?sql=delete+from+specs",
}


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
async def test_nothing_keeps_people_out(path: str, color_scheme: str, open_page: OpenPage) -> None:
    async with open_page(path, color_scheme=color_scheme) as page:
        if "dashboards" in path:
            await expect(page.locator(".chart svg .mark-rect").first).to_be_attached()
        found = await Axe().run(page)
        assert found.response["violations"] == []


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
async def test_a_phone_shows_all_of_the_width(path: str, open_page: OpenPage) -> None:
    async with open_page(path, viewport=PHONE, is_mobile=True) as page:
        assert await page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


async def test_what_changed_is_copied_as_markdown(open_page: OpenPage) -> None:
    async with open_page("/changes") as page:
        await page.get_by_label("Compared with").select_option("v0.23.1")
        await page.get_by_role("button", name="Compare").click()
        await expect(page.locator(".lead")).to_contain_text(
            "From v0.23.1 to develop: 2 new packages"
        )
        await page.get_by_role("button", name="Copy as Markdown").click()
        assert (await copied(page)).startswith("# What changed between `v0.23.1` and `develop`\n")


async def test_a_bar_leads_to_the_list_of_what_it_counts(open_page: OpenPage) -> None:
    async with open_page("/-/dashboards/spack-cache") as page:
        await page.locator("#chart-oses .mark-rect path").first.click()
        await page.wait_for_url("**/specs?os=ubuntu22.04&releases__arraycontains=develop")
        await expect(page.locator("table.rows-and-columns tbody tr")).to_have_count(6)


async def test_bars_are_links_for_a_keyboard(open_page: OpenPage) -> None:
    async with open_page("/-/dashboards/spack-cache") as page:
        link = page.locator("#list-packages a").first
        await expect(link).to_be_attached()
        await page.locator("#list-packages summary").focus()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await expect(link).to_be_focused()
        await expect(page.locator("#list-packages li").first).to_have_text("hdf5 5")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/specs?package=hdf5&releases__arraycontains=develop")


async def test_sql_that_is_refused_is_mended(open_page: OpenPage) -> None:
    async with open_page("/spack-cache?sql=delete+from+packages") as page:
        await page.get_by_label("Your query, to mend it").fill("select name from packages limit 1")
        await page.get_by_role("button", name="Run").click()
        await expect(page.locator("table.rows-and-columns tbody tr")).to_have_count(1)
