"""report.html in a real browser: it opens, filters, links, sorts, holds still under hostile text, asks the network nothing."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from filelock import FileLock
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from medrival.contracts import Prediction
from medrival.reports.environment import environment
from medrival.reports.html import write_html
from medrival.reports.reading import read_run
from medrival.reports.record import CaseRecord, PairRecord, Run
from medrival.reports.samples import shelf
from medrival.reports.samples.marks import marks

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
RIVALS = ("--models", "pocket-clip,pocket-medclip,pocket-llava,pocket-medllava", "--regimes", "zero-shot", "--limit", "24")
HOSTILE = (
    "\"'><script>owned=1</script><img src=x onerror=owned=2>{{ 7 * 7 }}</style></title><iframe src=//x></iframe>\u202e&#60;b"
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=f"no browser is installed: none of {', '.join(NAMES)} is on the path")


@dataclass
class Watched:
    """A page with what happened in it that should not."""

    page: Page
    faults: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def open(self, folder: Path, address: str = "") -> Page:
        self.page.goto(f"{(folder / 'report.html').as_uri()}{address}")
        expect(self.page.locator("#browser output")).not_to_be_empty()
        return self.page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield opened
        opened.close()


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    seen = Watched(page)
    page.on("console", lambda message: seen.faults.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: seen.faults.append(str(error)))
    page.on("dialog", lambda dialog: (seen.faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: seen.requests.append(request.url))
    yield seen
    page.close()


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The report of a real run, made once for all workers."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder if worker_id == "master" else folder.parent) / "browsed"
    with FileLock(f"{folder}.lock"):
        if not (folder / "report.html").exists():
            run = [sys.executable, "-m", "pytest", "-p", "medrival.plugin", "--pyargs", "medrival.benchmarks", "-q", *RIVALS]
            places = ["--tasks", "phantom-chest,phantom-chest-vqa", "--store", f"{folder}-store", "--report-dir", str(folder)]
            done = subprocess.run(
                [*run, *places], cwd=folder.parent, env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True
            )
            assert (folder / "report.html").exists(), done.stdout + done.stderr
    return folder


Write = Callable[..., Path]


@pytest.fixture
def written(run: Run, picture: Image.Image) -> Write:
    """Writes a report of some cases without pairs, and gives its folder."""

    def write(*cases: CaseRecord, shareable: Collection[str] | None = None) -> Path:
        known = {case.task for case in cases} if shareable is None else shareable
        return write_html(replace(run, cases=cases, pairs=()), lambda _task, _sample: picture, known).parent

    return write


@pytest.fixture
def asked(run: Run) -> tuple[CaseRecord, ...]:
    """The cases of one task of questions: two models, two regimes."""
    return tuple(case for case in run.cases if case.task == "phantom-chest-vqa")


@pytest.fixture(scope="module")
def studied(
    tmp_path_factory: pytest.TempPathFactory, cases: tuple[CaseRecord, ...], pairs: tuple[PairRecord, ...], picture: Image.Image
) -> Path:
    """The folder of the made-up study's report, of two tasks."""
    tasks = {"phantom-chest", "phantom-chest-vqa"}
    chosen, held = ([one for one in some if one.task in tasks] for some in (cases, pairs))
    folder = tmp_path_factory.mktemp("studied")
    made = Run("2026-11-21T20:05:00+00:00", 1.0, "pocket", (), 0, tuple(chosen), tuple(held), folder, environment=environment())
    return write_html(made, lambda _task, _sample: picture, tasks).parent


def shown(page: Page) -> list[str]:
    """Ids of the samples on the page."""
    return page.locator(".samples article h3").all_inner_texts()


def settled(page: Page, words: str) -> None:
    expect(page.locator("#browser output")).to_contain_text(words)


def choose(page: Page, name: str, value: str) -> None:
    page.locator(f"#browser [name={name}]").select_option(value)


def rivals(run: Run, task: str) -> tuple[CaseRecord, CaseRecord]:
    general, medical = (next(c for c in run.cases if c.task == task and c.kind == kind) for kind in ("general", "medical"))
    return general, medical


def test_a_real_report_opens_quietly_and_asks_for_nothing_but_its_own_files(real: Path, watched: Watched) -> None:
    page = watched.open(real)
    page.wait_for_load_state("networkidle")
    assert watched.faults == []
    assert all(url.startswith((real.as_uri(), "data:", "blob:")) for url in watched.requests)
    assert page.title().startswith("medrival: ")


def test_each_sample_of_a_real_run_has_its_image_and_every_models_words(real: Path, watched: Watched) -> None:
    run = read_run(real)
    page = watched.open(real, "#task=phantom-chest-vqa&sort=data")
    general, medical = rivals(run, "phantom-chest-vqa")
    settled(page, f"{len(general.predictions)} of {len(general.predictions)} samples")
    assert shown(page) == [p.id for p in general.predictions[:20]]
    first = page.locator(".samples article").first
    expect(first.locator("img")).to_have_js_property("complete", True)
    assert first.locator("img").evaluate("image => image.naturalWidth") == 128
    expect(first.locator(".question")).to_have_text(general.predictions[0].question)
    for case in (general, medical):
        mark = marks(case)[0]
        said = first.locator(".said li", has_text=case.model + " ").first
        expect(said.locator(".words")).to_have_text(mark.answer)
        expect(said).to_contain_text(mark.why)
        expect(said).to_contain_text("right" if mark.letter == "r" else "wrong")


def test_outcomes_of_two_are_those_that_the_engine_scored(real: Path, watched: Watched) -> None:
    run = read_run(real)
    for task in ("phantom-chest", "phantom-chest-vqa"):
        sides = zip(*([mark.letter == "r" for mark in marks(case)] for case in rivals(run, task)), strict=True)
        counts = Counter(sides)
        page = watched.open(real, f"#task={task}")
        expected = {
            "both right": counts[True, True],
            "both wrong": counts[False, False],
            "only first wrong": counts[False, True],
            "only second wrong": counts[True, False],
        }
        for outcome, count in expected.items():
            choose(page, "outcome", outcome)
            settled(page, f"{count} of {sum(counts.values())} samples")
        assert "only general wrong" in page.locator("[name=outcome] option").all_inner_texts()


def test_filters_are_in_the_address_and_come_back_with_it(studied: Path, watched: Watched) -> None:
    page = watched.open(studied)
    choose(page, "task", "phantom-chest-vqa")
    settled(page, "240 of 240 samples")
    choose(page, "outcome", "only first wrong")
    expect(page.locator("#browser output")).not_to_contain_text("240 of 240")
    told = page.locator("#browser output").inner_text()
    address = page.evaluate("location.hash")
    assert "outcome=only+first+wrong" in address
    choose(page, "regime", "lora")
    page.go_back()
    expect(page.locator("#browser output")).to_have_text(told)
    expect(page.locator("[name=regime]")).to_have_value("")
    page.go_forward()
    expect(page.locator("[name=regime]")).to_have_value("lora")
    again = watched.open(studied, address)
    expect(again.locator("#browser output")).to_have_text(told)
    expect(again.locator("[name=task]")).to_have_value("phantom-chest-vqa")
    again.locator("[type=reset]").click()
    settled(again, "240 of 240 samples")


def test_what_all_numbers_of_a_task_have_in_common_is_told_with_its_samples(studied: Path, watched: Watched) -> None:
    expect(watched.open(studied).locator(".notes")).to_contain_text("images: made up")


def test_model_and_regime_choose_the_answers_that_are_shown(studied: Path, watched: Watched) -> None:
    page = watched.open(studied, "#task=phantom-chest")
    answers = page.locator(".samples article").first.locator(".said li")
    expect(answers).to_have_count(6)
    choose(page, "model", "pocket-medclip")
    expect(answers).to_have_count(3)
    choose(page, "regime", "lora")
    expect(answers).to_have_count(1)
    expect(answers.first).to_contain_text("pocket-medclip lora")


def test_one_seed_speaks_at_first_on_another_task_and_without_filters(written: Write, watched: Watched, run: Run) -> None:
    tasks = ("phantom-chest-vqa", "phantom-fundus-vqa")
    cases = [next(case for case in run.cases if case.task == task) for task in tasks]
    page = watched.open(written(*(replace(case, id=f"{case.id}-{n}", seed=n) for case in cases for n in (0, 1))))
    answers = page.locator(".samples article").first.locator(".said li")
    expect(answers).to_have_count(1)
    choose(page, "seed", "all")
    expect(answers).to_have_count(2)
    choose(page, "task", tasks[1])
    expect(page.locator("[name=seed]")).to_have_value("0")
    expect(answers).to_have_count(1)
    choose(page, "seed", "all")
    expect(answers).to_have_count(2)
    page.locator("[type=reset]").click()
    expect(answers).to_have_count(1)


def test_text_finds_ids_questions_truths_and_answers(studied: Path, watched: Watched, run: Run) -> None:
    page = watched.open(studied, "#task=phantom-chest-vqa")
    page.locator("[name=text]").fill("Q007")
    settled(page, "1 of 240 samples")
    assert shown(page) == ["q007"]
    page.locator("[name=text]").fill("none to be seen")
    cases = [case for case in run.cases if case.task == "phantom-chest-vqa"]
    said = {p.id for case in cases for p in case.predictions if "none to be seen" in p.answer}
    settled(page, f"{len(said)} of 240 samples")
    page.locator("[name=text]").fill("nothing says this")
    settled(page, "0 of 240 samples")


def test_question_types_and_subgroups_narrow_the_list(written: Write, watched: Watched, run: Run) -> None:
    def altered(place: int, p: Prediction) -> Prediction:
        form = "open" if place % 3 == 0 else "closed"
        skill = "reasoning" if place % 2 else "understanding"
        return replace(p, form=form, skill=skill, attributes={"sex": "female" if place % 4 else "male", "__proto__": "b"})

    case = run.cases[-1]
    asked = replace(case, predictions=tuple(altered(i, p) for i, p in enumerate(case.predictions)))
    page = watched.open(written(asked))
    choose(page, "type", "open")
    settled(page, "80 of 240 samples")
    choose(page, "type", "reasoning")
    settled(page, "120 of 240 samples")
    choose(page, "type", "")
    choose(page, "subgroup", "sex=male")
    settled(page, "60 of 240 samples")
    choose(page, "subgroup", "__proto__=b")
    settled(page, "240 of 240 samples")


@pytest.mark.parametrize(("order", "up"), [("hardest", True), ("easiest", False)])
def test_samples_are_sorted_by_how_often_models_are_right(
    studied: Path, watched: Watched, run: Run, order: str, up: bool
) -> None:
    right: Counter[str] = Counter()
    for case in run.cases:
        if case.task == "phantom-chest":
            right.update({p.id: int(mark.letter == "r") for p, mark in zip(case.predictions, marks(case), strict=True)})
    page = watched.open(studied, "#task=phantom-chest")
    choose(page, "sort", order)
    page.wait_for_function(f"location.hash.includes('{order}')")
    settled(page, "240 of 240")
    assert [right[name] for name in shown(page)] == sorted(right.values(), reverse=not up)[:20]


def test_a_link_leads_to_its_sample_on_whatever_page_it_is(studied: Path, watched: Watched) -> None:
    page = watched.open(studied, f"#sample={quote('phantom-chest-vqa/q239', safe='')}&sort=data")
    linked = page.locator(".samples article.linked")
    expect(linked).to_have_attribute("aria-label", "Sample q239")
    expect(linked).to_be_focused()
    expect(linked).to_be_in_viewport()
    settled(page, "page 12 of 12")
    other = page.locator(".samples article", has_text="q221").locator("h3 a")
    other.click()
    expect(page.locator(".samples article.linked")).to_have_attribute("aria-label", "Sample q221")
    page.go_back()
    expect(page.locator(".samples article.linked")).to_have_attribute("aria-label", "Sample q239")
    missing = watched.open(studied, "#sample=phantom-chest-vqa/none")
    settled(missing, "The linked sample is not in this report.")


def test_a_linked_sample_that_the_filters_leave_out_is_shown_and_says_so(studied: Path, watched: Watched) -> None:
    page = watched.open(studied, "#sample=phantom-chest-vqa/q003&text=q00&sort=data")
    assert shown(page)[:2] == ["q000", "q001"]
    page = watched.open(studied, "#sample=phantom-chest-vqa/q103&text=q00&sort=data")
    assert shown(page)[:2] == ["q103", "q000"]
    expect(page.locator(".samples article.linked")).to_contain_text("the filters leave it out")


def test_samples_are_walked_by_keys(studied: Path, watched: Watched) -> None:
    page = watched.open(studied, "#task=phantom-chest-vqa&sort=data")
    page.locator(".samples article h3 a").first.focus()

    def here(name: str) -> Locator:
        return page.locator(".samples article:focus", has_text=name)

    page.keyboard.press("j")
    expect(here("q001")).to_have_count(1)
    page.keyboard.press("k")
    expect(here("q000")).to_have_count(1)
    page.keyboard.press("n")
    expect(here("q020")).to_have_count(1)
    page.keyboard.press("p")
    expect(here("q000")).to_have_count(1)
    page.locator("[name=text]").focus()
    page.keyboard.type("jknp")
    expect(page.locator("[name=text]")).to_have_value("jknp")


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


def test_parts_beside_the_page_are_loaded_from_files(
    written: Write, watched: Watched, asked: tuple[CaseRecord, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "INLINE", 0)
    folder = written(*asked)
    page = watched.open(folder, "#outcome=both+wrong")
    expect(page.locator(".samples article img").first).to_be_visible()
    assert any("/samples/part-case-" in url for url in watched.requests)
    assert watched.faults == []
    shutil.rmtree(folder / "samples")
    page.reload()
    expect(page.locator(".samples")).to_contain_text("samples/part-task-0.js is not beside this page")
    settled(page, "No samples.")


def test_parts_of_another_report_are_not_taken(
    written: Write, watched: Watched, asked: tuple[CaseRecord, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "INLINE", 0)
    folder = written(*asked)
    for part in (folder / "samples").glob("part-task-*.js"):
        part.write_text(part.read_text().replace('medrival.take("', 'medrival.take("0'))
    page = watched.open(folder)
    expect(page.locator(".samples")).to_contain_text("is of another report than this page")
    assert watched.faults == []


def test_images_that_must_not_be_passed_on_are_seen_here_and_missed_in_words_elsewhere(
    written: Write, watched: Watched, asked: tuple[CaseRecord, ...]
) -> None:
    folder = written(*asked, shareable=())
    page = watched.open(folder)
    expect(page.locator(".samples article img").first).to_be_visible()
    expect(page.locator("main")).to_contain_text("leave it out when you share the report")
    shutil.rmtree(folder / "samples" / "local")
    page.reload()
    expect(page.locator(".samples article .picture").first).to_contain_text("stay where the report was made")
    expect(page.locator(".samples article .said li").first).to_contain_text("pocket-llava")


def test_the_samples_are_printed_without_their_controls(studied: Path, watched: Watched) -> None:
    page = watched.open(studied)
    page.emulate_media(media="print")
    expect(page.locator("#browser form")).to_be_hidden()
    expect(page.locator(".samples article").first).to_be_visible()


def test_more_answers_than_fit_are_counted_and_shown_on_demand(
    written: Write, watched: Watched, asked: tuple[CaseRecord, ...]
) -> None:
    cases = [replace(asked[0], id=f"case-{i}", model=f"model-{i}") for i in range(30)]
    page = watched.open(written(*cases))
    answers = page.locator(".samples article").first.locator(".said li")
    expect(answers).to_have_count(12)
    expect(page.locator(".samples")).to_contain_text("18 more answers to each sample")
    page.get_by_role("button", name="Show them all").click()
    expect(answers).to_have_count(30)
