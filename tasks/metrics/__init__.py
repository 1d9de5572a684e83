"""The metrics of both kinds of task, and what measures and compares predictions with them."""

from medrival.tasks.metrics import calibration, diagnosis, legacy, likelihood, ranking, vqa
from medrival.tasks.metrics.registry import METRICS, Metric, metric
from medrival.tasks.metrics.scoring import Measured, compare, measure, primary, values

__all__ = [
    "METRICS",
    "Measured",
    "Metric",
    "calibration",
    "compare",
    "diagnosis",
    "legacy",
    "likelihood",
    "measure",
    "metric",
    "primary",
    "ranking",
    "values",
    "vqa",
]
