"""The results of a model card, read by the hub's own reader."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from medrival.errors import MedrivalError, UnknownName
from medrival.reports.exports.model_index import model_index
from medrival.reports.record import Run

MODEL = "pocket-clip"


def test_the_hub_reads_every_figure_of_the_model_back(run: Run, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"---\nlicense: apache-2.0\n{model_index(run, MODEL)}---\n\n# A model\n", encoding="utf-8")
    data = ModelCard.load(readme).data
    assert data.model_name == MODEL
    read = {(result.dataset_name, result.metric_args["regime"]): result for result in data.eval_results}
    cases = [case for case in run.cases if case.model == MODEL]
    assert len(data.eval_results) == len(read) == len(cases)
    for case in cases:
        result, metric = read[case.task, case.regime], case.metrics["auroc"]
        assert result.metric_value == metric["value"]
        assert {name: result.metric_args[name] for name in ("low", "high", "n")} == {k: metric[k] for k in ("low", "high", "n")}
        assert result.metric_type == "roc_auc"
        assert result.metric_name == (f"auroc, {case.regime}, 95% interval [{metric['low']:.3f}, {metric['high']:.3f}], n=240")
        assert result.verified is False
        zero_shot = case.regime == "zero-shot"
        assert result.task_type == ("zero-shot-image-classification" if zero_shot else "image-classification")


def test_metrics_can_be_chosen_and_questions_are_a_task_of_their_own(run: Run) -> None:
    _, results = model_index_to_eval_results(
        yaml.safe_load(model_index(run, "pocket-llava", ["accuracy", "closed_accuracy"]))["model-index"]
    )
    assert {result.task_type for result in results} == {"visual-question-answering"}
    assert {result.metric_type for result in results} == {"accuracy", "closed_accuracy"}


def test_a_quick_look_and_a_seed_say_so(run: Run) -> None:
    cases = tuple(replace(case, seed=2, notes={"limit": 24, "fingerprint": "f"}) for case in run.cases)
    _, results = model_index_to_eval_results(yaml.safe_load(model_index(replace(run, cases=cases), MODEL))["model-index"])
    assert results[0].dataset_args == {"fingerprint": "f", "limit": 24}
    assert ", seed 2, limited to 24 samples of each split, " in results[0].metric_name


def test_what_was_not_measured_is_told_and_never_a_figure(run: Run) -> None:
    first, second, *rest = run.cases
    lost = replace(first, status="failed", reason="out\n- of: memory", metrics={}, predictions=())
    undefined = replace(second, metrics={"auroc": {"value": None, "low": None, "high": None, "n": 0, "reason": "one class"}})
    text = model_index(replace(run, cases=(lost, undefined, *rest)), MODEL)
    assert text.splitlines()[0] == f"# not measured: {first.id}: out - of: memory"
    _, results = model_index_to_eval_results(yaml.safe_load(text)["model-index"])
    assert len(results) == sum(case.model == MODEL for case in run.cases) - 2
    with pytest.raises(MedrivalError, match=r"measured nothing of 'pocket-clip'.*out"):
        model_index(replace(run, cases=(lost,)), MODEL)


def test_a_model_that_is_not_there_is_refused(run: Run) -> None:
    with pytest.raises(UnknownName, match="no model 'clip'; it has pocket-clip, pocket-llava"):
        model_index(run, "clip")


@pytest.mark.parametrize(
    "text", ["a: b # c", "- x\n---\n", "!!python/object:os.system", "\udcff\x1b\u202e", "{{ 7 }}", "*a &b", "yes"]
)
def test_names_are_read_back_as_text(run: Run, text: str) -> None:
    case = replace(run.cases[0], model=text, task=text, regime=text)
    name, (result,) = model_index_to_eval_results(yaml.safe_load(model_index(replace(run, cases=(case,)), text))["model-index"])
    shown = "".join(char if char.isprintable() else " " for char in text.encode("utf-8", "replace").decode())
    assert (name, result.dataset_name, result.metric_args["regime"]) == (shown, shown, shown)
