"""Published figures: matched by what rows state, judged only where the samples and the cell allow it."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

import medrival.reports
from medrival import catalog
from medrival.case import Case
from medrival.errors import UnknownName
from medrival.reports import published
from medrival.reports.html import write_html
from medrival.reports.json_report import write_json
from medrival.reports.record import CaseRecord
from medrival.reports.summary import summary

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "published.csv"


@pytest.fixture
def case(rows):
    """A case on catalog rows that say which model and data set of the papers they are."""

    def make(model="CLIP", dataset="HAM10000", regime="zero-shot", kind="diagnosis", model_type="dual-encoder") -> Case:
        base = rows.models["pocket-clip" if model_type == "dual-encoder" else "pocket-llava"]
        task = rows.tasks["phantom-chest" if kind == "diagnosis" else "phantom-chest-vqa"]
        return Case(replace(base, published=model), replace(task, published=dataset), rows.regimes[regime])

    return make


def record(case: Case, **metrics) -> CaseRecord:
    estimates = {
        name: {"value": value, "low": low, "high": high, "n": n, "reason": ""}
        for name, (value, low, high, n) in metrics.items()
    }
    return CaseRecord(
        case.id,
        case.model.name,
        "general",
        case.task.name,
        case.task.kind,
        "in",
        case.regime.name,
        0,
        "measured",
        metrics=estimates,
    )


def found(case: Case, **metrics):
    return published.beside([record(case, **metrics)], {case.id: case})


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference figures are not at hand")
def test_the_figures_that_ship_are_the_reference_ones():
    with REFERENCE.open(newline="") as stream:
        expected = [
            (r["paper"], r["dataset"], r["model"], r["regime"], r["metric"], r["value"]) for r in csv.DictReader(stream)
        ]
    assert [(a.paper, a.dataset, a.model, a.regime, a.metric, f"{a.value:.4f}") for a in published.anchors()] == expected


def test_every_interval_holds_its_figure_and_no_figure_is_there_twice():
    anchors = published.anchors()
    assert all(a.low <= a.value <= a.high for a in anchors if a.low is not None)
    assert len({(a.paper, a.dataset, a.model, a.regime, a.metric) for a in anchors}) == len(anchors)


@pytest.mark.parametrize(("value", "low", "high", "agrees"), [(0.47, 0.43, 0.51, True), (0.56, 0.52, 0.60, False)])
def test_a_figure_agrees_where_it_lies_within_the_measured_interval(case, value, low, high, agrees):
    (one,) = found(case(), auroc=(value, low, high, 1811))  # published: 0.4643 on 1,811 samples
    assert (one.published, one.published_n, one.agrees, one.why) == (0.4643, 1811, agrees, "")
    assert one.difference == pytest.approx(value - 0.4643)


def test_another_number_of_samples_is_shown_and_not_judged(case):
    (one,) = found(case(), auroc=(0.47, 0.43, 0.51, 1800))
    assert (one.agrees, one.why) == (None, "published on 1,811 samples, measured on 1,800")
    assert one.difference == pytest.approx(0.47 - 0.4643)


def test_an_unusable_cell_never_counts_as_agreement_or_disagreement(case):
    for low, high in ((0.80, 0.90), (0.1, 0.2)):
        (one,) = found(case(regime="lora"), auroc=(low, low, high, 1811))
        assert one.trust.startswith("unusable")
        assert (one.agrees, one.why) == (None, one.trust)


def test_fine_tuning_with_another_budget_and_noise_are_not_judged(case):
    asked = case("LLaVA-Med", "VQA-RAD", "lora", "vqa", "generator")
    (tuned,) = found(asked, medvlmbench_closed_accuracy=(0.71, 0.65, 0.77, 251), closed_accuracy=(0.6, 0.5, 0.7, 251))
    assert (tuned.regime, tuned.published, tuned.agrees) == ("fine-tuned", 0.7132, None)
    (noisy,) = found(case("CLIP", "PAPILA", "linear-probe"), auroc=(0.76, 0.62, 0.89, 56))
    assert (noisy.agrees, noisy.why) == (None, "noisy: n=56")


def test_the_accuracy_of_paper_b_is_that_of_closed_questions(case):
    asked = case("Lingshu-7B", "VQA-RAD", "zero-shot", "vqa", "generator")
    (one,) = found(asked, accuracy=(0.4, 0.35, 0.45, 451), closed_accuracy=(0.65, 0.6, 0.7, 251))
    assert (one.paper, one.metric, one.measured_metric, one.measured) == ("B", "accuracy", "closed_accuracy", 0.65)


def test_a_model_that_both_papers_measured_is_held_against_the_figures_of_both(case):
    for model in published.MODELS.values():
        asked = case(model, "VQA-RAD", "zero-shot", "vqa", "generator")
        ours = {"closed_accuracy": (0.65, 0.6, 0.7, 251), "medvlmbench_closed_accuracy": (0.7, 0.64, 0.75, 251)}
        assert {(one.paper, one.metric) for one in found(asked, **ours)} >= {
            ("A", "medvlmbench_closed_accuracy"),
            ("B", "accuracy"),
        }


def test_a_figure_whose_number_of_samples_was_inferred_is_not_judged_even_where_the_number_is_the_same(case):
    asked = case("Lingshu-7B", "VQA-RAD", "zero-shot", "vqa", "generator")
    for low, high in ((0.6, 0.7), (0.1, 0.2)):
        (one,) = found(asked, closed_accuracy=(low, low, high, 251))
        assert one.published_n == one.n == 251
        assert (one.agrees, one.why) == (None, "closed questions only; n inferred from rounding")


def test_the_example_row_of_the_page_names_what_a_paper_has(rows, tmp_path):
    blocks = PAGE.read_text(encoding="utf-8").split("```toml\n")[1:]
    (example,) = (block.split("```")[0] for block in blocks if "published" in block.split("```")[0])
    (tmp_path / "my.toml").write_text(example)
    model = catalog.load([tmp_path / "my.toml"]).models["clip"]
    assert model.published
    published.check([Case(model, rows.tasks["vqa-rad"], rows.regimes["zero-shot"])])


def test_substring_accuracy_is_compared_with_itself_only(case):
    asked = case("LLaVA-Med", "VQA-RAD", "zero-shot", "vqa", "generator")
    assert found(asked, closed_accuracy=(0.7, 0.64, 0.75, 251)) == ()
    (one,) = found(asked, medvlmbench_closed_accuracy=(0.7, 0.64, 0.75, 251))
    assert (one.published, one.agrees) == (0.6979, True)


def test_a_figure_without_a_number_of_samples_is_not_judged(case):
    asked = case("Lingshu-7B", "OmniMedVQA", "zero-shot", "vqa", "generator")
    (one,) = found(asked, closed_accuracy=(0.64, 0.6, 0.7, 88_996))
    assert (one.agrees, one.why) == (None, "the published number of samples is not known")


def test_an_undefined_metric_is_not_judged_and_says_why(case):
    asked = case()
    undefined = replace(
        record(asked), metrics={"auroc": {"value": None, "low": None, "high": None, "n": 1811, "reason": "one class"}}
    )
    (one,) = published.beside([undefined], {asked.id: asked})
    assert (one.measured, one.difference, one.agrees, one.why) == (None, None, None, "one class")


def test_rows_that_name_no_published_model_or_data_set_are_compared_with_nothing(case):
    for asked in (case(model=""), case(dataset=""), case(model="", dataset="")):
        assert found(asked, auroc=(0.47, 0.43, 0.51, 1811)) == ()


def test_what_was_not_measured_is_not_compared(case):
    asked = case()
    assert published.beside([replace(record(asked), status="failed")], {asked.id: asked}) == ()


def test_a_name_that_no_paper_has_is_refused_with_the_nearest(case):
    with pytest.raises(UnknownName, match=r"no model of the published figures\. Did you mean 'BioMedCLIP'"):
        published.check([case(model="BiomedCLIP")])
    published.check([case(), case(model="", dataset="")])


def test_every_row_of_the_catalog_names_what_there_is():
    rows = catalog.load()
    published.check(
        Case(model, task, regime)
        for model in rows.models.values()
        for task in rows.tasks.values()
        for regime in rows.regimes.values()
    )
    assert rows.tasks["vqa-rad"].published == "VQA-RAD"


def test_the_terminals_line_counts_what_agrees_and_what_does_not(case):
    asked = case()
    inside, outside, other = (
        found(asked, auroc=values)[0] for values in ((0.47, 0.43, 0.51, 1811), (0.6, 0.55, 0.65, 1811), (0.47, 0.43, 0.51, 9))
    )
    line = published.line([inside, outside, other, inside])
    assert line == "4 published figures: 2 within the measured interval, 1 outside, 1 not judged"
    assert published.line([]) == ""


def test_the_reports_show_published_and_measured_side_by_side(case, run, tmp_path):
    asked = case()
    shown = replace(run, published=found(asked, auroc=(0.47, 0.43, 0.51, 1811)) + found(asked, auroc=(0.47, 0.43, 0.51, 9)))
    report = json.loads(write_json(shown).read_text())
    schema = json.loads((Path(medrival.reports.__path__[0]) / "report.schema.json").read_text())
    jsonschema.validate(report["published"], {**schema, **schema["properties"]["published"], "required": []})
    assert [(one["published"], one["agrees"]) for one in report["published"]] == [(0.4643, True), (0.4643, None)]
    page = write_html(replace(shown, cases=(), pairs=()), lambda _, __: None).read_text()
    assert "Published figures" in page
    assert "0.464 [0.429, 0.504]" in page
    assert "0.470 [0.430, 0.510]" in page
    assert "published on 1,811 samples, measured on 9" in page
    assert any("2 published figures" in line for line in summary(shown))


MINE = """
[models.mine]
kind = "general"
type = "dual-encoder"
family = "x"
adapter = "medrival.models.dual_encoder:transformers"
weights = "package:medrival.models.pocket/clip"
published = "{}"

[tasks.chest]
kind = "diagnosis"
modality = "phantom chest radiograph"
data = "medrival.tasks.phantoms:diagnosis"
anatomy = "chest"
prompt = "a chest radiograph showing {{}}"
published = "CheXpert"
"""


def test_a_run_of_rows_that_name_themselves_reports_the_figures_of_the_paper(study, tmp_path):
    (tmp_path / "my.toml").write_text(MINE.format("CLIP"))
    asked = (
        "--catalog",
        str(tmp_path / "my.toml"),
        "--models",
        "mine",
        "--tasks",
        "chest",
        "--regimes",
        "zero-shot",
        "--limit",
        "24",
    )
    done = study(*asked)
    assert done.status == 0, done.output
    (one,) = done.report["published"]
    assert (one["case"], one["dataset"], one["model"], one["published"]) == ("mine-chest-zero-shot", "CheXpert", "CLIP", 0.4076)
    assert one["measured"] == done.report["cases"][0]["metrics"]["auroc"]["value"]
    assert (one["agrees"], one["why"]) == (None, "published on 234 samples, measured on 24")
    assert "1 published figure: 1 not judged" in done.output


def test_a_run_of_a_row_with_an_unknown_published_name_does_not_begin(study, tmp_path):
    (tmp_path / "my.toml").write_text(MINE.format("CLIPP"))
    done = study("--catalog", str(tmp_path / "my.toml"), "--models", "mine", "--tasks", "chest")
    assert done.status == 4
    assert "'mine': published = 'CLIPP' is no model of the published figures. Did you mean 'CLIP'" in done.output
