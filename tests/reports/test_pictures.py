from dataclasses import replace

import pytest

from medrival import catalog
from medrival.catalog import imported
from medrival.errors import BrokenData
from medrival.reports.pictures import Pictures

TASK = "phantom-chest"


@pytest.fixture(scope="module")
def cards():
    return catalog.load().tasks


def test_the_image_is_that_of_the_sample(cards, tmp_path):
    task = imported(cards[TASK].loader)(cards[TASK], None, tmp_path)
    sample = task.test[3]
    found = Pictures(cards, None, tmp_path, {TASK: task.fingerprint})(TASK, sample.id)
    assert found is not None
    assert found.tobytes() == sample.image.open().tobytes()


def test_no_image_of_other_data_stands_beside_what_was_said(cards, tmp_path):
    pictures = Pictures(cards, None, tmp_path, {TASK: "0" * 64})
    with pytest.raises(BrokenData, match="is not that of the run"):
        pictures(TASK, "chest-p160-1")


def test_an_unknown_task_or_sample_has_none(cards, tmp_path):
    pictures = Pictures(cards, None, tmp_path)
    assert pictures("nothing", "a") is None
    assert pictures(TASK, "nothing") is None


def broken(_card: object, _assets: object, _scratch: object) -> None:
    raise KeyError("label")


def test_a_loader_that_fails_in_its_own_way_is_asked_once_and_told(cards, tmp_path):
    pictures = Pictures({TASK: replace(cards[TASK], data=f"{__name__}:broken")}, None, tmp_path)
    with pytest.raises(BrokenData, match=r"the data of phantom-chest cannot be loaded \(KeyError: 'label'\)"):
        pictures(TASK, "a")
