"""Class prompts that a dual encoder does not read to their end, or reads alike, in every family of them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from medrival import catalog
from medrival.contracts import Features, Task
from medrival.errors import AdaptationFailed
from medrival.regimes.zero_shot import classify, classify_by_ensembles
from tests.models.miniature_dual_encoders import FAMILIES

ALONE = SimpleNamespace(once=lambda _, work: work())
"""A workbench of a case that shares nothing."""
LONG = "a photo of the very large red lung lesion " * 12


@pytest.fixture(scope="module")
def load(rows, tmp_path_factory):
    """Loads a family's miniature; each is saved once."""
    loaded = {}

    def family(name):
        if name not in loaded:
            place, save = FAMILIES[name]
            folder = tmp_path_factory.mktemp("checkpoints") / "org" / "name"
            save(folder)
            loaded[name] = catalog.imported(place)(replace(rows.models["pocket-clip"], name=name), folder, "cpu", "float32")
        return loaded[name]

    return family


def asked(model, *prompts):
    """What is on record of a zero-shot classification among classes with these prompts."""
    classes = tuple("ABC"[: len(prompts)])
    return classify(model, Task("chest", "diagnosis", (), (), (), "", classes, prompts), {}, ALONE).notes


@pytest.mark.parametrize("family", FAMILIES)
def test_classes_whose_prompts_differ_behind_the_cut_alone_are_refused(load, family):
    with pytest.raises(
        AdaptationFailed, match=r"chest: the model reads 'a photo .* pneumonia' and 'a photo .* edema' as the same"
    ):
        asked(load(family), "clear lungs", f"{LONG} pneumonia", f"{LONG} edema")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prompt_that_is_cut_is_on_record_and_a_short_one_is_not(load, family):
    assert asked(load(family), "clear lungs", f"edema {LONG}", f"pneumonia {LONG}") == {"cut_prompts": ["B", "C"]}
    assert asked(load(family), "clear lungs.", "a photo of edema.") == {}


def test_a_prompt_that_is_just_short_enough_is_not_cut(load):
    """40 tokens: beginning, 38 words, end."""
    assert asked(load("CLIP"), "edema", "lung " * 38) == {}
    assert asked(load("CLIP"), "edema", "lung " * 39) == {"cut_prompts": ["B"]}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("own", [True, False])
def test_an_ensemble_is_the_mean_of_the_normalised_texts_normalised_again(load, family, own):
    """Radford et al. 2021, section 3.1.4, written out; without texts of its own a task takes the budget's templates."""
    model = load(family)
    texts = [["clear lungs", "an image: clear lungs.", "clear lungs, seen"], ["edema", "an image: edema.", "edema, seen"]]
    prompts = tuple(prompt for prompt, *_ in texts)
    task = Task("chest", "diagnosis", (), (), (), "", ("A", "B"), prompts, ensembles=tuple(map(tuple, texts)) if own else ())
    with torch.inference_mode():
        each = [
            torch.nn.functional.normalize(torch.cat([model.text_features([t]) for t in own]).double(), dim=1) for own in texts
        ]
    directions = torch.nn.functional.normalize(torch.stack([vectors.mean(dim=0) for vectors in each]), dim=1)
    queries = torch.randn(5, model.queries, directions.shape[1], dtype=torch.float64, generator=torch.manual_seed(0))
    cosines = (torch.nn.functional.normalize(queries, dim=2) @ directions.T).amax(dim=1)
    features = Features(queries.flatten(1).numpy(), {})
    bench = SimpleNamespace(features=lambda _: features)
    adapted = classify_by_ensembles(model, task, {"templates": ["an image: {}.", "{}, seen"]}, bench)
    np.testing.assert_allclose(np.array(adapted.predict([None] * 5)), (model.scale * cosines).softmax(dim=1), rtol=1e-9)
    assert adapted.notes == {"texts_a_class": 3}
