"""The texts that a diagnosis row gives its classes: the prompt first, then its templates, all of them in the fingerprint."""

from dataclasses import replace

import pytest

from medrival.errors import BrokenCatalog
from medrival.tasks import phantoms
from medrival.tasks.wording import class_texts

TEMPLATES = ["an x-ray: {}", "a radiograph of {} and {}"]


@pytest.fixture
def row(rows):
    """A phantom's row with the given keys instead of its own."""
    card = rows.tasks["phantom-chest"]
    return lambda **options: replace(card, options={"anatomy": "chest", "prompt": "a picture of {}", **options})


def test_each_class_has_its_prompt_first_then_every_template_once(row):
    texts = class_texts(row(templates=["a picture of {}", *TEMPLATES]), ["a cyst", "a {brace}"])
    assert texts.prompts == ("a picture of a cyst", "a picture of a {brace}")
    assert texts.ensembles == (
        ("a picture of a cyst", "an x-ray: a cyst", "a radiograph of a cyst and a cyst"),
        ("a picture of a {brace}", "an x-ray: a {brace}", "a radiograph of a {brace} and a {brace}"),
    )


def test_a_row_without_templates_has_no_ensembles(row, tmp_path):
    task = phantoms.diagnosis(row(), None, tmp_path)
    assert task.ensembles == ()
    assert task.prompts == tuple(f"a picture of {name}" for name in task.classes)


def test_templates_change_the_fingerprint_and_leave_the_prompts(row, tmp_path):
    plain, one, two = (
        phantoms.diagnosis(row(**({"templates": templates} if templates else {})), None, tmp_path)
        for templates in ([], TEMPLATES, TEMPLATES[::-1])
    )
    assert len({plain.fingerprint, one.fingerprint, two.fingerprint}) == 3
    assert plain.prompts == one.prompts == tuple(texts[0] for texts in one.ensembles)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"templates": ["a photo"]}, r"phantom-chest': templates is \['a photo'\]; it must be a list of texts with \{\}"),
        ({"templates": "a photo of {}"}, "templates is 'a photo of {}'; it must be a list"),
        ({"templates": [1]}, "templates is .1.; it must be a list of texts"),
        ({"prompt": "a photo"}, r"prompt is 'a photo'; it must have \{\} where the class goes"),
    ],
)
def test_a_text_without_the_place_of_the_class_is_refused(row, tmp_path, said, message):
    with pytest.raises(BrokenCatalog, match=message):
        phantoms.diagnosis(row(**said), None, tmp_path)
