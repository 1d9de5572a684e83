"""What a run measured of one model, as the `model-index` of its model card on the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medrival.errors import MedrivalError, UnknownName
from medrival.reports.figures import number, visible
from medrival.reports.record import CaseRecord, Run, plain

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

TASKS = {"diagnosis": "image-classification", "vqa": "visual-question-answering"}
ZERO_SHOT = "zero-shot-image-classification"
METRICS = {"auroc": "roc_auc"}
"""The hub's name of a metric, where it has another one than here."""


def model_index(run: Run, model: str, metrics: Sequence[str] = ()) -> str:
    """YAML for the head of the model's README.md; what was not measured is there as comments.

    Args:
        run: what was measured.
        model: whose card it is.
        metrics: by name; none means the primary one of each case.

    Raises:
        UnknownName: the run has no such model.
        MedrivalError: nothing of it was measured, or nothing by these metrics.
    """
    from huggingface_hub import ModelCardData

    cases = [case for case in run.cases if case.model == model]
    if not cases:
        known = sorted({case.model for case in run.cases})
        raise UnknownName(f"this report has no model {model!r}; it has {', '.join(known) or 'none'}")
    found = [result for case in cases if case.status == "measured" for result in _results(case, metrics)]
    if not found:
        why = ", ".join(metrics) or next((case.reason for case in cases if case.reason), "no primary metric has a value")
        raise MedrivalError(f"this report measured nothing of {model!r} that a model card could state ({why})")
    lost = [f"# not measured: {visible(case.id)}: {visible(case.reason)}" for case in cases if case.status != "measured"]
    card = ModelCardData(model_name=visible(plain(model)), eval_results=found)
    return "\n".join([*lost, card.to_yaml()]) + "\n"


def _results(case: CaseRecord, metrics: Sequence[str]) -> list[EvalResult]:
    """Of one case, those that have a value; regime, interval and samples are in the metric's name and its arguments."""
    from huggingface_hub import EvalResult

    found = {name: case.metrics[name] for name in metrics or (case.primary,) if name in case.metrics}
    return [
        EvalResult(
            task_type=ZERO_SHOT if case.task_kind == "diagnosis" and case.regime == "zero-shot" else TASKS[case.task_kind],
            dataset_type=_text(case.task),
            dataset_name=_text(case.task),
            dataset_split="test",
            dataset_args=_data(case),
            metric_type=METRICS.get(name, _text(name)),
            metric_value=plain(estimate["value"]),
            metric_name=_text(f"{name}, {_how(case)}, {_span(estimate)}"),
            metric_args=plain(
                {"regime": _text(case.regime), "seed": case.seed} | {k: estimate.get(k) for k in ("low", "high", "n")}
            ),
            verified=False,
        )
        for name, estimate in found.items()
        if plain(estimate["value"]) is not None
    ]


def _text(text: str) -> str:
    return visible(plain(text))


def _data(case: CaseRecord) -> dict[str, Any] | None:
    """Which samples they were: without it, a figure of a quick look would read like a result."""
    told = {name: case.notes[name] for name in ("fingerprint", "limit") if name in case.notes}
    return plain(told) or None


def _how(case: CaseRecord) -> str:
    seed = f", seed {case.seed}" if case.seed else ""
    limit = f", limited to {case.notes['limit']:,} samples of each split" if case.notes.get("limit") else ""
    return f"{case.regime}{seed}{limit}"


def _span(estimate: Mapping[str, Any]) -> str:
    n = f", n={estimate['n']:,}" if estimate.get("n") is not None else ""
    return f"95% interval [{number(estimate['low'])}, {number(estimate['high'])}]{n}"
