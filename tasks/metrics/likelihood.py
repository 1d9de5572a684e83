"""What a model's own likelihoods say where it must choose, whatever it wrote."""

from __future__ import annotations

from medrival.contracts import Prediction
from medrival.tasks.metrics.registry import NAN, metric
from medrival.tasks.metrics.vqa import CLOSED


@metric("choice_likelihood_accuracy", of="vqa")
def choice_likelihood_accuracy(p: Prediction) -> float:
    """Share of closed questions and choices where the true option is more likely than every other; a tie is wrong.

    Defined where the model gives likelihoods. It cannot be unparseable: it tells what a model knows from how it writes.
    """
    if p.form not in CLOSED or not p.scores:
        return NAN
    likeliest = [option for option, score in zip(p.options, p.scores, strict=True) if score == max(p.scores)]
    return float(likeliest == [p.truth] and not p.error)
