"""Scorers add to outcomes what needs an encoder, a judge or learned labels, and change nothing that is stored."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest

from medrival.cache import Cache
from medrival.case import Case, Cost, Outcome
from medrival.contracts import Prediction
from medrival.errors import MedrivalWarning
from medrival.evaluate import Lab, Settings
from medrival.scorers import Scores, scored
from medrival.statistics import Estimate, estimates, mean_of
from medrival.store import Store
from tests.stand_ins import said, save_encoder, serving

KEY = "sk-study-secret-42"


def outcome(*predictions: Prediction) -> Outcome:
    known = {"accuracy": Estimate(0.5, 0.4, 0.6, 2)}
    return Outcome("key", (), known, predictions, Cost(1.0, 0.0, 0, 1, None, 2.0), {"split": "official"})


PREDICTIONS = [Prediction(str(i), f"patient {i // 2}", "truth", form="open") for i in range(40)]


def test_what_a_scorer_says_becomes_means_with_clustered_intervals_reasons_and_notes():
    values = np.where(np.arange(40) % 5 == 0, np.nan, np.arange(40) % 3 / 2)
    scorer = lambda _: Scores({"new": values, "none": np.full(40, np.nan), "failed": "no answer"}, {"new": {"by": "test"}})  # noqa: E731
    measured = scored(outcome(*PREDICTIONS), [scorer])
    assert measured.metrics["new"] == estimates({"new": mean_of(values)}, [p.group for p in PREDICTIONS])["new"]
    assert (measured.metrics["new"].value, measured.metrics["new"].n) == (pytest.approx(np.nanmean(values)), 32)
    assert measured.metrics["none"] == Estimate(None, None, None, 0, "no question of the kind it is about")
    assert measured.metrics["failed"] == Estimate(None, None, None, 0, "no answer")
    assert measured.metrics["accuracy"] == Estimate(0.5, 0.4, 0.6, 2)
    assert measured.notes == {"split": "official", "new": {"by": "test"}}


def test_without_scorers_an_outcome_is_what_it_was():
    assert scored(outcome(*PREDICTIONS), ()) == outcome(*PREDICTIONS)


def test_a_lab_scores_questions_each_time_and_stores_no_score(tmp_path, rows, drawn):
    (tmp_path / "tasks").symlink_to(drawn)
    calls = []

    def scorer(predictions):
        calls.append(len(predictions))
        return Scores({"new": np.full(len(predictions), 0.25)})

    store = Store(tmp_path)
    lab = Lab(Settings(limit=12), store, lambda items, _: items, [scorer])
    asked = Case(rows.models["pocket-llava"], rows.tasks["phantom-chest-vqa"], rows.regimes["zero-shot"])
    first, second = lab.evaluate(asked), lab.evaluate(asked)
    assert first.metrics["new"].value == 0.25
    assert first == second
    assert calls == [12, 12]
    stored = store.outcome(first.key)
    assert stored is not None
    assert "new" not in stored.metrics
    plain = Lab(Settings(limit=12), store, lambda items, _: items)
    assert plain.evaluate(asked) == stored == replace(first, metrics=stored.metrics)
    diagnosis = Case(rows.models["pocket-clip"], rows.tasks["phantom-chest"], rows.regimes["zero-shot"])
    assert "new" not in lab.evaluate(diagnosis).metrics


def test_a_cache_gives_back_what_it_was_given_unless_it_is_too_old_or_damaged(tmp_path):
    cache = Cache(tmp_path)
    assert cache.get("ab12") is None
    cache.keep("ab12", {"f1": [0.5, 1 / 3]})
    assert cache.get("ab12") == {"f1": [0.5, 1 / 3]}
    assert cache.get("ab12") is not None, "being read does not make it younger or older"
    assert Cache(tmp_path, newer_than=time.time() + 60).get("ab12") is None
    (kept,) = tmp_path.rglob("*.json")
    for damaged in (b"", b'{"f1": [0.', b"[1]", b"\xff"):
        kept.write_bytes(damaged)
        assert cache.get("ab12") is None


def test_a_cache_that_cannot_be_written_says_so_and_the_run_goes_on(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(MedrivalWarning, match="cannot be written"):
        Cache(tmp_path / "file").keep("ab12", {})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--bertscore", "nowhere"), "--bertscore nowhere: it is no directory of an encoder"),
        (("--judge", "http://localhost:1/v1"), "--judge URL and --judge-model NAME go together"),
        (("--judge-model", "gpt"), "--judge URL and --judge-model NAME go together"),
        (("--judge", "localhost:1", "--judge-model", "gpt"), "--judge localhost:1: it must be the base of an endpoint"),
        (
            ("--judge", "http://me:hunter2@host/v1", "--judge-model", "gpt"),
            "would end up in the report; set MEDRIVAL_JUDGE_KEY",
        ),
        (
            ("--judge", "http://host/v1?key=hunter2", "--judge-model", "gpt"),
            "would end up in the report; set MEDRIVAL_JUDGE_KEY",
        ),
        (("--judge-concurrency", "0"), "--judge-concurrency 0: it must be at least 1"),
        (
            ("--judge", "http://host/v1", "--judge-model", "gpt", "--judge-concurrency", "4", "-n", "16"),
            "--judge-concurrency 4: each of the 16 workers puts questions to the judge; take at most 4 of them (-n 4), or",
        ),
        (("--skills", "none.json"), "none.json: it is no readable file of a skill classifier"),
    ],
)
def test_a_wrong_option_is_one_clear_error(study, arguments, message):
    done = study("--collect-only", *arguments)
    assert done.status == pytest.ExitCode.USAGE_ERROR
    assert message in done.output
    assert "Traceback" not in done.output
    assert "hunter2" not in done.output


def test_a_study_with_an_encoder_and_a_judge_reports_them_and_its_repeat_asks_nobody(study, tmp_path, drawn):
    (tmp_path / "store" / "tasks").mkdir(parents=True)
    for phantoms in drawn.iterdir():  # drawing them anew takes longest
        (tmp_path / "store" / "tasks" / phantoms.name).symlink_to(phantoms)
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    save_encoder(encoder, ["left", "right", "lung", "upper", "lower", "opacity", "circle", "no", "the", "in"])
    small = ("--limit", "24", "--tasks", "phantom-chest-vqa", "--models", "pocket-llava", "--regimes", "zero-shot")
    with serving(lambda texts, _: said(json.dumps({"correct": texts["candidate"] == texts["reference"]}))) as endpoint:
        options = (*small, "--bertscore", str(encoder), "--judge", endpoint.url, "--judge-model", "judge-1")
        options = (*options, "--judge-concurrency", "2")  # as many as workers: one each
        done = study(*options, "-n", "2", MEDRIVAL_JUDGE_KEY=KEY)
        asked = sum(endpoint.asked.values())
        again = study(*options, MEDRIVAL_JUDGE_KEY=KEY)
        assert sum(endpoint.asked.values()) == asked > 0
    assert done.status == again.status == 0, done.output
    assert done.numbers == again.numbers
    for case in done.report["cases"]:
        metrics, notes = case["metrics"], case["notes"]
        assert metrics["bertscore"]["n"] == metrics["judge_accuracy"]["n"] == metrics["exact_match"]["n"] > 0
        assert 0 <= metrics["bertscore"]["low"] <= metrics["bertscore"]["value"] <= metrics["bertscore"]["high"] <= 1
        assert (notes["judge"]["model"], notes["judge"]["prompt"], notes["judge"]["failed"]) == ("judge-1", "1", 0)
        assert notes["bertscore"]["layer"] == "last"
    assert {headers["Authorization"] for headers in endpoint.headers} == {f"Bearer {KEY}"}
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"judge_accuracy" in written
    assert KEY.encode() not in written + done.output.encode()
