"""Ages in bands; what no human is old is unknown, and how many samples say so is a note."""

from __future__ import annotations

import pytest
from PIL import Image as PILImage

from medrival.catalog import TaskCard
from medrival.errors import BrokenData
from medrival.tasks import plain
from medrival.tasks.ages import IMPOSSIBLE, age
from medrival.tasks.audit import audit
from medrival.tasks.tables import Record
from tests.tasks.audit.made import silent


@pytest.mark.parametrize(
    ("said", "band"),
    [
        *((0, "0-19"), ("19.9", "0-19"), (20, "20-39"), ("90+", "80-99"), (120, "120-139")),
        *(("058Y", "40-59"), ("006M", "0-19"), ("013D", "0-19"), (None, "unknown"), ("", "unknown")),
        *((-1, IMPOSSIBLE), ("412", IMPOSSIBLE), ("412Y", IMPOSSIBLE), (120.5, IMPOSSIBLE)),
    ],
)
def test_an_age_is_of_a_band_of_twenty_years(said, band):
    assert age(Record("t.csv: line 2", {"age": said}), "age") == band


def test_what_is_no_age_is_refused():
    with pytest.raises(BrokenData, match=r't\.csv: line 2: column "age" is .old.; expected a number'):
        age(Record("t.csv: line 2", {"age": "old"}), "age")


def test_ages_that_no_human_has_are_unknown_and_the_audit_notes_how_many(tmp_path):
    lines = [f"{i}.png,{'sick' if i % 2 else 'well'},{(30, 412, -3, '')[i % 4]}" for i in range(40)]
    for i in range(40):
        PILImage.new("L", (4, 4), i).save(tmp_path / f"{i}.png")
    (tmp_path / "t.csv").write_text("image,label,age\n" + "\n".join(lines))
    card = TaskCard("mine", "diagnosis", "x", "table:t.csv", folder=str(tmp_path), options={"prompt": "{}"})
    task = plain.table(card, None, tmp_path)
    assert {sample.attributes["age"] for sample in (*task.train, *task.validation, *task.test)} == {"20-39", "unknown"}
    assert task.notes["impossible_ages"] == 20
    told = [finding.text for finding in audit(task, {}, silent).findings if finding.severity == "note"]
    assert "20 ages are below 0 or above 120, and count as unknown" in told
