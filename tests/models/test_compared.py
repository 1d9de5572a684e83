"""An engine that computes another network is told apart from one that rounds."""

from math import nan

import pytest
import torch

from medrival.errors import BrokenModel
from medrival.models.compared import likelihoods, probes, refuse_unlike


def test_the_likelihoods_are_those_that_options_get(pocket_llava):
    """`loglikelihood` leaves out the token that closes an answer, so that the two differ by its log-probability alone."""
    means = likelihoods(pocket_llava)
    for (image, prompt, answer), mean in zip(probes(), means, strict=True):
        taught = pocket_llava.teach([(image,)], [prompt], [answer])
        tokens = int((taught["labels"] != -100).sum())
        with torch.inference_mode():
            logits = pocket_llava.module(**{k: v for k, v in taught.items() if k != "labels"}).logits.float()
        closing = logits[0, -2].log_softmax(-1)[taught["labels"][0, -1]].item()
        ((alone,),) = pocket_llava.loglikelihood([(image,)], [prompt], [[answer]])
        assert mean * tokens == pytest.approx(alone + closing, abs=1e-3)


def test_a_network_that_does_not_see_is_told_apart(pocket_llava):
    seen = likelihoods(pocket_llava)
    with torch.no_grad():
        for name, parameter in pocket_llava.module.named_parameters():
            if "multi_modal_projector" in name:
                parameter.zero_()
    with pytest.raises(BrokenModel, match=r"x: an engine does not compute what transformers computes: .* in bfloat16\)"):
        refuse_unlike("x", "an engine", likelihoods(pocket_llava), seen, "bfloat16")


def test_rounding_is_no_reason(pocket_llava):
    exact = likelihoods(pocket_llava)
    refuse_unlike("x", "an engine", exact, [one + 0.0005 for one in exact], "float32")
    with torch.no_grad():
        for parameter in pocket_llava.module.parameters():
            parameter.copy_(parameter.bfloat16())
    refuse_unlike("x", "an engine", likelihoods(pocket_llava), exact, "bfloat16")


@pytest.mark.parametrize("found", [[-1.0, nan], [-1.0, -2.2]])
def test_the_figure_that_is_farthest_off_is_named(found):
    with pytest.raises(BrokenModel, match=f"finds {found[1]:.4f} .* transformers finds -2.0000"):
        refuse_unlike("x", "an engine", found, [-1.0, -2.0], "float32")
