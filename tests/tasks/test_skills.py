"""Understanding or reasoning: the classifier says what scikit-learn's pipeline says, and how often it is right."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline

from medrival.__main__ import main
from medrival.contracts import Prediction
from medrival.errors import BrokenData
from medrival.tasks.metrics import measure
from medrival.tasks.skills.classifier import Classifier, LabelledSkills
from medrival.tasks.skills.recipe import train

SHARED_WORDS = [
    "which",
    "of",
    "the",
    "following",
    "image",
    "in",
    "a",
    "figure",
    "Müller's",
    "fibres",
    "CT",
    "X-ray",
    "3-day-old",
]
OF_REASONING = ["patient", "presents", "year-old", "next", "step", "management", "history", "diagnosis"]
OF_UNDERSTANDING = ["structure", "labelled", "arrow", "identify", "shows", "plane"]


def question(kind: str, dice: np.random.Generator) -> str:
    own, other = (OF_REASONING, OF_UNDERSTANDING) if kind == "Reasoning" else (OF_UNDERSTANDING, OF_REASONING)
    words = dice.choice([*SHARED_WORDS, *SHARED_WORDS, *own, *own, *other], size=12)
    return f"{' '.join(words)} {dice.integers(1, 90)}?"


def medxpertqa(count: int = 240) -> list[dict]:
    """Rows of MedXpertQA's columns (config MM); three of four ask for reasoning, as about there."""
    dice = np.random.default_rng(0)
    kinds = ["Understanding" if i % 4 == 0 else "Reasoning" for i in range(count)]
    return [
        {
            "id": f"MM-{i}",
            "question": f"{question(kind, dice)}\nAnswer Choices: (A) arrow (B) patient (C) plane (D) step (E) none",
            "options": {"A": "arrow", "B": "patient", "C": "plane", "D": "step", "E": "none"},
            "label": "A",
            "images": [f"MM-{i}-a.jpeg"],
            "medical_task": "Diagnosis",
            "body_system": "Nervous",
            "question_type": kind,
        }
        for i, kind in enumerate(kinds)
    ]


ROWS = medxpertqa()
QUESTIONS = [row["question"].partition("\nAnswer Choices")[0] for row in ROWS]
LABELS = np.array([row["question_type"] == "Reasoning" for row in ROWS])


def written(folder, rows, suffix=".jsonl"):
    path = folder / f"test{suffix}"
    if suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        path.write_text("\n".join(map(json.dumps, rows)) if suffix == ".jsonl" else json.dumps(rows))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(written(tmp_path_factory.mktemp("data"), ROWS))


@pytest.fixture(scope="module")
def pipeline():
    """The same model from scikit-learn's own parts."""
    regression = LogisticRegression(class_weight="balanced", max_iter=1000)
    return make_pipeline(TfidfVectorizer(ngram_range=(1, 2), min_df=2), regression).fit(QUESTIONS, LABELS)


def kept(classifier, folder):
    path = folder / "skills.json"
    path.write_text(classifier.text())
    return path


STRANGE = [
    "",
    "?!",
    "a b c",
    "İstanbul ΣΑΣ ﬁbre MÜLLER",
    "的 图像 显示",
    "patient_presents x_y",
    "patient " * 3000,
    "\ud800 arrow",
]


def test_probabilities_are_scikit_learns_after_a_way_through_the_file(trained, pipeline, tmp_path):
    read = Classifier.read(kept(trained, tmp_path))
    for text in [*QUESTIONS, *STRANGE]:
        assert read.probability(text) == pytest.approx(pipeline.predict_proba([text])[0, 1], abs=1e-9)
        if pipeline[0].transform([text]).nnz:
            assert read.label(text) == ("reasoning" if pipeline.predict([text])[0] else "understanding")


def test_a_question_of_unknown_words_gets_no_label_and_is_counted(trained):
    predictions = [asked("quo vadis?"), asked("identify the structure at the arrow")]
    scores = LabelledSkills(trained)(predictions)
    assert trained.label("quo vadis?") == ""
    assert all(np.isnan(values[0]) for values in scores.values.values())
    assert scores.notes["skills"]["unlabelled"] == 1


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.lists(st.sampled_from([*SHARED_WORDS, *OF_REASONING, *OF_UNDERSTANDING])).map(" ".join)))
def test_any_text_has_scikit_learns_probability(trained, pipeline, text):
    assert trained.probability(text) == pytest.approx(pipeline.predict_proba([text])[0, 1], abs=1e-9)


def test_its_own_quality_is_cross_validated_in_five_folds(trained):
    """scikit-learn's folds where no two questions are equal: each question judged by a model that did not see it."""
    quality = trained.cross_validation
    regression = LogisticRegression(class_weight="balanced", max_iter=1000)
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), min_df=2), regression)
    scores = np.empty(len(QUESTIONS))
    texts = np.array(QUESTIONS)
    for seen, unseen in StratifiedKFold(5, shuffle=True, random_state=1).split(texts, LABELS):
        scores[unseen] = model.fit(texts[seen], LABELS[seen]).predict_proba(texts[unseen])[:, 1]
    assert (quality["folds"], quality["n"], quality["share_of_the_larger_class"]) == (5, 240, 0.75)
    assert quality["accuracy"] == pytest.approx(accuracy_score(LABELS, scores >= 0.5), abs=0.05)
    assert quality["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(LABELS, scores >= 0.5), abs=0.05)
    assert quality["auroc"] == pytest.approx(roc_auc_score(LABELS, scores), abs=0.05)
    assert quality["balanced_accuracy"] < 1
    assert quality["accuracy"] != quality["balanced_accuracy"]


def test_labels_by_chance_are_cross_validated_as_chance_even_where_questions_repeat(tmp_path):
    dice = np.random.default_rng(1)
    rows = [{**row, "question_type": str(dice.choice(["Reasoning", "Understanding"]))} for row in medxpertqa(200)]
    quality = train(written(tmp_path, [row for row in rows for _ in range(3)])).cross_validation
    assert quality["n"] == 600
    assert quality["auroc"] == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet"])
def test_every_format_gives_the_same_file_to_the_last_digit(trained, tmp_path, suffix):
    assert train(written(tmp_path, ROWS, suffix)).text() == trained.text()


def test_the_choices_behind_a_question_teach_nothing(trained, tmp_path):
    bare = train(written(tmp_path, [{**row, "question": text} for row, text in zip(ROWS, QUESTIONS, strict=True)]))
    assert bare.text() == trained.text()
    assert trained.probability(ROWS[0]["question"]) == trained.probability(QUESTIONS[0])


def test_other_data_is_another_classifier(trained, tmp_path):
    other = train(written(tmp_path, ROWS[:-1]))
    assert other.fingerprint != trained.fingerprint
    assert other.trained_on["sha256"] != trained.trained_on["sha256"]


def test_the_command_trains_and_says_how_often_it_is_right(trained, tmp_path, capsys):
    out = tmp_path / "new" / "skills.json"
    assert main(["skills", "train", "--medxpertqa", str(written(tmp_path, ROWS)), "--out", str(out)]) == 0
    assert Classifier.read(out) == trained
    said = capsys.readouterr().out
    assert f"balanced accuracy: {trained.cross_validation['balanced_accuracy']:.4g}" in said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"0 questions of understanding; cross-validation needs at least 5"),
        ("{", "cannot be read as .jsonl"),
        ("[1]", "row 1: it has no question"),
        ('{"question": "", "question_type": "Reasoning"}', "row 1: it has no question"),
        ('{"question": "\\nAnswer Choices: (A) x", "question_type": "Reasoning"}', "row 1: it has no question"),
        ('{"question": "Why?", "question_type": "Recall"}', "row 1: question_type is 'Recall'; it must be"),
        ('{"question": "Why?"}', "row 1: question_type is None"),
        ("\n".join(json.dumps(row) for row in ROWS[:8]), "2 questions of understanding"),
        (
            "\n".join(
                json.dumps({"question": f"w{i:03}", "question_type": kind})
                for i, kind in enumerate(["Reasoning", "Understanding"] * 9)
            ),
            "too few or too much alike",
        ),
    ],
)
def test_a_file_that_cannot_teach_is_one_error(tmp_path, capsys, content, message):
    path = tmp_path / "test.jsonl"
    path.write_text(content)
    with pytest.raises(BrokenData, match=message):
        train(path)
    assert main(["skills", "train", "--medxpertqa", str(path), "--out", str(tmp_path / "out.json")]) == 2
    assert str(path) in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()


def test_a_file_that_is_missing_or_was_changed_is_refused(trained, tmp_path):
    with pytest.raises(BrokenData, match="no readable file of a skill classifier; write one with: python -m medrival skills"):
        Classifier.read(tmp_path / "none.json")
    path = kept(trained, tmp_path)
    record = json.loads(path.read_text())
    for broken in ("[]", "{}", json.dumps({**record, "format": "medrival skills 2"}), path.read_text()[:-9]):
        path.write_text(broken)
        with pytest.raises(BrokenData, match="no readable file"):
            Classifier.read(path)
    path.write_text(json.dumps({**record, "cross_validation": {**record["cross_validation"], "accuracy": 0.99}}))
    with pytest.raises(BrokenData, match="does not match its fingerprint"):
        Classifier.read(path)


def asked(text, answer="yes", truth="yes", skill="", **more):
    return Prediction(text, "g", truth, answer=answer, question=text, form="closed", options=("yes", "no"), skill=skill, **more)


def test_accuracy_is_split_by_native_labels_where_there_are_any_and_by_the_classifier_elsewhere(trained):
    reasoning, understanding = "patient presents with history, next step in management?", "identify the structure at the arrow"
    predictions = [
        asked(reasoning),
        asked(reasoning, answer="no"),
        asked(understanding),
        asked(understanding, answer="yes", error="unreadable image"),
        asked(understanding, skill="reasoning"),
    ]
    scores = LabelledSkills(trained)(predictions)
    nan = np.nan
    np.testing.assert_array_equal(scores.values["accuracy_reasoning"], [1, 0, nan, nan, 1])
    np.testing.assert_array_equal(scores.values["accuracy_understanding"], [nan, nan, 1, 0, nan])
    notes = scores.notes["skills"]
    assert (notes["labelled"], notes["native"]) == ({"understanding": 2, "reasoning": 2}, 1)
    assert notes["cross_validation"] == trained.cross_validation
    assert notes["classifier"] == trained.fingerprint


def test_where_every_label_is_native_nothing_changes(trained):
    scores = LabelledSkills(trained)([asked("patient", skill="understanding"), asked("arrow", skill="reasoning")])
    assert (scores.values, scores.notes) == ({}, {})


def test_with_the_same_labels_the_split_is_that_of_the_native_metrics(trained):
    texts = [*QUESTIONS[:20]]
    bare = [asked(text, answer="yes" if i % 3 else "no") for i, text in enumerate(texts)]
    native = [asked(p.question, p.answer, skill=trained.label(p.question)) for p in bare]
    measured = measure("vqa", native, resamples=0).metrics
    for name, values in LabelledSkills(trained)(bare).values.items():
        assert np.nanmean(values) == pytest.approx(measured[name].value)
        assert np.sum(~np.isnan(values)) == measured[name].n
