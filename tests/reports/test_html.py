"""report.html: complete, self-contained, and inert whatever the data says."""

import json
import re
from base64 import b64encode
from dataclasses import fields, replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import medrival.reports
from medrival.errors import ReportNotWritten, UnreadableImage
from medrival.reports.html import write_html
from medrival.reports.record import CaseRecord, PairRecord, Run

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}</style></title><iframe src=//x>\u202e&#60;b"


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, scripts, and the text around them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.within: list[str] = []
        self.scripts: list[str] = []
        self.parts: dict[str, Any] = {}
        self.text = ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        self.text = re.sub(r"\s+", " ", self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.within.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        last = self.within[-1] if self.within else ""
        if last == "script" and self.elements[-1][1].get("type") == "application/json":
            self.parts[(self.elements[-1][1]["id"] or "").removeprefix("part-")] = json.loads(data)
        elif last == "script":
            self.scripts.append(data)
        elif last != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page(run: Run, image: Image.Image | None = None) -> Page:
    return Page(write_html(run, lambda _task, _sample: image))


@pytest.fixture(scope="module")
def known(pocket: Run, picture: Image.Image) -> Page:
    """The whole study's, written once: it takes long to draw."""
    return page(pocket, picture)


def few(run: Run) -> Run:
    """A diagnosis and questions, two models each."""
    tasks = ("phantom-chest", "phantom-chest-vqa")
    cases, pairs = ([one for one in some if one.task in tasks] for some in (run.cases, run.pairs))
    return replace(run, cases=tuple(cases), pairs=tuple(pairs))


def spoiled(record: Any) -> Any:
    """The same record with hostile text in every field that holds free text."""
    chosen = {"kind", "task_kind", "domain", "status", "verdict", "form", "started"}
    changes: dict[str, Any] = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, str) and field.name not in chosen:
            changes[field.name] = value + HOSTILE
        elif isinstance(value, tuple) and value and isinstance(value[0], str):
            changes[field.name] = tuple(text + HOSTILE for text in value)
    return replace(record, **changes)


def hostile(run: Run) -> Run:
    def case(record: CaseRecord) -> CaseRecord:
        predictions = [replace(spoiled(p), error="" if i % 3 else HOSTILE) for i, p in enumerate(record.predictions)]
        metrics = {name + HOSTILE: {**metric, "reason": HOSTILE} for name, metric in record.metrics.items()}
        notes = {HOSTILE: HOSTILE, "test_images_in_train": HOSTILE, f"{HOSTILE}_in_train": 3}
        return replace(spoiled(record), predictions=tuple(predictions), metrics=metrics, notes=notes)

    cases = [case(record) for record in run.cases]
    pairs: list[PairRecord] = [spoiled(pair) for pair in run.pairs]
    cases[0] = replace(cases[0], status="failed")
    pairs[0] = replace(pairs[0], status="skipped")
    return replace(run, suite=HOSTILE, started=HOSTILE, argv=(HOSTILE,), cases=tuple(cases), pairs=tuple(pairs))


def test_hostile_text_is_shown_and_does_nothing(run: Run) -> None:
    seen, known = page(hostile(few(run))), page(few(run))
    assert {tag for tag, _ in seen.elements} <= {tag for tag, _ in known.elements} | {"q", "small"}
    assert seen.scripts == known.scripts
    assert len(seen.all("script")) == len(seen.scripts) + len(seen.parts)
    assert not [name for _, attributes in seen.elements for name in attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in seen.text
    assert "<script>alert(1)</script>" in str(seen.parts)
    assert "{{ 7 * 7 }}" in seen.text


def test_a_chart_that_cannot_be_drawn_is_a_note_in_a_whole_report(run: Run, known: Page) -> None:
    case = next(case for case in run.cases if case.classes)
    odd = replace(case, predictions=tuple(replace(p, truth=HOSTILE) for p in case.predictions))
    seen = page(replace(run, cases=(odd, run.cases[-1])))
    assert "Not drawn: confusions" in seen.text
    assert "BrokenData" in seen.text
    assert "How this was made" in seen.text
    assert seen.scripts == known.scripts


def test_hostile_reasons_of_images_are_inert_too(run: Run, known: Page) -> None:
    def images(_task: str, sample: str) -> None:
        raise UnreadableImage(f"{sample}: {HOSTILE}")

    told = Page(write_html(replace(run, cases=run.cases[:1], pairs=()), images, {run.cases[0].task}))
    assert HOSTILE in told.parts["pictures-0-0"][0]["absent"]
    assert told.scripts == known.scripts


def test_only_our_own_script_may_run_and_nothing_is_loaded(known: Page) -> None:
    seen = known
    policy = next(a["content"] or "" for a in seen.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    for script in seen.scripts:
        assert f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1]
    assert "default-src 'none'" in policy
    loaded = [a[name] or "" for _, a in seen.elements for name in ("src", "href", "data", "action") if name in a]
    assert loaded
    assert all(address.startswith("#") for address in loaded)
    assert not re.search(r"url\(|@import", seen.source)


def test_a_study_of_40_cases_stays_under_5_megabytes(known: Page) -> None:
    assert len(known.source.encode()) < 5e6


def test_enormous_answers_and_errors_do_not_swell_the_page(run: Run, picture: Image.Image) -> None:
    def swollen(case: CaseRecord) -> CaseRecord:
        truth = {} if case.classes else {"truth": "x" * 100_000}
        long = [replace(p, answer="word " * 20_000, question="?" * 100_000, **truth) for p in case.predictions[:6]]
        broken = [replace(p, error="y" * 100_000) for p in case.predictions[6:12]]
        return replace(case, predictions=(*long, *broken), reason="z" * 100_000, notes={"n" * 1000: "z" * 100_000})

    some = replace(run, cases=tuple(map(swollen, run.cases[::5])), pairs=())
    size = write_html(some, lambda _task, _sample: picture).stat().st_size
    assert size < 1e6


def test_every_case_and_pair_is_there_with_its_numbers(run: Run, known: Page) -> None:
    text = known.text
    for case in run.cases:
        assert case.task in text
        metric = case.metrics[case.primary]
        assert f"{metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]" in text
    for pair in run.pairs:
        assert f"{pair.difference:+.3f}".replace("-", "\N{MINUS SIGN}") in text


def test_one_difference_is_told_once_and_several_with_their_range(run: Run) -> None:
    pair = replace(run.pairs[0], difference=-0.27)
    assert "General minus medical: \N{MINUS SIGN}0.270 (AUROC)." in page(replace(run, cases=(), pairs=(pair,))).text
    several = page(replace(run, cases=(), pairs=(pair, replace(pair, difference=-0.17)))).text
    assert "medical: \N{MINUS SIGN}0.220 on average, \N{MINUS SIGN}0.270 to \N{MINUS SIGN}0.170 (AUROC)." in several


def test_the_legend_says_whose_domain_a_pair_has(known: Page) -> None:
    assert "A case's domain is its own model's; a pair's is its medical model's." in known.text


def test_the_answer_to_each_question_stands_in_words(known: Page) -> None:
    text = known.text
    assert "1. Both off the shelf, in-domain No Medical ahead in 6 of 6" in text
    assert re.search(r"2\. General adapted, medical off the shelf, in-domain Yes, where decided .* of 9 pairs", text)
    assert "3. Both adapted, out of domain" in text


def test_an_image_in_train_and_test_is_a_visible_warning(run: Run) -> None:
    case = replace(run.cases[0], notes={"test_images": 203, "test_images_in_train": 202})
    clean = replace(run.cases[1], notes={"test_images": 203, "test_images_in_train": 0})
    seen = page(replace(run, cases=(case, clean)))
    assert "202 of 203 test images are also in the training split" in seen.text
    assert len([a for a in seen.all("div") if a.get("class") == "note warn"]) == 1


def test_what_failed_or_was_skipped_is_told_with_its_reason(run: Run) -> None:
    lost = replace(run.cases[0], status="failed", reason="out of memory", metrics={}, predictions=(), cost={})
    also = replace(lost, id="another", status="skipped", reason="get it with: fetch")
    pair = replace(run.pairs[0], status="failed", reason="its case failed", verdict=None, difference=None)
    text = page(replace(run, cases=(lost, also), pairs=(pair,))).text
    assert "1 case failed: out of memory" in text
    assert "1 case skipped: get it with: fetch" in text
    assert "1 pair failed: its case failed" in text
    assert "No pair was measured" in text


def test_failed_samples_are_listed_and_none_is_dropped_silently(run: Run) -> None:
    predictions = tuple(replace(p, error=f"{p.id} is truncated") for p in run.cases[0].predictions)
    text = page(replace(run, cases=(replace(run.cases[0], predictions=predictions),))).text
    assert "p000-0 is truncated" in text
    assert "140 more failed samples" in text


def test_an_undefined_metric_and_an_undefined_difference_read_as_such(run: Run) -> None:
    metrics = {"auroc": {"value": None, "low": None, "high": None, "n": 4, "reason": "one class only"}}
    case = replace(run.cases[0], metrics=metrics, cost={"seconds": float("nan")})
    pair = replace(
        run.pairs[0], difference=None, low=None, high=None, p_value=None, verdict="inconclusive", reason="few samples"
    )
    text = page(replace(run, cases=(case,), pairs=(pair,))).text
    assert "one class only" in text
    assert "n/a [n/a, n/a]" in text
    assert "undefined: few samples" in text


def test_what_was_selected_and_makes_no_case_is_told(run: Run) -> None:
    seen = page(replace(few(run), not_planned=("ham10000 is not for lora: it has no training split", HOSTILE)))
    assert "ham10000 is not for lora: it has no training split" in seen.text
    assert not [name for _, attributes in seen.elements for name in attributes if name.startswith("on")]


def test_a_run_in_which_nothing_was_selected_still_has_a_page(run: Run) -> None:
    text = page(replace(run, cases=(), pairs=())).text
    assert text.count("Not measured") == 3
    assert "0 cases measured" in text


def test_notes_that_all_cases_of_a_task_share_stand_with_its_samples(run: Run) -> None:
    same, other = (case for case in run.cases if case.task == "phantom-fundus-vqa" and case.kind == "general")
    seen = page(replace(run, cases=(same, replace(other, notes={"images": "made up", "chosen": "another"}))))
    assert seen.parts["index"]["tasks"][0]["notes"] == [["images", "made up"]]


def test_the_command_can_be_typed_again(run: Run) -> None:
    told = page(replace(run, cases=(), pairs=(), argv=("benchmarks", "-k", "clip and lora")))
    assert "pytest benchmarks -k 'clip and lora'" in told.text


def test_an_unwritable_folder_is_one_clear_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportNotWritten, match="cannot write"):
        page(replace(run, report_dir=tmp_path / "file"))


def test_the_templates_say_nothing_unescaped_but_their_own_scripts() -> None:
    pages = (Path(medrival.reports.__path__[0]) / "page").rglob("*.html")
    templates = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert re.findall(r"\{\{([^}]*)\|\s*safe", templates) == [" script.text "]
    assert "autoescape" not in templates
