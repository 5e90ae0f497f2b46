"""The report of an assessment in a real browser: it fits, asks the network for nothing, and its tables can be reached."""

import pytest
from playwright.async_api import async_playwright

from console.agreement.dpia.blocks import Report
from console.agreement.dpia.render import as_html
from console.agreement.dpia.report import parts
from tests.browser.test_pages_in_chromium import CHROMIUM, FLAGS
from tests.support.full_agreements import full_data, subject

ROOM_FOR_NUMBERS = """[...document.querySelectorAll('.contents > li')].map(item => {
    const {left, top, bottom} = item.getBoundingClientRect();
    const beside = [...document.querySelectorAll('.contents > li > a')].flatMap(link => [...link.getClientRects()])
        .filter(line => line.right <= left && line.bottom > top && line.top < bottom);
    return left - Math.max(0, ...beside.map(line => line.right));
})"""
"""Pixels between an item and what stands left of it, or the window's edge."""


@pytest.mark.parametrize("lang", ["en", "nl"])
@pytest.mark.parametrize("width", [360, 1000, 1280])
async def test_the_report_fits_and_needs_nothing(tmp_path, lang, width):
    report = Report(subject(full_data()), lang)
    file = tmp_path / "dpia.html"
    file.write_text(as_html(report, parts(report)), encoding="utf-8")
    complaints, asked = [], []
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            page = await browser.new_page(viewport={"width": width, "height": 900})
            page.on("console", lambda message: complaints.append(message.text))
            page.on("request", lambda request: asked.append(request.url))
            await page.goto(file.as_uri())
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            assert await page.locator("h1").count() == 1
            assert await page.evaluate("document.querySelector('h1').getBoundingClientRect().left") >= 8
            for gap in await page.evaluate(ROOM_FOR_NUMBERS):
                assert gap >= 24, "a number of the table of contents stands in what is left of it"
            assert await page.locator("[role=region][tabindex='0']").count() == await page.locator("table").count() == 4
            await page.locator("nav a").last.click()
            assert await page.locator("#to_do h2").is_visible()
            assert len(await page.pdf(format="A4")) > 20_000
        finally:
            await browser.close()
    assert complaints == []
    assert {url.partition("#")[0] for url in asked} == {file.as_uri()}
