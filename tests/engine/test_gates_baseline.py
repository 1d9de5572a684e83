"""An earlier run that a gate holds a model against: when it is one, what has regressed, and what is damaged."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from medrival.case import Case, Outcome
from medrival.contracts import Prediction
from medrival.errors import BrokenBaseline
from medrival.gates import Baseline
from medrival.gates.margins import Margin
from medrival.gates.rules import Evidence, NoRegression
from medrival.tasks.metrics import measure
from tests.engine.measured import CLASSES, COST, NOTHING, disagreeing, said


@pytest.fixture
def reported(tmp_path, case):
    """Writes an earlier report of the case and reads it as a baseline."""

    def write(predictions, validation=(), *, classes=CLASSES, status="measured", **changes) -> Baseline:
        (tmp_path / "predictions").mkdir(exist_ok=True)
        files = {"predictions": f"predictions/{case.id}.jsonl", "validation": f"predictions/{case.id}.validation.jsonl"}
        for file, written in zip(files.values(), (predictions, validation), strict=True):
            (tmp_path / file).write_text("".join(json.dumps(asdict(p)) + "\n" for p in written))
        measured = measure("diagnosis", predictions, classes, validation=validation, resamples=2)
        numbers = {"metrics": {name: asdict(one) for name, one in measured.metrics.items()}, "notes": measured.notes}
        if not validation:
            files["validation"] = None
        row = {"id": case.id, "status": status, "classes": classes, "n": len(predictions), **files, **numbers, **changes}
        report = {"schema": "1", "run": {"started": "2026-11-20T08:00:00+00:00"}, "cases": [row]}
        (tmp_path / "report.json").write_text(json.dumps(report))
        return Baseline.read(tmp_path / "report.json")

    return write


def regression(case: Case, mine: Outcome, baseline: Baseline | None) -> tuple[str, str]:
    finding = NoRegression("accuracy", Margin(0.02)).judge("g", case, mine, Evidence({}, baseline, NOTHING.evaluate))
    return finding.status, finding.explanation


def test_an_unchanged_model_has_not_regressed(case, reported):
    mine, _ = disagreeing(300, 10, 10)
    status, words = regression(case, mine, reported(mine.predictions))
    assert status == "passed"
    assert "is level with the baseline of 2026-11-20 (margin 0.02" in words


def test_identical_predictions_pass_however_few_there_are(case, reported):
    """Between one patient's images no interval can be had, and the same answers are no worse all the same."""
    mine, _ = disagreeing(20, 0, 0)
    one = replace(mine, predictions=tuple(replace(p, group="p") for p in mine.predictions))
    status, words = regression(case, one, reported(one.predictions))
    assert status == "passed"
    assert "the predictions are identical" in words
    changed = (replace(one.predictions[0], scores=(0.91, 0.09)), *one.predictions[1:])
    assert regression(case, one, reported(changed))[0] == "failed"


def test_a_model_that_lost_what_it_knew_has_regressed(case, reported):
    mine, before = disagreeing(400, 4, 60)
    status, words = regression(case, mine, reported(before.predictions))
    assert status == "failed"
    assert "0.140 below the baseline of 2026-11-20" in words


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p[:-1], "there are 300 samples here and 299 there"),
        (lambda p: (replace(p[0], id="other"), *p[1:]), "the id of sample 's0000' is 's0000' here and 'other' there"),
        (lambda p: (*p[:-1], replace(p[-1], truth="clear")), "the truth of sample 's0299' is 'opacity' here and 'clear' there"),
        (lambda p: (p[1], p[0], *p[2:]), "the id of sample 's0000'"),
        (lambda p: (replace(p[0], group="q"), *p[1:]), "the group of sample 's0000'"),
        (lambda p: (replace(p[0], skill="reasoning"), *p[1:]), "the skill of sample 's0000' is '' here and 'reasoning' there"),
    ],
    ids=["fewer", "id", "truth", "order", "group", "skill"],
)
def test_other_samples_are_no_baseline(case, reported, change, words):
    mine, _ = disagreeing(300, 10, 10)
    status, explanation = regression(case, mine, reported(change(mine.predictions)))
    assert status == "failed"
    assert words in explanation


def test_a_baseline_that_did_not_measure_the_case_or_asked_for_other_classes_fails(case, reported):
    mine, _ = disagreeing(300, 10, 10)
    assert regression(case, mine, reported(mine.predictions, status="failed"))[0] == "failed"
    assert regression(case, mine, reported(mine.predictions, id="another"))[0] == "failed"
    assert "has other classes" in regression(case, mine, reported(mine.predictions, classes=CLASSES[::-1]))[1]
    assert regression(case, mine, None)[0] == "failed"


def sensitivity(case: Case, mine: Outcome, baseline: Baseline) -> tuple[str, str]:
    mine = replace(mine, metrics=measure("diagnosis", mine.predictions, CLASSES, validation=mine.validation).metrics)
    finding = NoRegression("sensitivity", Margin(0.05)).judge("g", case, mine, Evidence({}, baseline, NOTHING.evaluate))
    return finding.status, finding.explanation


def scored(rng: np.random.Generator, skill: float, n: int) -> tuple[Prediction, ...]:
    truth = np.arange(n) % 2
    return said(truth, 1 / (1 + np.exp(-rng.normal(skill * (2 * truth - 1)))))


def rescaled(predictions: tuple[Prediction, ...], blind: int = 0) -> tuple[Prediction, ...]:
    """The same ranks on another scale; of every `blind` samples one is called healthy for sure."""
    positive = [0.0 if blind and i % blind == 0 else p.scores[1] ** 3 for i, p in enumerate(predictions)]
    return tuple(replace(p, scores=(1 - x, x)) for p, x in zip(predictions, positive, strict=True))


def test_each_run_is_held_to_the_threshold_that_its_own_validation_samples_chose(case, reported, tmp_path):
    rng = np.random.default_rng(0)
    before = Outcome("key", CLASSES, {}, scored(rng, 2.0, 600), COST, validation=scored(rng, 2.0, 400))
    worse = replace(before, predictions=rescaled(before.predictions, blind=3), validation=rescaled(before.validation))
    baseline = reported(before.predictions, before.validation)
    assert sensitivity(case, before, baseline)[0] == "passed"
    status, words = sensitivity(case, worse, baseline)
    assert status == "failed"
    truth, found = np.arange(600) % 2 == 1, {}
    for name, out in (("before", before), ("worse", worse)):
        fall_out, recall, thresholds = roc_curve(
            [p.truth == CLASSES[1] for p in out.validation], [p.scores[1] for p in out.validation], drop_intermediate=False
        )
        positive = np.array([p.scores[1] for p in out.predictions])
        found[name] = np.mean(positive[truth] >= thresholds[np.argmax(recall - fall_out)])
    assert f"{found['before'] - found['worse']:.3f} below the baseline of 2026-11-20" in words


def test_a_threshold_that_the_past_run_did_not_keep_cannot_be_compared(case, reported):
    mine = Outcome("key", CLASSES, {}, scored(np.random.default_rng(0), 2.0, 300), COST)
    mine = replace(mine, validation=mine.predictions)
    status, words = sensitivity(case, mine, reported(tuple(replace(p, scores=(0.5, 0.5)) for p in mine.predictions)))
    assert status == "failed"
    assert "cannot be compared with the baseline" in words


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        ("{", "no report.json of medrival"),
        ("[]", "no report.json of medrival"),
        ('{"schema": "1", "cases": []}', "no report.json of medrival"),
        ('{"schema": "1", "run": {"started": "x"}, "cases": [{}]}', "no report.json of medrival"),
        ('{"schema": "2", "run": {"started": "x"}, "cases": []}', "its schema is '2'"),
    ],
)
def test_a_damaged_report_is_one_clear_error(tmp_path, content, words):
    path = tmp_path / "report.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BrokenBaseline, match=re.escape(f"--baseline {path}: ")) as caught:
        Baseline.read(path)
    assert words in str(caught.value)


def cut(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        cut,
        lambda path: path.write_text(path.read_text()[:-9]),
        lambda path: path.write_text(path.read_text().replace('"truth"', '"wahr"', 1)),
        lambda path: path.write_bytes(b"\xff\xfe" + path.read_bytes()),
    ],
    ids=["gone", "a line less", "half a line", "an unknown key", "no text"],
)
def test_damaged_predictions_are_one_clear_error(case, reported, tmp_path, damage):
    mine, _ = disagreeing(200, 1, 1)
    baseline = reported(mine.predictions)
    assert baseline.predictions(case.id) == mine.predictions
    damage(tmp_path / "predictions" / f"{case.id}.jsonl")
    with pytest.raises(BrokenBaseline, match=re.escape(f"{case.id}")):
        baseline.predictions(case.id)


def rewritten(path: Path, change) -> None:
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))


def with_scores_of(lines: list[str], change) -> list[str]:
    """The same samples with other scores."""
    rows = [json.loads(line) for line in lines]
    scores = change([row["scores"] for row in rows])
    return [json.dumps({**row, "scores": one}) + "\n" for row, one in zip(rows, scores, strict=True)]


TUNED = Outcome(
    "key", CLASSES, {}, scored(np.random.default_rng(1), 2.0, 120), COST, validation=scored(np.random.default_rng(2), 2.0, 120)
)
DAMAGES = {
    "15 of 120 lines are left": ("validation", lambda lines: lines[:15]),
    "validation scores stand at other samples": ("validation", lambda lines: with_scores_of(lines, lambda s: s[::-1])),
    "scores stand at other samples": ("predictions", lambda lines: with_scores_of(lines, lambda s: [*s[1:], s[0]])),
    "scores are those of the other class": ("predictions", lambda lines: with_scores_of(lines, lambda s: [x[::-1] for x in s])),
    "scores are texts": ("predictions", lambda lines: with_scores_of(lines, lambda s: [["high", "low"] for _ in s])),
}


@pytest.mark.parametrize(("which", "change"), DAMAGES.values(), ids=DAMAGES)
def test_files_that_do_not_lead_to_the_numbers_of_their_report_are_refused(case, reported, tmp_path, which, change):
    baseline = reported(TUNED.predictions, TUNED.validation)
    assert baseline.verified(case.id, "diagnosis", "sensitivity") == (TUNED.predictions, TUNED.validation)
    rewritten(tmp_path / baseline.cases[case.id][which], change)
    with pytest.raises(BrokenBaseline, match=re.escape(case.id)) as caught:
        baseline.verified(case.id, "diagnosis", "sensitivity")
    assert "delete this one with its folder predictions/ and write it anew" in str(caught.value)


def test_a_metric_that_is_computed_in_another_way_since_is_not_called_damage_alone(case, reported):
    baseline = reported(TUNED.predictions)
    row = baseline.cases[case.id]
    row["metrics"]["accuracy"]["value"] += 0.01
    with pytest.raises(BrokenBaseline, match="a file is damaged, or accuracy is computed in another way since"):
        baseline.verified(case.id, "diagnosis", "accuracy")
    row["metrics"]["accuracy"]["value"] -= 0.01 + 1e-15
    assert baseline.verified(case.id, "diagnosis", "accuracy")[0] == TUNED.predictions, "sums differ between machines"
    del baseline.cases[case.id]["metrics"]
    with pytest.raises(BrokenBaseline, match=r"cannot be measured again \(KeyError: 'metrics'\)"):
        baseline.verified(case.id, "diagnosis", "accuracy")


@pytest.mark.parametrize("metric", ["accuracy", "sensitivity"])
def test_a_metric_that_is_younger_than_the_baseline_is_measured_from_its_predictions(case, reported, metric):
    baseline = reported(TUNED.predictions, TUNED.validation)
    del baseline.cases[case.id]["metrics"][metric]
    assert baseline.verified(case.id, "diagnosis", metric) == (TUNED.predictions, TUNED.validation)


def test_a_metric_on_labels_that_no_predictions_keep_is_refused_and_not_called_damaged(case, reported):
    baseline = reported(TUNED.predictions, notes={"skills": {"labelled_by": "classifier"}})
    with pytest.raises(BrokenBaseline, match=r"accuracy_reasoning of .* rests on labels of --skills, which no predictions"):
        baseline.verified(case.id, "vqa", "accuracy_reasoning")
    assert baseline.verified(case.id, "diagnosis", "accuracy")[0] == TUNED.predictions


def test_validation_samples_are_asked_for_only_where_the_metric_needs_them(case, reported, gates, tmp_path):
    baseline = reported(TUNED.predictions, TUNED.validation)
    (tmp_path / baseline.cases[case.id]["validation"]).unlink()
    text = f'[[gate]]\nname = "g"\ncases = "{case.id}"\nmargin = 0.1\nno-regression-from = "baseline"\n'
    replace(gates(text), baseline=baseline).check_baseline()
    assert baseline.verified(case.id, "diagnosis", "") == (TUNED.predictions, ())
    with pytest.raises(BrokenBaseline, match="No such file"):
        replace(gates(text + 'metric = "sensitivity"\n'), baseline=baseline).check_baseline()


@pytest.mark.parametrize("name", ["../secret.jsonl", "/etc/passwd", "predictions/../../x.jsonl", None, 3])
def test_a_baseline_reads_no_file_outside_its_folder(case, reported, name):
    baseline = reported(disagreeing(200, 1, 1)[0].predictions)
    elsewhere = replace(baseline, cases={case.id: {**baseline.cases[case.id], "predictions": name}})
    with pytest.raises(BrokenBaseline, match="names no file of predictions"):
        elsewhere.predictions(case.id)
