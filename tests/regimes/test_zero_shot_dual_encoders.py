"""Class prompts that a dual encoder does not read to their end, or reads alike, in every family of them."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from medrival import catalog
from medrival.contracts import Task
from medrival.errors import AdaptationFailed
from medrival.regimes.zero_shot import classify
from tests.models.miniature_dual_encoders import FAMILIES

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
    return classify(model, Task("chest", "diagnosis", (), (), (), "", classes, prompts), {}, SimpleNamespace()).notes


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
