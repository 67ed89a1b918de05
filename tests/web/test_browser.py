"""What people do on the site, in a real browser: DESIGN's questions, one journey for each.

Chromium is needed. Without it these tests are skipped, except where CI is set: there it must be.
"""

import os
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.pages import dag_hash
from tests.web.seen import sections

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
IN_CI = os.environ.get("CI") == "true"

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        not CHROMIUM and not IN_CI,
        reason="There is no Chromium: install it with `apt-get install chromium`",
    ),
]

PAGES = {
    "home": "/",
    "table": "/spack-cache/specs?os=ubuntu22.04&stacks__arraycontains=e4s&_facet_array=variants",
    "packages": "/spack-cache/packages",
    "package": "/spack-cache/packages/hdf5",
    "spec": f"/spack-cache/specs/{dag_hash('hmpi')}",
    "release": "/spack-cache/releases/develop",
    "stack": "/spack-cache/stacks/e4s",
    "variant": "/spack-cache/variants/~2Bmpi",
    "row": "/spack-cache/targets/zen4",
    "query": "/spack-cache/find_a_binary?package=hdf5",
    "sql": "/spack-cache?sql=select+hash,+stacks+from+specs",
    "questions": "/spack-cache",
    "charts": "/-/dashboards/spack-cache",
    "about": "/about",
    "found": "/-/find?q=py",
    "compared": f"/-/compare?a={dag_hash('hmpi')}&b={dag_hash('harm')}",
    "not compared": "/-/compare?a=/h&b=nonsense!",
    "not found": "/spack-cache/packages/hdf",
    "system": "/systems/ubuntu22~2E04?machine=zen4&q=x",
    "systems": "/systems?machine=zen4",
    "no system": "/systems/ubuntu?machine=zen4",
    "package on a system": "/spack-cache/packages/hdf5?os=ubuntu22.04&machine=zen4",
    "lists apart": "/spack-cache/packages?oses__arraycontains=sequoia&targets__arraycontains=x86_64_v3",
    "mistake": "/spack-cache/packages?_sort=nothing",
    "hostile": f"/spack-cache/specs/{dag_hash('evil')}",
}
HDF5 = "dcx5txiifptzw53fzzefdriu7yarnyag"
PHONE = {"width": 375, "height": 800}

OpenPage = Callable[..., AbstractAsyncContextManager[Page]]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    if not CHROMIUM:
        pytest.fail("There is no Chromium, and CI is to test in it: apt-get install chromium")
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--no-first-run",
            ],
        )
        yield launched
        await launched.close()


@pytest.fixture
def open_page(browser: Browser, served: str) -> OpenPage:
    """A function that opens the site of the made-up pages."""
    return opener(browser, served)


@pytest.fixture
def open_caches(browser: Browser, served_caches: str) -> OpenPage:
    """A function that opens the site of the build caches in the repository."""
    return opener(browser, served_caches)


def opener(browser: Browser, served: str) -> OpenPage:
    """A function that opens a site; at the end nothing may have left the machine or failed."""

    @asynccontextmanager
    async def open_one(path: str, **options: Any) -> AsyncIterator[Page]:
        context = await browser.new_context(
            base_url=served, permissions=["clipboard-read", "clipboard-write"], **options
        )
        context.set_default_timeout(10_000)
        page = await context.new_page()
        requested: list[str] = []
        mistakes: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        page.on("pageerror", lambda error: mistakes.append(str(error)))
        await page.goto(path)
        yield page
        await context.close()
        assert [url for url in requested if not url.startswith((f"{served}/", "data:"))] == []
        assert mistakes == []

    return open_one


async def copied(page: Page) -> str:
    return str(await page.evaluate("navigator.clipboard.readText()"))


async def test_a_cluster_user_finds_a_binary_and_installs_exactly_that_one(
    open_page: OpenPage,
) -> None:
    async with open_page("/") as page:
        await page.get_by_role("combobox", name="Search packages").fill("hdf5")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text("hdf5")

        await page.get_by_role("link", name="3 of 1.14.5 for ubuntu22.04 x86_64_v3").click()
        facets = page.get_by_role("complementary", name="Narrow down")
        await facets.get_by_role("link", name="Narrow down by variants too").click()
        await facets.get_by_role("link", name="~mpi").click()
        await expect(page.get_by_role("list", name="Filters in use")).to_contain_text(
            "variants contains ~mpi"
        )
        rows = page.locator("table.rows-and-columns tbody tr")
        await expect(rows).to_have_count(1)
        await rows.locator("a.hash").click()

        await expect(page.get_by_role("heading", level=1)).to_have_text("hdf5@1.14.5 /hseraaa")
        await page.get_by_role("button", name="Copy the command that installs it").click()
        await expect(page.get_by_role("status")).to_have_text("Copied")
        assert await copied(page) == f"spack install --cache-only /{dag_hash('hser')}"


async def test_a_cluster_user_asks_for_all_of_a_spec_at_once(open_page: OpenPage) -> None:
    async with open_page("/spack-cache") as page:
        await page.get_by_role("link", name="Is there a binary?").click()
        await page.get_by_label("Package", exact=True).select_option("hdf5")
        await page.get_by_label("Operating system").select_option("ubuntu22.04")
        await page.get_by_label("Your machine").select_option("zen4")
        await page.get_by_label("Variants").fill("+mpi")
        await page.get_by_role("button", name="Answer").click()

        hashes = page.locator("a.hash")
        await expect(hashes).to_have_text([dag_hash("hmpi"), dag_hash("htwin")])


async def test_an_administrator_sees_what_is_missing_on_a_system(open_page: OpenPage) -> None:
    async with open_page("/") as page:
        await page.get_by_role(
            "link", name="Which packages have no binary for my system?"
        ).first.click()
        await page.get_by_label("Operating system").select_option("ubuntu24.04")
        await page.get_by_label("Your machine").select_option("neoverse_v2")
        await page.get_by_role("button", name="Answer").click()

        missing = page.locator("table.rows-and-columns tbody tr td:first-child")
        await expect(missing).to_have_text(
            ["<img src=x onerror=alert(1)> `reboot`;", "py-numpy", "xz"]
        )


async def test_an_administrator_sees_which_systems_have_binaries(open_page: OpenPage) -> None:
    async with open_page("/") as page:
        await page.get_by_role("link", name="sequoia").click()

        await expect(page.get_by_role("list", name="Filters in use")).to_contain_text(
            "os = sequoia"
        )
        await expect(page.locator("table.rows-and-columns tbody tr")).to_have_count(1)


async def test_a_maintainer_sees_what_is_built_of_a_package(open_page: OpenPage) -> None:
    async with open_page("/spack-cache/packages") as page:
        await page.get_by_role("link", name="hdf5", exact=True).click()
        shown = sections(await page.content())
        assert shown["Compilers"] == "gcc@13.2.0 3 apple-clang@16.0.0 1 gcc@12.3.0 1"
        assert shown["Stacks"].startswith("root 5 e4s 3 developer-tools-darwin 1")

        await page.get_by_label("Release").select_option("v0.23.1")
        await page.get_by_role("button", name="Show").click()
        await expect(page.locator(".lead")).to_contain_text("1 binary in v0.23.1.")

        await page.get_by_label("Release").select_option("develop")
        await page.get_by_label("My machine").select_option("zen4")
        await page.get_by_role("button", name="Show").click()
        await expect(page.locator(".lead")).to_contain_text(
            "3 binaries that run on zen4 in develop."
        )

        await page.get_by_role("link", name="~mpi 1").click()
        await expect(page.locator("a.hash")).to_have_text([dag_hash("hser")])


async def test_a_ci_engineer_sees_what_changed_and_how_a_stack_grew(open_page: OpenPage) -> None:
    async with open_page("/") as page:
        await page.get_by_role("navigation", name="Main").get_by_text("Releases").click()
        await page.get_by_role("link", name="develop-2025-07-13", exact=True).click()
        changes = sections(await page.content())["What changed since develop-2025-07-06"]
        assert changes.startswith(
            "All changes, by version and stack, and what was rebuilt New specs 1"
        )

        await page.get_by_role("link", name="All changes, by version and stack").click()
        shown = sections(await page.content())
        assert shown["Packages gone 1"] == "py-cloudpickle 3.0.0"

        await page.get_by_role("navigation", name="Main").get_by_text("Stacks").click()
        await page.get_by_role("link", name="e4s", exact=True).click()
        assert sections(await page.content())["How it grew"] == (
            "Release Specs develop 4 develop-2025-07-13 3 develop-2025-07-06 3 v0.23.1 2"
        )


async def test_a_package_maintainer_ticks_two_specs_to_compare_them(open_page: OpenPage) -> None:
    async with open_page("/spack-cache/specs?package=hdf5") as page:
        button = page.get_by_role("button", name="Compare the two ticked")
        await expect(button).to_be_disabled()
        await page.get_by_role("checkbox", name="Compare /hmpiaaa").check()
        await expect(button).to_be_disabled()
        await page.get_by_role("checkbox", name="Compare /hseraaa").check()
        await button.click()

        await expect(page).to_have_url(re.compile(rf"a={dag_hash('hmpi')}&b={dag_hash('hser')}$"))
        await expect(page.get_by_role("region", name="Facts that differ")).to_contain_text("~mpi")

        await page.go_back()
        await page.get_by_role("checkbox", name="Compare /holdaaa").check()
        await expect(button).to_be_disabled()


async def test_a_ci_engineer_compares_two_stacks(open_page: OpenPage) -> None:
    async with open_page("/spack-cache/stacks/e4s") as page:
        await page.get_by_role("link", name="what it has and another stack has not").click()
        await page.get_by_label("But not in").select_option("e4s-neoverse-v2")
        await page.get_by_role("button", name="Answer").click()

        await expect(page.locator("table.rows-and-columns tbody tr td:first-child")).to_have_text(
            ["xz"]
        )


async def test_a_data_person_gets_it_all_as_json_csv_and_file(open_page: OpenPage) -> None:
    async with open_page("/spack-cache/specs?package=hdf5") as page:
        await page.get_by_text("Take these rows along").click()
        json = await page.request.get(
            await page.get_by_role("link", name="as an array").get_attribute("href") or ""
        )
        assert [row["hash"] for row in await json.json()] == sorted(
            dag_hash(name) for name in ["harm", "hmac", "hmpi", "hold", "hser", "htwin"]
        )
        async with page.expect_download() as csv:
            await page.get_by_role("button", name="Get CSV").click()
        lines = (await (await csv.value).path()).read_text().splitlines()
        assert len(lines) == 7
        assert lines[0].startswith("hash,package,version,version_rank,compiler,")

        await page.get_by_role("navigation", name="Main").get_by_text("About and API").click()
        async with page.expect_download() as file:
            await page.get_by_role("link", name="the whole database").click()
        assert (await (await file.value).path()).read_bytes()[:15] == b"SQLite format 3"


async def test_a_filter_can_be_taken_away_again(open_page: OpenPage) -> None:
    async with open_page("/spack-cache/specs?os=ubuntu22.04&stacks__arraycontains=e4s") as page:
        await page.get_by_role("link", name="Remove filter: stacks contains e4s").click()

        await expect(page).to_have_url(re.compile(r"/spack-cache/specs\?os=ubuntu22\.04$"))
        await expect(page.locator(".count")).to_contain_text("8 rows")


async def test_a_long_list_unfolds(open_page: OpenPage) -> None:
    letters = '["a","b","c","d","e","f","g","h","i","j","k","l"]'
    async with open_page(f"/spack-cache?sql=select+'{letters}'+as+versions") as page:
        last = page.get_by_text("l", exact=True)
        await expect(last).not_to_be_visible()
        await page.get_by_text("4 of 12 shown").click()
        await expect(last).to_be_visible()
        await page.get_by_text("Show fewer").click()
        await expect(last).not_to_be_visible()


async def test_a_short_hash_is_copied_in_full(open_page: OpenPage) -> None:
    async with open_page("/spack-cache/specs?package=xz") as page:
        await page.get_by_role("button", name="Copy hash xzaaaaa").click()
        await expect(page.get_by_role("status")).to_have_text("Copied")
        assert await copied(page) == dag_hash("xz")


async def test_a_page_without_a_secure_origin_copies_too(open_page: OpenPage) -> None:
    async with open_page("/spack-cache/specs?package=xz") as page:
        await page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
        await page.get_by_role("button", name="Copy hash xzaaaaa").click()
        await expect(page.get_by_role("status")).to_have_text("Copied")
        # To the box, and what is in it is selected.
        await page.keyboard.press("/")
        await page.keyboard.press("Control+V")
        await expect(page.get_by_role("combobox", name="Search packages")).to_have_value(
            dag_hash("xz")
        )


async def test_a_clipboard_that_is_refused_is_no_mistake(open_page: OpenPage) -> None:
    async with open_page("/spack-cache/specs?package=xz") as page:
        await page.evaluate(
            "void (navigator.clipboard.writeText = () => Promise.reject(new DOMException('no')))"
        )
        await page.get_by_role("button", name="Copy hash xzaaaaa").click()
        await expect(page.get_by_role("status")).to_have_text("Copied")
        assert await copied(page) == dag_hash("xz")


@pytest.mark.parametrize("name", ["machine", "os", "release"])
async def test_what_is_too_long_for_a_page_is_broken(name: str, open_page: OpenPage) -> None:
    async with open_page(f"/spack-cache/packages/hdf5?{name}={'x' * 6000}") as page:
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_all_of_it_works_by_keyboard(open_page: OpenPage) -> None:
    async with open_page("/spack-cache/packages/hdf5") as page:
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="home", exact=True)).to_be_focused()

        await page.keyboard.press("/")
        box = page.get_by_role("combobox", name="Search packages")
        await expect(box).to_be_focused()
        await page.keyboard.type("a/b")
        await expect(box).to_have_value("a/b")


async def test_what_scrolls_and_what_unfolds_can_be_reached_by_keyboard(
    open_page: OpenPage,
) -> None:
    async with open_page(PAGES["table"], viewport=PHONE) as page:
        rows = page.get_by_role("region", name="Rows")
        await rows.focus()
        await expect(rows).to_be_focused()
        await page.keyboard.press("ArrowRight")
        await page.wait_for_function("document.querySelector('.table-wrapper').scrollLeft > 0")
        summary = page.locator("summary", has_text="Filter and sort")
        await summary.focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_label("Sort by")).to_be_visible()


async def test_dependencies_open_level_by_level(open_caches: OpenPage) -> None:
    async with open_caches(f"/spack-cache/specs/{HDF5}") as page:
        tree = page.locator(".tree > ul > li")
        openmpi = tree.filter(has_text="openmpi@5.0.8")
        await openmpi.get_by_text("17 below").click()
        below = openmpi.locator("> details > ul > li")
        await expect(below).to_have_count(9)
        await expect(below.filter(has_text="hwloc@2.12.2")).to_contain_text("build, link")

        hwloc = below.filter(has_text="hwloc@2.12.2").first
        await hwloc.get_by_text("below").first.press("Enter")
        await expect(hwloc.locator("> details > ul > li").first).to_be_visible()
        await hwloc.get_by_role("link", name="hwloc@2.12.2").click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("hwloc@2.12.2")


async def test_a_level_that_cannot_be_loaded_leads_to_a_page(open_caches: OpenPage) -> None:
    async with open_caches(f"/spack-cache/specs/{HDF5}") as page:
        await page.route("**/-/dependencies/*", lambda route: route.abort())
        await page.locator(".tree").get_by_text("17 below").click()
        await page.get_by_role("link", name="Its dependencies").first.click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("openmpi@5.0.8")


async def test_dependencies_are_there_without_javascript(open_caches: OpenPage) -> None:
    async with open_caches(f"/spack-cache/specs/{HDF5}", java_script_enabled=False) as page:
        await page.get_by_text("What it needs to run, to the end, each once").click()
        await expect(page.locator(".flat li")).to_have_count(25)
        await page.locator(".tree").get_by_text("17 below").click()
        await page.get_by_role("link", name="Its dependencies").first.click()
        await expect(page.get_by_role("heading", level=1)).to_contain_text("openmpi@5.0.8")


async def test_who_needs_a_package_is_searched_for(open_caches: OpenPage) -> None:
    async with open_caches("/") as page:
        await page.get_by_role("combobox", name="Search packages").first.fill("^zlib-ng@2.2.4")
        await page.keyboard.press("Enter")
        filters = page.get_by_role("list", name="Filters in use")
        await expect(filters).to_contain_text("depends on ^zlib-ng@2.2.4")
        await filters.get_by_role("link", name="Remove filter: depends on ^zlib-ng@2.2.4").click()
        await expect(filters).not_to_contain_text("depends on")


OF_DEPENDENCIES = {
    "a spec": f"/spack-cache/specs/{HDF5}",
    "a node": "/spack-cache/nodes/4xnl3xwvgcq4tykouo5llmzxf2sp56n7",
    "a package": "/spack-cache/packages/zlib-ng",
    "a question": "/spack-cache/dependents?package=zlib-ng",
}


@pytest.mark.parametrize("name", OF_DEPENDENCIES)
async def test_pages_of_dependencies_are_accessible_and_fit(
    name: str, open_caches: OpenPage
) -> None:
    for options in ({}, {"viewport": PHONE}, {"color_scheme": "dark"}):
        async with open_caches(OF_DEPENDENCIES[name], **options) as page:
            for details in await page.locator(".tree > ul > li > details > summary").all():
                await details.click()
            await page.wait_for_load_state("networkidle")
            found = await Axe().run(page)
            assert found.response["violations"] == []
            width = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert width <= 0


async def test_everything_that_only_shows_works_without_javascript(open_page: OpenPage) -> None:
    async with open_page("/", java_script_enabled=False) as page:
        await page.get_by_role("searchbox").fill("hdf5")
        await page.get_by_role("button", name="Search").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("hdf5")
        await page.get_by_role("link", name="3 of 1.14.5 for ubuntu22.04 x86_64_v3").click()
        await expect(page.locator("a.hash")).to_have_count(3)
        await expect(page.get_by_role("button", name="Copy hash")).to_have_count(0)


@pytest.mark.parametrize(
    "look",
    [
        {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}},
        {"color_scheme": "dark", "viewport": PHONE},
    ],
    ids=["light and wide", "dark and narrow"],
)
@pytest.mark.parametrize("name", PAGES)
async def test_a_page_is_accessible_and_fits_and_nothing_shifts_while_it_is_loaded(
    open_page: OpenPage, name: str, look: dict[str, Any]
) -> None:
    async with open_page(PAGES[name], **look) as page:
        shifts = await page.evaluate(
            """new Promise((resolve) => {
                const found = [];
                new PerformanceObserver((list) => found.push(...list.getEntries()))
                    .observe({type: "layout-shift", buffered: true});
                requestAnimationFrame(() => setTimeout(() =>
                    resolve(found.map((shift) => shift.value)), 50));
            })"""
        )
        # Of a table that is still being read, columns find their widths; on a busy machine Chromium
        # draws it before. That is less than a hundredth of the page.
        assert sum(shifts) < 0.01

        widths = await page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert widths[0] <= widths[1]

        await page.evaluate(
            "document.querySelectorAll('details').forEach((details) => { details.open = true })"
        )
        found = await Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
