"""What an outcome has on record of the model."""

from dataclasses import replace

import pytest

from medrival.case import Case
from medrival.errors import MedrivalWarning


@pytest.fixture
def evaluated(rows, new_lab):
    """The notes of a case of pocket-clip, whose row says something of its images."""

    def evaluated(image_size: str):
        card = replace(rows.models["pocket-clip"], image_size=image_size)
        regime = rows.regimes["zero-shot"].given(card.budget, card.type)
        return new_lab(limit=4).evaluate(Case(card, rows.tasks["phantom-chest"], regime)).notes

    return evaluated


def test_the_side_of_its_images_is_measured_and_a_row_that_says_another_is_told(evaluated):
    with pytest.warns(MedrivalWarning, match=r"pocket-clip: its row says images of 224 pixels, .* makes them 64"):
        assert evaluated("224")["image_size"] == 64


@pytest.mark.filterwarnings("error::medrival.errors.MedrivalWarning")
@pytest.mark.parametrize("said", ["64", "native", ""])
def test_of_a_row_that_says_the_side_or_none_nothing_is_told(evaluated, said):
    assert evaluated(said)["loaded_by"] == "medrival.models.dual_encoder:transformers"
