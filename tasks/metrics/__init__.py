"""The metrics of both kinds of task, and what measures and compares predictions with them."""

from medrival.tasks.metrics import diagnosis, likelihood, vqa
from medrival.tasks.metrics.registry import METRICS, Metric, metric
from medrival.tasks.metrics.scoring import compare, measure, primary

__all__ = ["METRICS", "Metric", "compare", "diagnosis", "measure", "metric", "primary", "vqa"]
