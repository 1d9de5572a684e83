"""Adapters that a user wants to keep: in the report's folder, or one message that says where they are."""

import warnings
from dataclasses import replace

import pytest

from medrival.case import Case, Cost, Outcome
from medrival.errors import MedrivalWarning, ReportNotWritten
from medrival.handover import Handover
from medrival.store import Store

KEY = "a" * 64
OUTCOME = Outcome(KEY, (), {}, (), Cost(1.0, 1.0, 1, 1, None, 1.0), {"adapter": "peft"})


@pytest.fixture
def case(rows):
    return Case(rows.models["pocket-llava"], rows.tasks["phantom-chest-vqa"], rows.regimes["lora"])


def test_what_was_kept_is_handed_over(tmp_path, case):
    handover = Handover(tmp_path / "report" / "adapters", Store(tmp_path / "store"))
    assert handover.lacking(OUTCOME)
    handover.keep(KEY, lambda folder: (folder / "weights").write_text("learnt"))
    assert not handover.lacking(OUTCOME)
    handover.hand_over(case, OUTCOME)
    assert (tmp_path / "report" / "adapters" / case.id / "weights").read_text() == "learnt"


def test_what_was_not_written_to_its_end_is_no_adapter(tmp_path):
    handover = Handover(tmp_path / "report" / "adapters", Store(tmp_path / "store"))

    def killed(folder):
        (folder / "weights").write_text("lea")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        handover.keep(KEY, killed)
    assert handover.lacking(OUTCOME)


def test_a_report_folder_that_cannot_be_written_is_one_message_and_the_adapters_stay_in_the_store(tmp_path, case):
    (tmp_path / "report").write_text("a file where the folder should be")
    handover = Handover(tmp_path / "report" / "adapters", Store(tmp_path / "store"))
    handover.keep(KEY, lambda folder: (folder / "weights").write_text("learnt"))
    with pytest.raises(ReportNotWritten, match=f"the adapters of {case.id} cannot be written .* run again with --report-dir"):
        handover.hand_over(case, OUTCOME)
    assert not handover.lacking(OUTCOME)


def test_each_regime_without_adapters_says_so_once(tmp_path, case, rows):
    handover = Handover(tmp_path / "adapters", Store(tmp_path / "store"))
    bare = replace(OUTCOME, notes={})
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", MedrivalWarning)
        for name in ("full", "projector", "full", "zero-shot"):
            handover.hand_over(replace(case, regime=rows.regimes[name]), bare)
    assert [str(one.message).partition(": ")[2].partition(" leaves")[0] for one in told] == [
        f"pocket-llava-phantom-chest-vqa-{name}" for name in ("full", "projector")
    ]
