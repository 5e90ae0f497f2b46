"""The pages in a real browser: what is drawn, what is asked of the network, and whether it fits."""

from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, async_playwright, expect

from console.pages import MemoryStore, create_app, serve
from console.series import expected_windows
from tests.support.documents import agreement, made_up

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]
DRAFT, KPIS = agreement()
RATIO, COST = (kpi.id for kpi in KPIS)
WINDOWS = len(expected_windows(DRAFT))
PATHS = ["/", f"/kpi/{RATIO}", f"/kpi/{COST}?cell=income:1", "/runs", "/events"]
TIMEOUT_MS = 10_000


class Visit:
    """A page on a served store, with everything it complained about or asked for."""

    def __init__(self, page: Page, url: str, store: MemoryStore):
        self.page, self.url, self.store = page, url.rstrip("/"), store
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", lambda m: self.complaints.append(m.text) if m.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        page.on("response", lambda r: self.complaints.append(f"{r.status} {r.url}") if r.status >= 400 else None)

    async def open(self, path, lang="en"):
        await self.page.goto(f"{self.url}{path}{'&' if '?' in path else '?'}lang={lang}")

    def is_clean(self):
        assert self.complaints == []
        assert self.hosts == {urlsplit(self.url).netloc}


@asynccontextmanager
async def visit(document, width=1280, scheme="light", **options):
    store = MemoryStore(document)
    async with serve(create_app(store, KPIS, DRAFT), 0) as url, async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            context = await browser.new_context(
                viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce", **options
            )
            yield Visit(await context.new_page(), url, store)
        finally:
            await browser.close()


async def strokes(page, name):
    """Number of shapes that the chart draws in one of the page's colours."""
    return await page.evaluate(
        """name => {
            const wanted = getComputedStyle(document.documentElement).getPropertyValue("--w-" + name).trim().toLowerCase();
            const shapes = [...document.querySelectorAll("#chart svg path, #chart svg polyline, #chart svg polygon, #chart svg rect")];
            return shapes.filter((s) => [s.getAttribute("stroke"), s.getAttribute("fill")].some((c) => (c || "").toLowerCase() === wanted)).length;
        }""",
        name,
    )


async def test_the_chart_draws_line_band_and_reference_and_gaps_break_them():
    async with visit(made_up()) as v:
        await v.open(f"/kpi/{RATIO}?cell=income:1")
        assert await v.page.locator("#chart svg").count() == 1
        assert await strokes(v.page, "band") == 3  # 14-36, 40-51, 53-74
        assert await strokes(v.page, "band-edge") == 6
        assert await strokes(v.page, "reference") >= 1
        assert await strokes(v.page, "suppressed") > 10  # the hatch of three gaps
        assert await strokes(v.page, "refused") == 0
        line = await v.page.evaluate(
            """() => [...document.querySelectorAll("#chart svg path")].filter((p) => p.getAttribute("fill") === "none"
                && p.getAttribute("stroke-width") === "2").map((p) => (p.getAttribute("d").match(/M/g) || []).length)"""
        )
        assert line == [3]  # one path, lifted at each gap
        assert "57 released, 18 suppressed" in await v.page.locator("#chart").get_attribute("aria-label")
        v.is_clean()


async def test_hovering_tells_value_interval_and_the_reason_of_a_gap():
    async with visit(made_up()) as v:
        await v.open(f"/kpi/{RATIO}")
        box = await v.page.locator("#chart").bounding_box()
        await v.page.mouse.move(box["x"] + box["width"] * 0.98, box["y"] + box["height"] / 2)
        await expect(v.page.locator(".tip")).to_contain_text("2 Jun – 29 Jun 2025")
        assert " to " in await v.page.locator(".tip b").inner_text()
        await v.page.mouse.move(box["x"] + box["width"] * 0.06, box["y"] + box["height"] / 2)
        await expect(v.page.locator(".tip")).to_contain_text("too few patients")
        v.is_clean()


async def test_the_table_holds_every_window_and_says_why_one_is_missing():
    async with visit(made_up(revoked_from=60)) as v:
        await v.open(f"/kpi/{RATIO}")
        assert await v.page.locator("#values tbody tr").count() == WINDOWS
        assert await v.page.locator("#values tbody tr", has_text="Suppressed: too few patients").count() == 6
        refused = v.page.locator("#values tbody tr", has_text="Refused: the agreement is not in force")
        assert await refused.count() == 15
        assert await strokes(v.page, "refused") > 10
        legend = await v.page.locator("#legend").inner_text()
        assert "Suppressed (6)" in legend
        assert "Refused (15)" in legend
        v.is_clean()


async def test_cells_and_languages_are_chosen_by_keyboard():
    async with visit(made_up()) as v:
        await v.open(f"/kpi/{RATIO}")
        await v.page.keyboard.press("Tab")
        assert await v.page.evaluate("document.activeElement.className") == "skip"
        await v.page.get_by_role("link", name="Income quintile 5 (highest)").focus()
        await v.page.keyboard.press("Enter")
        await v.page.wait_for_url("**cell=income%3A5**")
        assert "Income quintile 5" in await v.page.locator("#values caption").inner_text()
        await v.page.get_by_role("link", name="Nederlands").focus()
        await v.page.keyboard.press("Enter")
        await v.page.wait_for_url("**lang=nl**")
        assert "Inkomenskwintiel 5 (hoogste)" in await v.page.locator("#values caption").inner_text()
        v.is_clean()


async def test_dutch_pages_speak_dutch():
    async with visit(made_up(until=40)) as v:
        await v.open(f"/kpi/{COST}", lang="nl")
        assert await v.page.locator("html").get_attribute("lang") == "nl"
        text = await v.page.locator("body").inner_text()
        for said in ("Kosten per patiëntmaand", "95%-interval", "Onderdrukt: te weinig patiënten", "Nog niet vrijgegeven",
                     "Wie het mag zien", "Laatst bijgewerkt"):
            assert said in text
        for foreign in ("Suppressed", "Released", "Window", "Last updated", "interval includes"):
            assert foreign not in text
        labels = await v.page.locator("#chart svg text").all_text_contents()
        assert {"mrt", "mei"} <= set(labels)
        assert any(label.startswith(("€ −", "€\xa0−")) for label in labels)
        v.is_clean()


async def test_an_open_page_follows_the_evaluation_without_a_reload():
    async with visit(made_up(until=20)) as v:
        await v.open(f"/kpi/{RATIO}")
        await v.page.evaluate("window.stayed = true")
        assert await v.page.locator("#values tbody tr.row-released").count() == 15
        v.store.publish(made_up(until=30))
        await expect(v.page.locator("#values tbody tr.row-released")).to_have_count(25, timeout=TIMEOUT_MS)
        v.store.publish(made_up())
        await expect(v.page.locator("#standing")).to_have_attribute("data-running", "0", timeout=TIMEOUT_MS)
        assert await v.page.locator("#values tbody tr.row-released").count() == 69
        assert await strokes(v.page, "band") == 2
        assert await v.page.evaluate("window.stayed")
        assert await v.page.locator("#lost").is_hidden()
        v.is_clean()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_every_page_fits_and_asks_nothing_of_the_network(width, scheme):
    page_colour = {"light": "rgb(255, 255, 255)", "dark": "rgb(19, 23, 31)"}[scheme]
    async with visit(made_up(until=50, revoked_from=45), width, scheme) as v:
        for path in PATHS:
            for lang in ("en", "nl"):
                await v.open(path, lang)
                room = await v.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
                assert room[0] <= room[1], (path, lang)
                painted = await v.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
                numbers = [round(float(n)) for n in painted.removeprefix("rgb(").removesuffix(")").split(",")]
                expected = [int(n) for n in page_colour.removeprefix("rgb(").removesuffix(")").split(",")]
                assert all(abs(a - b) <= 1 for a, b in zip(numbers, expected, strict=True)), painted
                assert await v.page.locator("h1").count() == 1
        v.is_clean()


async def test_without_scripts_the_table_still_says_everything():
    async with visit(made_up(), java_script_enabled=False) as v:
        await v.open(f"/kpi/{RATIO}")
        assert await v.page.locator("#values tbody tr").count() == WINDOWS
        assert "The chart needs JavaScript" in await v.page.locator("figure").inner_text()
