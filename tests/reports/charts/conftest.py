"""Cases with true metrics: made-up predictions, measured as the engine measures them."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from zlib import crc32

import numpy as np
import pytest

from medrival.contracts import Form, Prediction
from medrival.reports.record import CaseRecord, Kind
from medrival.tasks.metrics import measure, primary

Make = Callable[..., CaseRecord]
N = 120


def _attributes(i: int) -> dict[str, str]:
    return {"sex": ("female", "male")[i % 2], "age": ("0-39", "40-59", "60+")[i % 3]}


def diagnoses(classes: Sequence[str], skill: float, seed: int, n: int = N, failed: int = 3) -> tuple[Prediction, ...]:
    """Softmaxed noise with the true class raised."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        truth = int(rng.integers(len(classes)))
        logits = rng.normal(size=len(classes))
        logits[truth] += 3 * skill
        scores = np.exp(logits) / np.exp(logits).sum()
        one = Prediction(f"s{i}", f"p{i // 2}", classes[truth], tuple(map(float, scores)), attributes=_attributes(i))
        found.append(replace(one, scores=(), error="out of memory") if i < failed else one)
    return tuple(found)


def findings(classes: Sequence[str], skill: float, seed: int, n: int = N) -> tuple[Prediction, ...]:
    """Each class on its own, present in three of ten."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        has = rng.random(len(classes)) < 0.3
        scores = 1 / (1 + np.exp(-(rng.normal(size=len(classes)) + (2 * has - 1) * skill)))
        truth = "|".join(name for name, one in zip(classes, has, strict=True) if one)
        found.append(Prediction(f"s{i}", f"p{i // 2}", truth, tuple(map(float, scores)), form="findings"))
    return tuple(found)


def answers(skill: float, seed: int, n: int = N) -> tuple[Prediction, ...]:
    """Closed and open questions by turns; some answers fail, some state nothing."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(n):
        form: Form = ("closed", "open")[i % 4 == 3]
        truth = ("yes", "no")[i % 2] if form == "closed" else "left lung"
        right = rng.random() < skill
        wrong = {"yes": "no", "no": "yes"}.get(truth, "right kidney")
        said = truth if right else "perhaps" if i % 7 == 0 else wrong
        options = ("yes", "no") if form == "closed" else ()
        shown = ("understanding", "reasoning")[i % 5 < 2]
        one = Prediction(f"q{i}", f"p{i // 2}", truth, (), said, "", "Is it?", form, options, shown, _attributes(i))
        found.append(replace(one, answer="", error="too long") if i < 2 else one)
    return tuple(found)


def made(model: str, kind: Kind, task: str, regime: str, predictions: Sequence[Prediction], **fields: object) -> CaseRecord:
    """A measured case."""
    classes = fields.pop("classes", ())
    of = "diagnosis" if classes else "vqa"
    measured = measure(of, predictions, classes, resamples=60)
    seed = crc32(f"{model} {task} {regime}".encode())
    adapts = regime != "zero-shot"
    record = CaseRecord(
        id=f"{model}-{task}-{regime}",
        model=model,
        kind=kind,
        task=task,
        task_kind=of,
        domain="in",
        regime=regime,
        seed=0,
        status="measured",
        metrics={name: asdict(one) for name, one in measured.metrics.items()},
        per_class={name: {c: asdict(e) for c, e in each.items()} for name, each in measured.per_class.items()},
        subgroups={name: asdict(groups) for name, groups in measured.subgroups.items()},
        primary=primary(of, predictions),
        cost={
            "seconds": 2.0 + seed % 97 + 60 * adapts,
            "trainable_parameters": (1 + seed % 50) * 10_000 * adapts,
            "peak_memory_bytes": 500_000_000 + (seed % 13) * 100_000_000,
        },
        classes=tuple(classes),
        predictions=tuple(predictions),
    )
    return replace(record, **fields)


@pytest.fixture(scope="session")
def study() -> tuple[CaseRecord, ...]:
    """Two pairs of models, four tasks, every kind of chart."""
    found = []
    tasks = {"chest": ("no opacity", "opacity"), "skin": ("naevus", "melanoma", "keratosis")}
    shots = [f"{method}-{n}" for method in ("few-shot-probe", "tip-adapter") for n in (1, 4, 16)]
    for m, (model, kind, better) in enumerate((("clip", "general", 0.0), ("medclip", "medical", 0.15))):
        for task, classes in tasks.items():
            for r, regime in enumerate(["zero-shot", "linear-probe", "lora", *shots]):
                skill = 0.2 + better + 0.06 * r
                found.append(made(model, kind, task, regime, diagnoses(classes, skill, 31 * m + r), classes=classes))
        labels = ("effusion", "nodule", "fracture")
        found.append(made(model, kind, "xray", "zero-shot", findings(labels, 0.5 + better, m), classes=labels))
    for m, (model, kind, better) in enumerate((("llava", "general", 0.0), ("llava-med", "medical", 0.1))):
        for r, regime in enumerate(("zero-shot", "lora", "in-context-1", "in-context-2")):
            found.append(made(model, kind, "questions", regime, answers(0.5 + better + 0.08 * r, 7 * m + r)))
    lost = {"metrics": {}, "predictions": (), "primary": "", "classes": (), "subgroups": {}, "per_class": {}, "cost": {}}
    found[1] = replace(found[1], status="failed", reason="CUDA out of memory", **lost)
    return tuple(found)
