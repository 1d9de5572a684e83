"""report.html in a real browser: it opens, sorts, holds still under hostile text, asks the network nothing."""

from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from medrival.contracts import Prediction
from medrival.reports.record import Run
from tests.reports.browser.watching import Watched, Write, needs_browser, settled

pytestmark = needs_browser

HOSTILE = (
    "\"'><script>owned=1</script><img src=x onerror=owned=2>{{ 7 * 7 }}</style></title><iframe src=//x></iframe>\u202e&#60;b"
)


def test_a_real_report_opens_quietly_and_asks_for_nothing_but_its_own_files(real: Path, watched: Watched) -> None:
    page = watched.open(real)
    page.wait_for_load_state("networkidle")
    assert watched.faults == []
    assert all(url.startswith((real.as_uri(), "data:", "blob:")) for url in watched.requests)
    assert page.title().startswith("medrival: ")


def test_every_control_is_reached_by_tab_and_has_a_name(studied: Path, watched: Watched) -> None:
    page = watched.open(studied)
    page.locator("[name=task]").focus()
    reached = []
    for _ in range(9):
        reached.append(page.evaluate("document.activeElement.name || document.activeElement.textContent"))
        page.keyboard.press("Tab")
    assert reached == ["task", "model", "regime", "text", "sort", "first", "second", "outcome", "Clear all filters"]
    for label in ("Task", "Model", "Regime", "Order", "First", "Second", "Outcome"):
        expect(page.get_by_role("combobox", name=label, exact=True)).to_have_count(1)
    expect(page.get_by_role("searchbox", name="Text")).to_have_count(1)


def test_tables_sort_by_their_headings(real: Path, watched: Watched) -> None:
    page = watched.open(real)
    table = page.locator("#cases ~ details .scroll").first
    for direction in ("ascending", "descending"):
        table.get_by_role("button", name="Task").click()
        expect(table.locator("th", has_text="Task")).to_have_attribute("aria-sort", direction)
        tasks = table.locator("td[data-name=Task]").evaluate_all("cells => cells.map(cell => cell.dataset.sort)")
        assert len(set(tasks)) == 2
        assert tasks == sorted(tasks, reverse=direction == "descending")


def test_hostile_text_is_read_and_never_run(written: Write, watched: Watched, run: Run) -> None:
    def spoiled(place: int, p: Prediction) -> Prediction:
        words = {0: HOSTILE, 1: "x" * 100_000, 2: "\u0000\u001b[31m\u2028\ud800 </script>", 3: "\u05d0\u05d1\u202e" * 50}[
            place % 4
        ]
        return replace(
            p,
            id=f"{p.id}{words[:300]}",
            question=words,
            answer=words,
            truth=words,
            form="open",
            attributes={words[:300]: words},
            error=words if place % 5 == 4 else "",
        )

    case = run.cases[-1]
    predictions = tuple(spoiled(i, p) for i, p in enumerate(case.predictions[:20]))
    case = replace(
        case, predictions=predictions, model=HOSTILE, regime=HOSTILE, task=HOSTILE, id=HOSTILE, notes={HOSTILE: HOSTILE}
    )
    page = watched.open(written(case, replace(case, id="other", kind="medical")), "#sort=data")
    settled(page, "20 of 20 samples")
    assert watched.faults == []
    assert page.evaluate("typeof owned") == "undefined"
    assert page.locator("iframe, img:not([src^='data:image/jpeg;base64,'])").count() == 0
    assert page.locator(".question").first.inner_text() == HOSTILE
    assert page.locator("main").evaluate("main => main.scrollWidth <= innerWidth")
    page.locator(".samples article h3 a").first.click()
    expect(page.locator(".samples article.linked")).to_have_count(1)
    page.set_viewport_size({"width": 390, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert watched.faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(real: Path, browser: Browser, scheme: str) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 1000}, color_scheme=scheme)
    Watched(page).open(real)
    found = [fault for fault in Axe().run(page).response["violations"] if fault["impact"] in ("serious", "critical")]
    page.close()
    assert [(fault["id"], [node["html"][:300] for node in fault["nodes"][:3]]) for fault in found] == []


def test_the_samples_are_printed_without_their_controls(studied: Path, watched: Watched) -> None:
    page = watched.open(studied)
    page.emulate_media(media="print")
    expect(page.locator("#browser form")).to_be_hidden()
    expect(page.locator(".samples article").first).to_be_visible()
