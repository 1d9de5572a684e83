"""An engine that computes another network is told apart from one that rounds."""

from math import nan
from statistics import fmean

import pytest
import torch

from medrival.errors import BrokenModel
from medrival.models.compared import likelihoods, probes, refuse_unlike


def test_the_likelihoods_are_those_that_options_get(pocket_llava):
    """`loglikelihood` leaves out the token that closes an answer."""
    found = likelihoods(pocket_llava)
    for (images, prompt, answer), tokens in zip(probes(), found, strict=True):
        ((whole,),) = pocket_llava.loglikelihood([images], [prompt], [[answer]])
        assert sum(tokens[:-1]) == pytest.approx(whole, abs=1e-3)


def test_the_likelihoods_are_those_of_the_networks_own_loss(pocket_llava):
    for (images, prompt, answer), tokens in zip(probes(), likelihoods(pocket_llava), strict=True):
        with torch.inference_mode():
            loss = pocket_llava.module(**pocket_llava.teach([images], [prompt], [answer])).loss.item()
        assert fmean(tokens) == pytest.approx(-loss, abs=1e-4)


def test_a_network_that_does_not_see_is_told_apart(pocket_llava):
    seen = likelihoods(pocket_llava)
    with torch.no_grad():
        for name, parameter in pocket_llava.module.named_parameters():
            if "multi_modal_projector" in name:
                parameter.zero_()
    with pytest.raises(BrokenModel, match=r"x: an engine does not compute what transformers computes: .* in bfloat16\)"):
        refuse_unlike("x", "an engine", likelihoods(pocket_llava), seen, "bfloat16")


def test_images_in_another_order_are_told_apart(pocket_llava):
    images, prompt, answer = probes()[-1]

    def told(shown):
        return [pocket_llava.loglikelihood([shown], [prompt], [[answer]])[0]]

    with pytest.raises(BrokenModel):
        refuse_unlike("x", "an engine", told(images[::-1]), told(images), "float32")


def test_rounding_is_no_reason(pocket_llava):
    exact = likelihoods(pocket_llava)
    refuse_unlike("x", "an engine", exact, [[one + 0.0005 for one in tokens] for tokens in exact], "float32")
    with torch.no_grad():
        for parameter in pocket_llava.module.parameters():
            parameter.copy_(parameter.bfloat16())
    refuse_unlike("x", "an engine", likelihoods(pocket_llava), exact, "bfloat16")


def test_tokens_that_are_off_in_opposite_ways_do_not_make_up_for_each_other():
    with pytest.raises(BrokenModel, match=r"are 0\.5000 off in the mean"):
        refuse_unlike("x", "an engine", [[-1.0, -2.0]], [[-1.5, -1.5]], "float32")


def test_what_is_no_number_is_refused():
    with pytest.raises(BrokenModel, match="are nan off"):
        refuse_unlike("x", "an engine", [[-1.0], [nan]], [[-1.0], [-2.0]], "bfloat16")
