"""`compare` and `report`: what two report folders, or one, are good for without any model."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from medrival.__main__ import main
from medrival.contracts import Prediction
from medrival.integrity import Audit, Duplicates, Images, Leakage
from medrival.reports.environment import environment
from medrival.reports.json_report import write_json
from medrival.reports.record import AuditRecord, CaseRecord, Run
from medrival.statistics import holm
from medrival.tasks.metrics import compare, measure

CLASSES = ("clear", "opacity")


def predictions(skill: float, seed: int, n: int = 120) -> tuple[Prediction, ...]:
    """Of samples that are each their own patient; the more skill, the farther the scores of the classes lie apart."""
    scores = 1 / (1 + np.exp(-np.random.default_rng(seed).normal(skill * (2 * (np.arange(n) % 2) - 1), 1.0)))
    return tuple(Prediction(f"s{i:03}", f"p{i}", CLASSES[i % 2], (1 - float(s), float(s))) for i, s in enumerate(scores))


def case(name: str, said: tuple[Prediction, ...], seed: int = 0, **notes) -> CaseRecord:
    found = measure("diagnosis", said, CLASSES).metrics
    return CaseRecord(
        id=f"{name}-chest-lora" + (f"-seed{seed}" if seed else ""),
        model=name,
        kind="general",
        task="chest",
        task_kind="diagnosis",
        domain="in",
        regime="lora",
        seed=seed,
        status="measured",
        metrics={metric: asdict(one) for metric, one in found.items()},
        primary="auroc",
        notes={"fingerprint": "f", **notes},
        classes=CLASSES,
        predictions=said,
    )


@pytest.fixture
def folder(tmp_path):
    def written(name: str, *cases: CaseRecord, audits=()) -> Path:
        run = Run("2026-11-22T09:00:00+00:00", 1.0, "pocket", (), 0, cases, (), tmp_path / name, audits=audits)
        write_json(replace(run, environment=environment()))
        return tmp_path / name

    return written


def compared(tmp_path, *arguments) -> dict:
    assert main(["compare", *map(str, arguments), "--json", str(tmp_path / "out.json")]) == 0
    return json.loads((tmp_path / "out.json").read_text())


def test_the_difference_is_the_engines_and_p_is_holms_across_the_cases(folder, tmp_path, capsys):
    before = [case(name, predictions(0.8, i)) for i, name in enumerate(("one", "two", "three"))]
    after = [
        case(name, predictions(skill, i + 9)) for i, (name, skill) in enumerate([("one", 2.5), ("two", 0.9), ("three", 0.1)])
    ]
    rows = compared(tmp_path, folder("a", *before), folder("b", *after))["cases"]
    gaps = [
        compare("diagnosis", "auroc", [new.predictions], [old.predictions], CLASSES)
        for old, new in zip(before, after, strict=True)
    ]
    assert [row["difference"]["value"] for row in rows] == pytest.approx([gap.value for gap in gaps])
    assert [row["p_adjusted"] for row in rows] == pytest.approx(holm([gap.p_value for gap in gaps]))
    assert [row["verdict"] for row in rows] == ["better", "inconclusive", "worse"]
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    said = " ".join(" ".join(lines).split())
    assert said.endswith(
        "Of 3 cases B is better in 1, worse in 1, equivalent in 0; 1 inconclusive (margin 0.05). "
        "After Holm's correction 2 of 2 better or worse left."
    )


def test_of_an_error_less_is_better(folder, tmp_path):
    runs = folder("a", case("one", predictions(0.1, 1))), folder("b", case("one", predictions(3.0, 2)))
    (row,) = compared(tmp_path, *runs, "--metric", "brier_score")["cases"]
    assert row["difference"]["value"] < 0
    assert row["verdict"] == "better"


def test_a_run_is_equivalent_to_itself_whatever_its_interval(folder, tmp_path, capsys):
    a = folder("a", case("one", predictions(0.8, 1, n=12)))
    (row,) = compared(tmp_path, a, a, "--margin", "0")["cases"]
    assert row["identical"]
    assert row["verdict"] == "equivalent"
    assert "identical predictions" in " ".join(capsys.readouterr().out.split())


def test_seeds_of_one_case_are_one_comparison(folder, tmp_path):
    a = folder("a", *(case("one", predictions(0.5, i), i) for i in range(3)))
    b = folder("b", *(case("one", predictions(2.0, i + 5), i) for i in range(3)))
    (row,) = compared(tmp_path, a, b)["cases"]
    assert row["a"] == ["one-chest-lora", "one-chest-lora-seed1", "one-chest-lora-seed2"]
    sides = ([predictions(skill, i + start) for i in range(3)] for skill, start in ((2.0, 5), (0.5, 0)))
    assert row["difference"]["low"] == pytest.approx(compare("diagnosis", "auroc", *sides, CLASSES).low)


def test_cases_of_one_run_alone_and_those_not_measured_are_told(folder, tmp_path, capsys):
    lost = replace(case("lost", ()), status="failed", reason="no gradient", metrics={}, predictions=())
    a = folder("a", case("one", predictions(1, 1)), case("gone", predictions(1, 2)), case("lost", predictions(1, 3)))
    b = folder("b", case("one", predictions(1, 4)), case("new", predictions(1, 5)), lost)
    found = compared(tmp_path, a, b)
    assert (found["only_a"], found["only_b"]) == (["gone-chest-lora"], ["new-chest-lora"])
    said = " ".join(capsys.readouterr().out.split())
    assert "only in A, 1 case: gone-chest-lora only in B, 1 case: new-chest-lora" in said
    assert "not compared: lost-chest-lora (failed in B: no gradient)" in said


def test_cases_of_other_names_are_compared_where_they_are_named(folder, tmp_path, capsys):
    a = folder("a", case("mine-v1", predictions(0.5, 1)), case("mine-v2", predictions(2.5, 2)))
    (row,) = compared(tmp_path, a, a, "--cases", "mine-v1-*=mine-v2-*")["cases"]
    assert (row["a"], row["b"], row["verdict"]) == (["mine-v1-chest-lora"], ["mine-v2-chest-lora"], "better")
    assert main(["compare", str(a), str(a), "--cases", "mine-v1-chest-lora=mine-v3-chest-lora"]) == 2
    assert "B has no case 'mine-v3-chest-lora'. Did you mean 'mine-v2-chest-lora'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (case("one", predictions(1, 1, n=60)), "there are 120 samples in A and 60 in B"),
        (
            case("one", (replace(predictions(1, 1)[0], truth="opacity"), *predictions(1, 1)[1:])),
            "the truth of sample 's000' is 'clear' in A and 'opacity' in B",
        ),
        (case("one", predictions(1, 1), limit=120), "the test set is whole in A and limited to 120 samples in B"),
        (case("one", predictions(1, 1), fingerprint="g"), "the data has another fingerprint in A than in B"),
    ],
)
def test_what_is_of_other_samples_limits_or_data_is_refused(folder, capsys, other, said):
    a = folder("a", case("one", predictions(1, 1)))
    assert main(["compare", str(a), str(folder("b", other))]) == 2
    assert said in capsys.readouterr().err


def test_each_figure_stands_on_the_side_that_it_is_of(folder, tmp_path):
    lost = [replace(one, error="unreadable") for one in predictions(0.8, 1)[:3]]
    a = folder("a", case("one", (*lost, *predictions(0.8, 1)[3:]), asked_by="its chat template"))
    b = folder("b", case("one", predictions(2.5, 2), asked_by="text alone"))
    (row,) = compared(tmp_path, a, b)["cases"]
    assert (row["failed_a"], row["failed_b"]) == (3, 0)
    assert row["value_b"] - row["value_a"] == pytest.approx(row["difference"]["value"])
    assert row["value_b"] > row["value_a"]
    assert "A was asked by its chat template, B was asked by text alone" in row["difference"]["caution"]


def test_the_margin_decides_what_is_equivalent(folder, tmp_path):
    runs = folder("a", case("one", predictions(0.8, 1))), folder("b", case("one", predictions(0.8, 2)))
    verdicts = [compared(tmp_path, *runs, "--margin", margin)["cases"][0]["verdict"] for margin in ("0", "1")]
    assert verdicts == ["inconclusive", "equivalent"]


def test_a_threshold_is_each_runs_own(folder, tmp_path):
    """Sensitivity, at thresholds that B's validation split puts elsewhere than A's."""
    said, tuned = predictions(1.0, 1), [predictions(1.0, 3), predictions(3.0, 4)]
    tuned[1] = tuple(replace(one, scores=(one.scores[0] ** 0.2, 1 - one.scores[0] ** 0.2)) for one in tuned[1])
    cases = []
    for validation in tuned:
        found = measure("diagnosis", said, CLASSES, validation=validation)
        metrics = {metric: asdict(one) for metric, one in found.metrics.items()}
        cases.append(replace(case("one", said), validation=validation, metrics=metrics))
    (row,) = compared(tmp_path, folder("a", cases[0]), folder("b", cases[1]), "--metric", "sensitivity")["cases"]
    values = [one.metrics["sensitivity"]["value"] for one in cases]
    assert abs(values[1] - values[0]) > 0.05
    assert row["difference"]["value"] == pytest.approx(values[1] - values[0])
    assert (row["value_a"], row["value_b"]) == pytest.approx(values)


def test_regimes_of_one_model_are_comparisons_of_their_own(folder, tmp_path):
    other = replace(case("one", predictions(1.0, 3)), id="one-chest-probe", regime="probe")
    runs = [folder(name, case("one", predictions(1.0, seed)), other) for name, seed in (("a", 1), ("b", 2))]
    assert [row["a"] for row in compared(tmp_path, *runs)["cases"]] == [["one-chest-lora"], ["one-chest-probe"]]


def test_leaked_samples_are_left_out_where_asked_and_what_was_not_audited_is_told(folder, tmp_path, capsys):
    ours, theirs, leaked = predictions(0.5, 1), predictions(1.0, 2), ("s000", "s001", "s005")
    leakage = Leakage(120, len(leaked), 0, 0, 0, leaked)
    nothing = Images({}, (), 0), Duplicates({}, {}, {}, 0, 0, 1, (), ())
    audit = AuditRecord("chest", "measured", audit=Audit("chest", "f", None, {}, {}, *nothing, leakage, {}, {}, None, None, ()))
    a, b = folder("a", case("one", ours)), folder("b", case("one", theirs), audits=(audit,))
    (row,) = compared(tmp_path, a, b, "--drop-leaked")["cases"]
    rest = [[tuple(p for p in side if p.id not in leaked)] for side in (theirs, ours)]
    assert row["n"] == 117
    assert compared(tmp_path, b, a, "--drop-leaked")["cases"][0]["n"] == 117
    renamed = folder("renamed", replace(case("one", theirs), task="thorax"))
    assert compared(tmp_path, renamed, b, "--drop-leaked")["cases"][0]["n"] == 117
    assert row["difference"]["value"] == pytest.approx(compare("diagnosis", "auroc", *rest, CLASSES).value)
    assert compared(tmp_path, a, b)["cases"][0]["n"] == 120
    capsys.readouterr()
    assert compared(tmp_path, a, a, "--drop-leaked")["unaudited"] == ["chest"]
    assert "--drop-leaked: audited in neither run: chest" in capsys.readouterr().out


def test_a_damaged_file_decides_nothing(folder, capsys):
    a = folder("a", case("one", predictions(1, 1)))
    b = folder("b", replace(case("one", predictions(1, 1)), predictions=predictions(0, 7)))
    assert main(["compare", str(a), str(b)]) == 2
    assert "by its predictions auroc of one-chest-lora in B is " in capsys.readouterr().err


def test_an_unknown_metric_and_a_folder_without_a_report_are_errors(folder, capsys, tmp_path):
    a = folder("a", case("one", predictions(1, 1)))
    assert main(["compare", str(a), str(a), "--metric", "auorc"]) == 2
    assert "unknown metric 'auorc'. Did you mean 'auroc'" in capsys.readouterr().err
    assert main(["compare", str(a), str(tmp_path)]) == 2
    assert "report.json cannot be read" in capsys.readouterr().err
    b = folder("b", case("two", predictions(1, 1)))
    assert main(["compare", str(a), str(b)]) == 2
    assert "no case is in both runs: A has such as 'one-chest-lora'" in capsys.readouterr().err


def test_no_page_is_drawn_from_predictions_of_another_case(folder, tmp_path, capsys):
    a = folder("a", replace(case("one", predictions(1, 1)), predictions=predictions(0, 7)))
    assert main(["report", str(a), "--report-dir", str(tmp_path / "out")]) == 2
    assert f"by its predictions auroc of one-chest-lora in {a} is " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_report_is_written_anew_without_the_data_of_its_tasks(folder, tmp_path, capsys):
    a = folder("a", case("one", predictions(1, 1)))
    assert main(["report", str(a), "--report-dir", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"report: {tmp_path / 'out' / 'report.html'}\n"
    assert "chest" in (tmp_path / "out" / "report.html").read_text()
    assert not (a / "report.html").exists()
    assert main(["report", str(tmp_path / "none")]) == 2
    assert "report.json cannot be read" in capsys.readouterr().err
