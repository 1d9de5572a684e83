"""The efficiency lane: asked for alone and serial, recorded by pytest-benchmark, never quick by doing less."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from medrival.case import planned
from medrival.efficiency import features, generation, training
from medrival.efficiency.lane import LANE, is_lane
from medrival.efficiency.race import Raced
from medrival.efficiency.subject import Subject

SMALL = ("--models", "pocket-clip", "--tasks", "phantom-chest", "--limit", "160", "--device", "cpu", "--efficiency")

IMAGES = 160 + 120 + 160
"""Of the three splits: enough that a hit of the store is far quicker than computing them, whatever else the machine does."""


@pytest.fixture
def subject(new_lab, rows):
    def make(model: str, task: str, *regimes: str, limit: int = 12) -> Subject:
        cases = [planned(rows.models[model], rows.tasks[task], rows.regimes[regime], 0) for regime in regimes]
        return Subject(tuple(cases), new_lab(limit=limit))

    return make


def test_it_runs_alone_when_asked_for_and_leaves_the_last_report(study):
    done = study(*SMALL, "-k", "stored", "--benchmark-json", "times.json", PYTEST_XDIST_WORKER="")
    if done.status == 0:  # pytest-benchmark records no test that fails, and a busy machine may miss the target
        assert (done.folder / "empty" / "times.json").exists(), done.output
        (one,) = json.loads((done.folder / "empty" / "times.json").read_text())["benchmarks"]
        assert one["extra_info"]["wanted"] == 100
        assert one["extra_info"]["ratio"] == pytest.approx(
            one["extra_info"]["bare_seconds"] * one["extra_info"]["images_per_second"] / IMAGES, rel=1e-6
        )
    assert "features from the store, pocket-clip on phantom-chest" in done.output
    assert not (done.folder / "report").exists()


def test_a_second_run_is_compared_with_the_one_that_was_saved(study, tmp_path):
    saved = ("--benchmark-storage", str(tmp_path / "saved"))
    first = study(*SMALL, "-k", "stored", *saved, "--benchmark-autosave", PYTEST_XDIST_WORKER="")
    second = study(*SMALL, "-k", "stored", *saved, "--benchmark-compare", PYTEST_XDIST_WORKER="")
    for done in (first, second):
        assert "features from the store, pocket-clip on phantom-chest" in done.output
    if (first.status, second.status) == (0, 0):  # as above
        assert "benchmark: 2 tests" in second.output
        assert "(NOW)" in second.output


def test_without_being_asked_for_it_is_left_out(study):
    done = study(*SMALL[:-1], "--regimes", "zero-shot", "--collect-only", "-q")
    assert "test_efficiency.py" not in done.output
    assert "test_diagnosis[pocket-clip-phantom-chest-zero-shot]" in done.output


def test_its_file_is_known_by_a_link_to_the_checkout_too(tmp_path):
    (tmp_path / "linked").symlink_to(LANE.parent, target_is_directory=True)
    assert is_lane(tmp_path / "linked" / LANE.name)
    assert not is_lane(tmp_path / "linked" / "test_integrity.py")


def test_each_race_has_the_fixtures_that_it_asks_for(study):
    done = study(
        "--models", "pocket-llava", "--tasks", "phantom-chest-vqa", "--efficiency", "--collect-only", "--fixtures-per-test"
    )
    assert "test_lora_steps_keep_up_with_a_bare_peft_loop[pocket-llava]" in done.output
    assert "lora -- " in done.output


def test_under_xdist_it_is_a_usage_error_that_says_why(study):
    done = study(*SMALL, "-n", "2")
    assert done.status == 4
    assert "the lane is serial" in done.output


@pytest.mark.parametrize("option", [("--gate", "gate.toml"), ("--baseline", "report.json"), ("--shard", "1/2")])
def test_what_judges_or_splits_cases_is_refused_where_none_is_measured(study, option):
    done = study(*SMALL, *option)
    assert done.status == 4
    assert f"the lane measures speed and no case: {option[0]} does not go with it" in done.output


def test_the_bare_loop_and_ours_make_the_same_features(subject):
    race = features.extraction(subject("pocket-clip", "phantom-chest", "linear-probe"))
    ours, bare = race.ours(), race.bare()
    assert race.same(ours, bare)
    assert not race.same(ours, np.roll(bare, 1, axis=0))
    assert len(bare) == race.items == 36


def test_beside_the_frozen_regimes_stands_an_epoch_that_re_encodes_the_training_images(subject, monkeypatch):
    encoder, passed = subject("pocket-clip", "phantom-chest", "zero-shot"), []
    bare = features.bare_features
    monkeypatch.setattr(features, "bare_features", lambda of, images: passed.append(list(images)) or bare(of, images))
    figures = features.frozen_regimes(encoder).figures(2.0, 1)
    training = {sample.id for sample in encoder.task.train}
    assert [len(images) for images in passed] == [len(training)] == [12]
    assert all(any(one is image for image in encoder.images) for one in passed[0])
    assert figures["seconds_of_10_such_epochs"] == pytest.approx(10 * figures["seconds_of_a_re_encoding_epoch"])
    assert figures["seconds_of_a_re_encoding_epoch"] > 0


def test_a_round_finds_nothing_of_the_one_before(subject):
    encoder = subject("pocket-clip", "phantom-chest", "zero-shot")
    race = features.frozen_regimes(encoder)
    race.ours()
    (case,) = encoder.cases
    assert encoder.lab.store.outcome(encoder.lab.key(case))
    race.ready()
    assert encoder.lab.store.outcome(encoder.lab.key(case)) is None


def test_answers_in_batches_are_those_of_one_question_at_a_time(subject):
    race = generation.answers(subject("pocket-llava", "phantom-chest-vqa", "zero-shot"))
    ours = race.ours()
    assert ours == race.bare()
    figures = race.figures(2.0, ours)
    assert figures["tokens_per_second"] >= len(ours) / 2, "an answer has a token at least"
    assert figures["seconds_to_first_token"] > 0


def test_less_than_what_is_wanted_does_not_hold():
    raced = Raced("answers", "a model", seconds=2.0, bare_seconds=6.0, wanted=4.0, figures={})
    assert raced.ratio == 3
    assert not raced.holds
    assert replace(raced, seconds=1.5).holds
    assert replace(raced, wanted=None).holds
    assert raced.sentence == "answers, a model: 3.00 times the speed of a bare loop (wanted: 4.00)"


def test_a_race_of_training_leaves_the_network_as_it_was(subject, rows):
    generator = subject("pocket-llava", "phantom-chest-vqa", "zero-shot", limit=24)
    before = {name: value.clone() for name, value in generator.model.module.state_dict().items()}
    case = generator.cases[0]
    race = training.adapters(generator, planned(case.model, case.task, rows.regimes["lora"], 0))
    assert race.ours() == race.bare() == race.items == 24
    after = generator.model.module.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert race.figures(2.0, 24)["flops_per_second"] > 1e6
