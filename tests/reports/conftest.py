"""A made-up study of the pocket suite's size: 40 cases, 18 pairs, 240 samples a case."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from PIL import Image

from medrival.case import Question
from medrival.catalog import Domain
from medrival.contracts import Prediction
from medrival.reports.environment import environment
from medrival.reports.record import CaseRecord, Kind, PairRecord, Run, corrected
from medrival.statistics import Verdict

CLASSES = ("no opacity", "opacity")
MODALITIES = ("chest", "histology", "dermoscopy", "fundus")
REGIMES = {"clip": ("zero-shot", "linear-probe", "lora"), "llava": ("zero-shot", "lora")}
ZERO_SHOT: dict[Kind, float] = {"general": 0.5, "medical": 0.75}


def _prediction(index: int, family: str, right: bool, rng: np.random.Generator) -> Prediction:
    yes = index % 2 == 0
    if family == "clip":
        score = float(rng.uniform(0.55, 0.95)) if right == yes else float(rng.uniform(0.05, 0.45))
        return Prediction(f"p{index // 2:03}-{index % 2}", f"p{index // 2:03}", CLASSES[yes], (1 - score, score))
    answer = "yes" if right == yes else "no, there is none to be seen"
    question = "Is there an opacity in the left lower lung?"
    options = ("yes", "no")
    truth = "yes" if yes else "no"
    return Prediction(f"q{index:03}", f"p{index // 2:03}", truth, (), answer, "", question, "closed", options)


def _estimate(value: float) -> dict[str, Any]:
    return {"value": value, "low": value - 0.04, "high": value + 0.035, "n": 240}


def _case(model: Kind, family: str, modality: str, regime: str) -> CaseRecord:
    rng = np.random.default_rng(crc32(f"{model} {family} {modality} {regime}".encode()))
    skill = (ZERO_SHOT[model] if regime == "zero-shot" else 0.82) - (0.1 if modality == "fundus" else 0)
    name = f"pocket-{'med' if model == 'medical' else ''}{family}"
    task = f"phantom-{modality}" + ("-vqa" if family == "llava" else "")
    primary = "auroc" if family == "clip" else "closed_accuracy"
    domain: Domain = "ood" if modality == "fundus" or model == "general" else "in"
    value = skill + float(rng.uniform(-0.05, 0.05))
    return CaseRecord(
        id=f"{name}-{task}-{regime}",
        model=name,
        kind=model,
        task=task,
        task_kind="diagnosis" if family == "clip" else "vqa",
        domain=domain,
        regime=regime,
        seed=0,
        status="measured",
        metrics={primary: _estimate(value), "accuracy": _estimate(value - 0.05)},
        primary=primary,
        cost={
            "seconds": 7.4,
            "train_seconds": 5.2,
            "trainable_parameters": 12_288,
            "total_parameters": 1_130_000,
            "peak_memory_bytes": 812_000_000,
            "samples_per_second": 311.5,
        },
        notes={"images": "made up", "chosen": {"strength": 0.1, "validation_auroc": float(rng.uniform(0.8, 0.9))}},
        classes=CLASSES if family == "clip" else (),
        predictions=tuple(_prediction(i, family, bool(rng.random() < skill), rng) for i in range(240)),
    )


def _pair(question: Question, general: CaseRecord, medical: CaseRecord) -> PairRecord:
    difference = general.metrics[general.primary]["value"] - medical.metrics[general.primary]["value"]
    verdict: Verdict = "inconclusive"
    if abs(difference) > 0.05:
        verdict = "general wins" if difference > 0 else "medical wins"
    elif question == 2:
        verdict = "equivalent"
    half = 0.019 if verdict == "equivalent" else 0.048
    return PairRecord(
        id=f"{general.model}~{medical.id}",
        general=general.model,
        medical=medical.model,
        task=general.task,
        task_kind=general.task_kind,
        family="pocket-clip" if general.task_kind == "diagnosis" else "pocket-llava",
        domain=medical.domain,
        question=question,
        regimes=(general.regime, medical.regime),
        metric=general.primary,
        difference=difference,
        low=difference - half,
        high=difference + half,
        p_value=0.0004 if abs(difference) > 0.1 else 0.21,
        verdict=verdict,
        n=240,
        margin=0.05,
        seeds=(1, 1),
        status="measured",
    )


@pytest.fixture(scope="session")
def cases() -> tuple[CaseRecord, ...]:
    kinds: tuple[Kind, ...] = ("general", "medical")
    return tuple(_case(k, f, m, r) for f, regimes in REGIMES.items() for k in kinds for m in MODALITIES for r in regimes)


@pytest.fixture(scope="session")
def pairs(cases: tuple[CaseRecord, ...]) -> tuple[PairRecord, ...]:
    found = []
    for general in (case for case in cases if case.kind == "general"):
        for medical in (case for case in cases if case.kind == "medical" and case.task == general.task):
            adapted = (general.regime != "zero-shot", medical.regime != "zero-shot")
            if medical.domain == "in" and adapted == (False, False):
                found.append(_pair(1, general, medical))
            elif medical.domain == "in" and adapted == (True, False):
                found.append(_pair(2, general, medical))
            elif medical.domain == "ood" and adapted == (True, True) and general.regime == medical.regime:
                found.append(_pair(3, general, medical))
    return corrected(found)


@pytest.fixture(scope="session")
def pocket(tmp_path_factory: pytest.TempPathFactory, cases: tuple[CaseRecord, ...], pairs: tuple[PairRecord, ...]) -> Run:
    """The study, for a report that is written once."""
    argv = ("benchmarks", "--suite", "pocket", "-n", "2")
    folder = tmp_path_factory.mktemp("study")
    return Run("2026-11-21T20:05:00+00:00", 252.4, "pocket", argv, 0, cases, pairs, folder, environment=environment())


@pytest.fixture
def run(tmp_path: Path, pocket: Run) -> Run:
    return replace(pocket, report_dir=tmp_path / "latest")


@pytest.fixture(scope="session")
def picture() -> Image.Image:
    """Noise around a bright disc: as hard to compress as a real image."""
    noise = np.random.default_rng(0).normal(90, 25, (128, 128, 3))
    y, x = np.ogrid[:128, :128]
    noise[(x - 70) ** 2 + (y - 60) ** 2 < 900] += 70
    return Image.fromarray(noise.clip(0, 255).astype("uint8"))
