"""The sample browser in a real browser: filters, deep links, keyboard, images that stay."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, expect

from medrival.contracts import Prediction
from medrival.reports.reading import read_run
from medrival.reports.record import CaseRecord, Run
from medrival.reports.samples import shelf
from medrival.reports.samples.marks import marks
from tests.reports.browser.watching import Watched, Write, choose, needs_browser, rivals, settled, shown

pytestmark = needs_browser


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


def test_an_order_that_an_address_makes_up_leaves_the_order_of_the_data_set(studied: Path, watched: Watched) -> None:
    page = watched.open(studied, "#task=phantom-chest-vqa&sort=__proto__")
    settled(page, "240 of 240 samples")
    assert shown(page)[:2] == ["q000", "q001"]


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
