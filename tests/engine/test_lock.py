"""The lock file: what a run's weights were, and a run that has others."""

import json
from dataclasses import replace
from shutil import copytree

import pytest

from medrival.case import Case
from medrival.errors import BrokenLock
from medrival.lock import Lock, updated
from medrival.weights import Resolved, locate, resolved

ONE = Resolved("a" * 64, 10, "c" * 40)
OTHER = Resolved("b" * 64, 12)


def test_the_file_is_sorted_stable_and_keeps_models_that_were_not_looked_at(tmp_path):
    path = tmp_path / "models.lock"
    updated(path, {"b": ONE.known, "a": OTHER.known}, {"t": "1" * 64})
    text = path.read_text()
    assert list(json.loads(text)["models"]) == ["a", "b"]
    updated(path, {"a": OTHER.known}, {})
    assert path.read_text() == text
    updated(path, {"a": ONE.known}, {"s": "2" * 64})
    assert Lock.read(path) == Lock(path, {"a": ONE.known, "b": ONE.known}, {"s": "2" * 64, "t": "1" * 64})


def test_what_is_not_known_is_left_out():
    assert OTHER.known == {"sha256": "b" * 64, "bytes": 12}
    assert replace(OTHER, base=ONE).known["base"] == {"sha256": "a" * 64, "bytes": 10, "revision": "c" * 40}


@pytest.mark.parametrize(
    ("locked", "complaint"),
    [
        ({"m": OTHER.known}, r"m: its weights are not those that .*models.lock has: sha256 aaaaaaaaaaaa.* here, sha256 bbbbbb"),
        ({"n": ONE.known}, r"m: .*models.lock does not have this model; --update-lock adds it"),
        (
            {"m": replace(ONE, beside={"org/tower": OTHER}).known},
            r"m's org/tower: its weights are not .*: none here, sha256 bbbb",
        ),
        ({"m": replace(ONE, base=OTHER).known}, r"m's base model: its weights are not those .*: none here, sha256 bbbb"),
    ],
)
def test_a_model_that_is_not_the_locked_one_is_named_in_one_sentence(tmp_path, locked, complaint):
    with pytest.raises(BrokenLock, match=complaint):
        Lock(tmp_path / "models.lock", locked, {}).check("m", ONE)


def test_what_a_base_model_reads_of_others_is_held_to_the_file_too(tmp_path):
    """As of an adapter directory for LLaVA-Med."""
    one, other = (Resolved("a" * 64, 10, base=replace(ONE, beside={"org/tower": tower})) for tower in (ONE, OTHER))
    Lock(tmp_path, {"m": one.known}, {}).check("m", one)
    with pytest.raises(BrokenLock, match=r"m's base model's org/tower: its weights are not those"):
        Lock(tmp_path, {"m": one.known}, {}).check("m", other)


def test_the_locked_model_passes_wherever_its_files_came_from(tmp_path):
    Lock(tmp_path, {"m": ONE.known}, {}).check("m", replace(ONE, revision=""))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"models": 1}',
        '{"models": {"m": {}}}',
        '{"models": {"m": {"sha256": 1}}}',
        '{"models": {}, "tasks": {"t": 1}}',
    ],
)
def test_a_damaged_file_is_one_message(tmp_path, text):
    (tmp_path / "models.lock").write_text(text)
    with pytest.raises(BrokenLock, match="no readable lock file"):
        Lock.read(tmp_path / "models.lock")


def test_an_outcome_records_its_weights_and_other_weights_fail_before_anything_is_measured(new_lab, rows, tmp_path):
    folder = copytree(locate(rows.models["pocket-clip"], None), tmp_path / "clip")
    card = replace(rows.models["pocket-clip"], weights=str(folder))
    case = Case(card, rows.tasks["phantom-chest"], rows.regimes["zero-shot"])
    found = resolved(card, None).known
    data = {case.task.name: new_lab().task(case.task).fingerprint}
    outcome = new_lab(lock=Lock(tmp_path / "models.lock", {card.name: found}, data)).evaluate(case)
    assert (outcome.notes["weights"], outcome.notes["fingerprint"]) == (found, data[case.task.name])
    lab = new_lab(lock=Lock(tmp_path / "models.lock", {card.name: {**found, "sha256": "0" * 64}}, data))
    with pytest.raises(BrokenLock, match="pocket-clip: its weights are not those"):
        lab.evaluate(case)
    assert lab._loaded is None


def test_a_task_that_is_not_the_locked_one_is_named(tmp_path):
    lock = Lock(tmp_path / "models.lock", {}, {"t": "a" * 64})
    lock.check_task("t", "a" * 64)
    with pytest.raises(
        BrokenLock,
        match=r"t: its samples, split, images, classes or prompts are not those .* bbbbbbbbbbbb... here, aaaaaaaaaaaa",
    ):
        lock.check_task("t", "b" * 64)
    with pytest.raises(BrokenLock, match=r"u: .*models.lock does not have this task; --update-lock adds it"):
        lock.check_task("u", "a" * 64)


def test_a_run_writes_its_lock_and_a_later_run_is_held_to_it(study, rows, tmp_path):
    copytree(locate(rows.models["pocket-clip"], None), tmp_path / "mine")
    lock = ("--lock", str(tmp_path / "models.lock"))
    common = ("--tasks", "phantom-chest", "--regimes", "zero-shot", "--limit", "12", "--candidate", str(tmp_path / "mine"))
    missing = study(*common, *lock, "--models", "mine", "--collect-only", "-q")
    assert missing.status == pytest.ExitCode.USAGE_ERROR
    assert "no readable lock file" in missing.output

    written = study(*common, *lock, "--models", "mine", "--update-lock", "-n", "1")
    assert written.status == 0, written.output
    assert f"lock: {tmp_path}/models.lock" in written.output
    kept = Lock.read(tmp_path / "models.lock")
    assert (set(kept.models), set(kept.tasks)) == ({"mine"}, {"phantom-chest"})

    config = tmp_path / "mine" / "config.json"
    config.write_text(config.read_text() + " ")
    held = study(*common, *lock, "--models", "mine,pocket-clip")
    assert held.status == 1
    reasons = {case["model"]: (case["status"], case["reason"]) for case in held.report["cases"]}
    assert reasons["mine"][0] == reasons["pocket-clip"][0] == "failed"
    assert "its weights are not those" in reasons["mine"][1]
    assert "does not have this model" in reasons["pocket-clip"][1]
    assert "Traceback" not in held.output

    config.write_text(config.read_text().removesuffix(" "))
    other = json.loads((tmp_path / "models.lock").read_text())
    other["tasks"]["phantom-chest"] = "0" * 64
    (tmp_path / "models.lock").write_text(json.dumps(other))
    changed = study(*common, *lock, "--models", "mine")
    (status, reason) = next((case["status"], case["reason"]) for case in changed.report["cases"])
    assert status == "failed"
    assert "its samples, split, images, classes or prompts are not those" in reason
